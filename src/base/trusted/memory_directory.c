/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trusted/memory_directory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"

#define PREFIX  "vmcred"
#define PARENTS 3

static void parents_list(const char *parents[PARENTS])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	parents[0] = runtime && runtime[0] == '/' ? runtime : "/run";
	parents[1] = "/run";
	parents[2] = "/dev/shm";
}

/* Wipes the directories that nobody has locked: their processes were killed. */
static void left_overs_remove(int parent_dirfd)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(parent_dirfd, ".");
	const char *name;

	while (dir && (name = dir_stream_next(dir))) {
		_cleanup_error_ struct error ignored = {0};
		_cleanup_close_ int dirfd = -1;
		struct stat status;

		if (strncmp(name, "." PREFIX ".", strlen("." PREFIX ".")) != 0)
			continue;
		dirfd = openat(parent_dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dirfd >= 0 && fstat(dirfd, &status) == 0 && status.st_uid == geteuid() &&
		    flock(dirfd, LOCK_EX | LOCK_NB) == 0)
			(void)dir_remove_tree(parent_dirfd, name, true, &ignored);
	}
}

void memory_directory_clean(void)
{
	const char *parents[PARENTS];

	parents_list(parents);
	for (size_t i = 0; i < PARENTS; i++) {
		_cleanup_close_ int dirfd = open(parents[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dirfd >= 0 && fd_is_on_memory(dirfd))
			left_overs_remove(dirfd);
	}
}

/* Creates and locks it in `parent`. Returns 1, or 0 if that is impossible. */
static int parent_try(struct memory_directory *directory, const char *parent, struct error *err)
{
	_cleanup_error_ struct error reason = {0};

	directory->parent_dirfd = dir_open(AT_FDCWD, parent, &reason);
	if (directory->parent_dirfd < 0 || !fd_is_on_memory(directory->parent_dirfd))
		return 0;
	left_overs_remove(directory->parent_dirfd);
	for (;;) {
		struct stat status;

		directory->dirfd = dir_make_temporary(directory->parent_dirfd, PREFIX, 0700,
						      &directory->name, &reason);
		if (directory->dirfd < 0)
			return 0;
		/* Another process may have removed it as a left-over before it was locked. */
		if (flock(directory->dirfd, LOCK_EX | LOCK_NB) == 0 &&
		    fstat(directory->dirfd, &status) == 0 && status.st_nlink > 0)
			break;
		close(fd_release(&directory->dirfd));
		free(pointer_release(&directory->name));
	}
	directory->path = path_join(parent, directory->name);
	return directory->path ? 1 : error_no_memory(err);
}

int memory_directory_make(struct memory_directory *directory, const char *what, struct error *err)
{
	const char *parents[PARENTS];

	parents_list(parents);
	for (size_t i = 0; i < PARENTS; i++) {
		int r = parent_try(directory, parents[i], err);

		if (r != 0)
			return r < 0 ? r : 0;
		memory_directory_remove(directory);
	}
	error_set(err, VMCRED_FAILED,
		  "no memory file system for %s: tried $XDG_RUNTIME_DIR, /run and /dev/shm", what);
	return error_hint(err, "mount a tmpfs and set XDG_RUNTIME_DIR to it");
}

void memory_directory_remove(struct memory_directory *directory)
{
	_cleanup_error_ struct error ignored = {0};

	if (directory->name)
		(void)dir_remove_tree(directory->parent_dirfd, directory->name, true, &ignored);
	if (directory->dirfd >= 0)
		close(directory->dirfd);
	if (directory->parent_dirfd >= 0)
		close(directory->parent_dirfd);
	free(directory->name);
	free(directory->path);
	*directory = (struct memory_directory)MEMORY_DIRECTORY_NONE;
}
