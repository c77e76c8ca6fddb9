/* SPDX-License-Identifier: Apache-2.0 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "watch.h"

#define CHUNK_SIZE ((size_t)1024 * 1024)

/* Skips what cannot be read (guard pages, devices). The pieces overlap, to find a pattern across
 * two of them. */
static size_t range_search(int memory, off_t start, off_t end, unsigned char *chunk)
{
	size_t kept = 0, total = 0;

	while (start < end) {
		size_t wanted =
			CHUNK_SIZE < (size_t)(end - start) ? CHUNK_SIZE : (size_t)(end - start);
		ssize_t got = pread(memory, chunk + kept, wanted, start);

		if (got <= 0)
			break;
		search(chunk, kept + (size_t)got, "memory", "process");
		total += (size_t)got;
		start += got;
		kept += (size_t)got;
		if (kept > PATTERN_SIZE_MAX) {
			memmove(chunk, chunk + kept - PATTERN_SIZE_MAX, PATTERN_SIZE_MAX);
			kept = PATTERN_SIZE_MAX;
		}
	}
	return total;
}

size_t memory_search(int pid)
{
	unsigned char *chunk = malloc(CHUNK_SIZE + PATTERN_SIZE_MAX);
	char path[64], line[PATTERN_SIZE_MAX];
	size_t total = 0;
	int memory;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!chunk)
		err(1, "memory");
	while (memory >= 0 && maps && fgets(line, sizeof(line), maps)) {
		char *end;
		off_t from = (off_t)strtoull(line, &end, 16);
		off_t to = *end == '-' ? (off_t)strtoull(end + 1, NULL, 16) : 0;

		/* [vsyscall] is beyond the range of off_t, and the same in every process. */
		if (from >= 0 && to > from)
			total += range_search(memory, from, to, chunk);
	}
	if (maps)
		fclose(maps);
	if (memory >= 0)
		close(memory);
	free(chunk);
	return total;
}
