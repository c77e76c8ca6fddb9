/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches for many patterns in one pass: a small hash table of each pattern's first four bytes
 * decides at which positions to compare the patterns.
 */
#include <ctype.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

#define PATTERNS_MAX 512
#define PREFIX_SIZE  sizeof(uint32_t)
#define HASH_BITS    16

struct pattern {
	char name[64];
	unsigned char *bytes;
	size_t size;
};

static struct pattern patterns[PATTERNS_MAX];
static size_t pattern_count;
static bool starts[1 << HASH_BITS];

static uint32_t hash_of(const unsigned char *bytes)
{
	uint32_t prefix;

	memcpy(&prefix, bytes, sizeof(prefix));
	/* Knuth's multiplicative hash. */
	return (prefix * 2654435761U) >> (32 - HASH_BITS);
}

static void pattern_read(char *line)
{
	struct pattern *pattern = &patterns[pattern_count];
	char *hex = strchr(line, ' ');

	if (!hex || pattern_count == PATTERNS_MAX)
		errx(2, "bad or too many patterns");
	*hex++ = '\0';
	snprintf(pattern->name, sizeof(pattern->name), "%s", line);
	pattern->bytes = malloc(strlen(hex) / 2 + 1);
	if (!pattern->bytes)
		err(1, "a pattern");
	for (; isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]); hex += 2) {
		const char digits[] = {hex[0], hex[1], '\0'};

		pattern->bytes[pattern->size++] = (unsigned char)strtoul(digits, NULL, 16);
	}
	/* A shorter pattern would match by chance. */
	if (pattern->size < 8 || pattern->size > PATTERN_SIZE_MAX)
		errx(2, "pattern %s is too short or too long", pattern->name);
	starts[hash_of(pattern->bytes)] = true;
	pattern_count++;
}

void patterns_read(void)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, stdin) > 1) {
		line[strcspn(line, "\n")] = '\0';
		pattern_read(line);
	}
	free(line);
}

void patterns_search(const unsigned char *data, size_t size,
		     void (*found)(const char *name, void *context), void *context)
{
	for (size_t at = 0; at + PREFIX_SIZE <= size; at++) {
		if (!starts[hash_of(data + at)])
			continue;
		for (size_t i = 0; i < pattern_count; i++) {
			if (patterns[i].size <= size - at &&
			    memcmp(data + at, patterns[i].bytes, patterns[i].size) == 0)
				found(patterns[i].name, context);
		}
	}
}
