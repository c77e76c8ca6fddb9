/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"

#define FOLDER_PREFIX "vmcred"

void memory_directory_remove(struct memory_directory *folder)
{
	_cleanup_error_ struct error ignored = {0};

	if (folder->name)
		(void)dir_remove_tree(folder->parent_dirfd, folder->name, true, &ignored);
	if (folder->dirfd >= 0)
		close(folder->dirfd);
	if (folder->parent_dirfd >= 0)
		close(folder->parent_dirfd);
	free(folder->name);
	free(folder->path);
	*folder = (struct memory_directory)MEMORY_DIRECTORY_NONE;
}

/* A folder without a lock belongs to a run that was killed. */
static void left_over_remove(int parent_dirfd, const char *name)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd =
		openat(parent_dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (dirfd >= 0 && fstat(dirfd, &status) == 0 && status.st_uid == geteuid() &&
	    flock(dirfd, LOCK_EX | LOCK_NB) == 0)
		(void)dir_remove_tree(parent_dirfd, name, true, &ignored);
}

static void left_overs_remove(int parent_dirfd)
{
	static const char start[] = "." FOLDER_PREFIX ".";
	_cleanup_close_dir_ DIR *dir = dir_stream_open(parent_dirfd, ".");
	const char *entry;

	while (dir && (entry = dir_stream_next(dir))) {
		if (strncmp(entry, start, sizeof(start) - 1) == 0)
			left_over_remove(parent_dirfd, entry);
	}
}

/*
 * Makes and locks a folder. Returns 1, or 0 where another run took it for a left-over before the
 * lock was there.
 */
static int folder_make_locked(struct memory_directory *folder, struct error *err)
{
	struct stat status;

	folder->dirfd =
		dir_make_temporary(folder->parent_dirfd, FOLDER_PREFIX, 0700, &folder->name, err);
	if (folder->dirfd < 0)
		return folder->dirfd;
	if (flock(folder->dirfd, LOCK_EX | LOCK_NB) == 0 && fstat(folder->dirfd, &status) == 0 &&
	    status.st_nlink > 0)
		return 1;
	close(fd_release(&folder->dirfd));
	free(pointer_release(&folder->name));
	return 0;
}

/* Tries one place; 1: made there, 0: not a place for secrets. */
static int place_try(struct memory_directory *folder, const char *parent, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	int r;

	if (!parent || parent[0] != '/')
		return 0;
	folder->parent_dirfd = dir_open(AT_FDCWD, parent, &reason);
	if (folder->parent_dirfd < 0 || !fd_is_on_memory(folder->parent_dirfd)) {
		memory_directory_remove(folder);
		return 0;
	}
	left_overs_remove(folder->parent_dirfd);
	do {
		r = folder_make_locked(folder, &reason);
	} while (r == 0);
	if (r < 0) {
		memory_directory_remove(folder);
		return 0;
	}
	folder->path = path_join(parent, folder->name);
	return folder->path ? 1 : error_no_memory(err);
}

#define PLACES 3

/* In their order; the first is NULL where the environment does not say. */
static void places_list(const char *places[PLACES])
{
	places[0] = getenv("XDG_RUNTIME_DIR");
	places[1] = "/run";
	places[2] = "/dev/shm";
}

void memory_directory_clean(void)
{
	const char *places[PLACES];

	places_list(places);
	for (size_t i = 0; i < PLACES; i++) {
		_cleanup_close_ int dirfd =
			places[i] && places[i][0] == '/'
				? open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				: -1;

		if (dirfd >= 0 && fd_is_on_memory(dirfd))
			left_overs_remove(dirfd);
	}
}

int memory_directory_make(struct memory_directory *folder, const char *what, struct error *err)
{
	const char *places[PLACES];

	places_list(places);
	for (size_t i = 0; i < PLACES; i++) {
		int r = place_try(folder, places[i], err);

		if (r != 0)
			return r < 0 ? r : 0;
	}
	error_set(
		err, VMCRED_FAILED,
		"there is no memory file system for %s: tried $XDG_RUNTIME_DIR, /run and /dev/shm",
		what);
	return error_hint(err, "mount a tmpfs and name it in XDG_RUNTIME_DIR");
}
