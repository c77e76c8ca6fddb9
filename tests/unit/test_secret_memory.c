/* SPDX-License-Identifier: Apache-2.0 */
/* Searches the whole memory of the process, so it cannot run under valgrind or a sanitizer, which
 * keep copies of their own. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Parses the addresses at the start of a line of /proc/self/maps; returns what follows them, or
 * NULL for any other line. */
static const char *mapping_parse(const char *line, unsigned long *start, unsigned long *end)
{
	char *rest;

	*start = strtoul(line, &rest, 16);
	if (*rest != '-')
		return NULL;
	*end = strtoul(rest + 1, &rest, 16);
	return *rest == ' ' ? rest + 1 : NULL;
}

/* Counts the needle in the process's writable memory, read as a debugger would. */
static int memory_occurrences(const char *needle, size_t size)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), count = 0;
	char line[512];

	assert_non_null(maps);
	assert_true(memory >= 0);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		const char *access = mapping_parse(line, &start, &end);

		if (!access || access[1] != 'w' || end - start > 256UL * 1024 * 1024)
			continue;
		for (unsigned long at = start; at < end; at += 4096) {
			static uint8_t page[4096];

			if (pread(memory, page, sizeof(page), (off_t)at) != (ssize_t)sizeof(page))
				continue;
			for (const uint8_t *found = page;
			     (found = memmem(found, sizeof(page) - (size_t)(found - page), needle,
					     size));
			     found++) {
				/* Skip the buffer that we read into. */
				if (at != (unsigned long)page / 4096 * 4096 &&
				    at != (unsigned long)page / 4096 * 4096 + 4096)
					count++;
			}
			memset(page, 0, sizeof(page));
		}
	}
	close(memory);
	fclose(maps);
	return count;
}

static void no_copy_of_a_destroyed_secret_remains_in_memory(void **state)
{
	struct error err = {0};
	struct secret secret = {0}, moved = {0};
	/* Within one page, as the search goes page by page. */
	_Alignas(32) char needle[32];
	const char tail[] = "-secret-canary-41", head = 'q';

	(void)state;
	/* Put together only in secret memory and, for the search, in one stack buffer. */
	assert_success(secret_append(&secret, span_of(&head, 1), &err));
	assert_success(secret_append(&secret, span_of(tail, sizeof(tail) - 1), &err));
	needle[0] = head;
	memcpy(needle + 1, tail, sizeof(tail) - 1);
	assert_int_equal(memory_occurrences(needle, sizeof(tail)), 2);
	/* Growing moves it and leaves nothing behind. */
	assert_success(secret_reserve(&secret, 100000, &err));
	secret_move(&moved, &secret);
	assert_int_equal(memory_occurrences(needle, sizeof(tail)), 2);
	secret_destroy(&moved);
	assert_int_equal(memory_occurrences(needle, sizeof(tail)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_copy_of_a_destroyed_secret_remains_in_memory),
	};

	return cmocka_run_group_tests_name("secret_memory", tests, NULL, NULL);
}
