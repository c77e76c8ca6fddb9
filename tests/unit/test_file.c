/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"

/* Each test gets an empty directory on a memory file system as *state. */
struct directory {
	char *name;
	int parent, fd;
};

static int directory_make(void **state)
{
	struct directory *directory = calloc(1, sizeof(*directory));
	struct error err = {0};

	directory->parent = dir_open(AT_FDCWD, "/dev/shm", &err);
	directory->fd =
		dir_make_temporary(directory->parent, "vmcred-test", 0700, &directory->name, &err);
	*state = directory;
	return directory->fd < 0;
}

static int directory_remove(void **state)
{
	struct directory *directory = *state;
	struct error err = {0};
	int r = dir_remove_tree(directory->parent, directory->name, false, &err);

	close(directory->fd);
	close(directory->parent);
	free(directory->name);
	free(directory);
	return r;
}

static size_t entries_count(int fd)
{
	DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void replacing_a_file_changes_content_and_mode_and_leaves_no_temporary_file(void **state)
{
	const struct directory *directory = *state;
	struct error err = {0};
	struct stat status;
	char *text = NULL;

	assert_success(file_replace(directory->fd, "f", span_of_text("old"), 0644, &err));
	assert_success(file_replace(directory->fd, "f", span_of_text("new content"), 0400, &err));
	assert_success(file_read_text(directory->fd, "f", 100, &text, NULL, &err));
	assert_string_equal(text, "new content");
	assert_int_equal(fstatat(directory->fd, "f", &status, 0), 0);
	assert_int_equal(status.st_mode & 07777, 0400);
	assert_int_equal(entries_count(directory->fd), 1);
	free(text);
}

static void a_failed_replacement_leaves_no_temporary_file(void **state)
{
	const struct directory *directory = *state;
	struct error err = {0};

	assert_int_equal(mkdirat(directory->fd, "f", 0700), 0);
	assert_error(file_replace(directory->fd, "f", span_of_text("x"), 0600, &err), VMCRED_FAILED,
		     "replacing f: Is a directory");
	assert_int_equal(entries_count(directory->fd), 1);
}

static void writing_a_new_file_fails_if_it_exists(void **state)
{
	const struct directory *directory = *state;
	struct error err = {0};
	char *text = NULL;

	assert_success(file_write_new(directory->fd, "f", span_of_text("old"), 0600, &err));
	assert_error(file_write_new(directory->fd, "f", span_of_text("new"), 0600, &err),
		     VMCRED_FAILED, "creating f: File exists");
	assert_success(file_read_text(directory->fd, "f", 100, &text, NULL, &err));
	assert_string_equal(text, "old");
	free(text);
}

static void removing_a_tree_does_not_follow_links(void **state)
{
	const struct directory *directory = *state;
	struct error err = {0};
	int inner;

	assert_success(file_write_new(directory->fd, "kept", span_of_text("kept"), 0600, &err));
	inner = dir_make(directory->fd, "a/b/c", 0700, &err);
	assert_true(inner >= 0);
	assert_success(file_write_new(inner, "gone", span_of_text("x"), 0400, &err));
	assert_int_equal(symlinkat("../../../kept", inner, "link"), 0);
	assert_int_equal(symlinkat("../..", inner, "up"), 0);
	close(inner);
	assert_success(dir_remove_tree(directory->fd, "a", true, &err));
	assert_int_equal(entries_count(directory->fd), 1);
	assert_success(dir_remove_tree(directory->fd, "not-there", true, &err));
}

static void wiping_overwrites_a_file_that_is_still_open(void **state)
{
	const struct directory *directory = *state;
	struct error err = {0};
	char read_back[6] = "";
	int fd;

	assert_success(file_write_new(directory->fd, "f", span_of_text("secret"), 0400, &err));
	fd = openat(directory->fd, "f", O_RDONLY | O_CLOEXEC);
	assert_success(dir_remove_tree(directory->fd, "f", true, &err));
	assert_int_equal(read(fd, read_back, sizeof(read_back)), sizeof(read_back));
	assert_memory_equal(read_back, "\0\0\0\0\0\0", sizeof(read_back));
	close(fd);
}

static void a_text_file_with_a_nul_or_over_the_limit_is_an_error(void **state)
{
	const struct directory *directory = *state;
	struct error err = {0};
	char *text = NULL;

	assert_success(file_write_new(directory->fd, "nul", span_of("a\0b", 3), 0600, &err));
	assert_error(file_read_text(directory->fd, "nul", 100, &text, NULL, &err), VMCRED_USAGE,
		     "nul is not a text file: it contains a NUL byte");
	assert_success(file_write_new(directory->fd, "long", span_of_text("12345"), 0600, &err));
	assert_error(file_read_text(directory->fd, "long", 4, &text, NULL, &err), VMCRED_FAILED,
		     "long is larger than 4 bytes");
	assert_success(file_read_text(directory->fd, "long", 5, &text, NULL, &err));
	free(text);
}

static void a_memory_file_is_sealed_and_readable_only_for_its_owner(void **state)
{
	struct error err = {0};
	char text[3], path[64];
	struct stat status;
	int fd = memory_file_create("vmcred-test", span_of_text("abc"), &err);
	int again;

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GET_SEALS),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0400);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(again, text, 3), 3);
	assert_memory_equal(text, "abc", 3);
	close(again);
	close(fd);
}

static void a_memory_file_system_is_detected(void **state)
{
	const struct directory *directory = *state;
	int proc = open("/proc", O_RDONLY | O_CLOEXEC);

	assert_true(fd_is_on_memory(directory->fd));
	assert_false(fd_is_on_memory(proc));
	assert_false(fd_is_on_memory(-1));
	close(proc);
}

#define test_in_directory(name) \
	cmocka_unit_test_setup_teardown(name, directory_make, directory_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_in_directory(
			replacing_a_file_changes_content_and_mode_and_leaves_no_temporary_file),
		test_in_directory(a_failed_replacement_leaves_no_temporary_file),
		test_in_directory(writing_a_new_file_fails_if_it_exists),
		test_in_directory(removing_a_tree_does_not_follow_links),
		test_in_directory(wiping_overwrites_a_file_that_is_still_open),
		test_in_directory(a_text_file_with_a_nul_or_over_the_limit_is_an_error),
		cmocka_unit_test(a_memory_file_is_sealed_and_readable_only_for_its_owner),
		test_in_directory(a_memory_file_system_is_detected),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
