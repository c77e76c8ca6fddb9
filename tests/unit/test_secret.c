/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char canary[] = "canary-7f3a-of-the-secret-memory";

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

/* The VmFlags of the mapping that contains `address`, from /proc/self/smaps. */
static void mapping_flags(const void *address, char *flags, size_t size)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[512];
	int inside = 0;

	assert_non_null(maps);
	flags[0] = '\0';
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;

		if (mapping_parse(line, &start, &end))
			inside = start <= (uintptr_t)address && (uintptr_t)address < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, size, "%.200s", line + 8);
	}
	fclose(maps);
}

static void secret_pages_are_locked_and_excluded_from_core_dumps_and_children(void **state)
{
	struct error err = {0};
	struct secret secret = {0};
	char flags[256];

	(void)state;
	assert_success(secret_copy(&secret, span_of_text(canary), &err));
	mapping_flags(secret.data, flags, sizeof(flags));
#ifndef __SANITIZE_ADDRESS__                   /* where mlock() does nothing */
	assert_non_null(strstr(flags, " lo")); /* locked */
#endif
	assert_non_null(strstr(flags, " dd")); /* do not dump */
	assert_non_null(strstr(flags, " wf")); /* wiped on fork */
	secret_destroy(&secret);
}

static void a_child_process_does_not_inherit_a_secret(void **state)
{
	struct error err = {0};
	struct secret secret = {0};
	int status = 0;
	pid_t child;

	(void)state;
	assert_success(secret_copy(&secret, span_of_text(canary), &err));
	child = fork();
	if (child == 0)
		_exit(memcmp(secret.data, canary, sizeof(canary) - 1) == 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
	secret_destroy(&secret);
}

/* Runs in a child: reading a guard page kills. */
static void a_secret_has_guard_pages_on_both_sides(void **state)
{
	struct error err = {0};

	(void)state;
	for (int after = 0; after < 2; after++) {
		int status = 0;
		pid_t child = fork();

		if (child == 0) {
			struct secret secret = {0};
			volatile uint8_t *byte;

			/* cmocka's handler would run the rest of the tests in this child. */
			signal(SIGSEGV, SIG_DFL);
			if (secret_create(&secret, 1, &err) < 0)
				_exit(2);
			byte = after ? secret.data + secret.capacity : secret.data - 1;
			_exit(*byte == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSEGV);
	}
}

static void destroying_a_secret_unmaps_its_pages(void **state)
{
	struct error err = {0};
	struct secret secret = {0};
	const uint8_t *address;
	char flags[256];

	(void)state;
	assert_success(secret_create(&secret, 1, &err));
	address = secret.data;
	mapping_flags(address, flags, sizeof(flags));
	assert_string_not_equal(flags, "");
	secret_destroy(&secret);
	mapping_flags(address, flags, sizeof(flags));
	assert_string_equal(flags, "");
}

static void kept_pages_are_wiped_reused_and_released(void **state)
{
	struct secret_pages pages = {0};
	struct error err = {0};
	struct secret secret = {0};
	const uint8_t *address;
	char flags[256];

	(void)state;
	secret_pages_keep(&pages);
	assert_success(secret_copy(&secret, span_of_text(canary), &err));
	address = secret.data;
	secret_destroy(&secret);
#ifndef __SANITIZE_ADDRESS__ /* under which none are kept */
	assert_int_equal(pages.count, 1);
	for (size_t i = 0; i < sizeof(canary); i++)
		assert_int_equal(address[i], 0);
	assert_success(secret_create(&secret, 1, &err));
	assert_ptr_equal(secret.data, address);
	mapping_flags(address, flags, sizeof(flags));
	assert_non_null(strstr(flags, " lo"));
	secret_destroy(&secret);
#endif
	secret_pages_release(&pages);
	mapping_flags(address, flags, sizeof(flags));
	assert_string_equal(flags, "");
	assert_success(secret_create(&secret, 1, &err));
	secret_destroy(&secret);
	assert_int_equal(pages.count, 0);
}

static void a_secret_that_grows_byte_by_byte_keeps_its_content(void **state)
{
	struct error err = {0};
	struct secret secret = {0};

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		const uint8_t byte = (uint8_t)(i * 7);

		assert_success(secret_append(&secret, span_of(&byte, 1), &err));
	}
	assert_int_equal(secret.size, 20000);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(secret.data[i], (uint8_t)(i * 7));
	secret_destroy(&secret);
}

static void reading_more_than_the_limit_fails_and_leaves_an_empty_secret(void **state)
{
	struct error err = {0};
	struct secret secret = {0};
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], canary, 11), 11);
	close(ends[1]);
	assert_error(secret_read(&secret, ends[0], 10, "the pipe", &err), VMCRED_FAILED,
		     "the pipe is larger than 10 bytes");
	assert_null(secret.data);
	close(ends[0]);
}

static void reading_exactly_the_limit_succeeds(void **state)
{
	struct error err = {0};
	struct secret secret = {0};
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], canary, 10), 10);
	close(ends[1]);
	assert_success(secret_read(&secret, ends[0], 10, "the pipe", &err));
	assert_span_equal(secret_span(&secret), "canary-7f3");
	secret_destroy(&secret);
	close(ends[0]);
}

static void secrets_are_compared_completely(void **state)
{
	(void)state;
	assert_true(secret_equal(span_of_text("abc"), span_of_text("abc")));
	assert_false(secret_equal(span_of_text("abc"), span_of_text("abd")));
	assert_false(secret_equal(span_of_text("abc"), span_of_text("xbc")));
	assert_false(secret_equal(span_of_text("abc"), span_of_text("ab")));
	assert_true(secret_equal(span_of_text(""), span_of_text("")));
}

static void a_size_that_overflows_is_an_out_of_memory_error(void **state)
{
	struct error err = {0};
	struct secret secret = {0};

	(void)state;
	assert_error(secret_create(&secret, SIZE_MAX, &err), VMCRED_FAILED, "out of memory");
	assert_error(secret_create(&secret, SIZE_MAX / 2, &err), VMCRED_FAILED, "out of memory");
	assert_null(secret.data);
}

static void clearing_a_secret_wipes_it_and_keeps_its_pages(void **state)
{
	struct error err = {0};
	struct secret secret = {0};
	const uint8_t *pages;

	(void)state;
	secret_clear(&secret);
	assert_success(secret_copy(&secret, span_of_text(canary), &err));
	pages = secret.data;
	secret_clear(&secret);
	assert_ptr_equal(secret.data, pages);
	assert_int_equal(secret.size, 0);
	for (size_t i = 0; i < secret.capacity; i++)
		assert_int_equal(secret.data[i], 0);
	secret_destroy(&secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secret_pages_are_locked_and_excluded_from_core_dumps_and_children),
		cmocka_unit_test(a_child_process_does_not_inherit_a_secret),
		cmocka_unit_test(a_secret_has_guard_pages_on_both_sides),
		cmocka_unit_test(destroying_a_secret_unmaps_its_pages),
		cmocka_unit_test(kept_pages_are_wiped_reused_and_released),
		cmocka_unit_test(a_secret_that_grows_byte_by_byte_keeps_its_content),
		cmocka_unit_test(reading_more_than_the_limit_fails_and_leaves_an_empty_secret),
		cmocka_unit_test(reading_exactly_the_limit_succeeds),
		cmocka_unit_test(secrets_are_compared_completely),
		cmocka_unit_test(a_size_that_overflows_is_an_out_of_memory_error),
		cmocka_unit_test(clearing_a_secret_wipes_it_and_keeps_its_pages),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
