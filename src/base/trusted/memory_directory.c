/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trusted/memory_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "base/trusted/trusted.h"

#define PREFIX      "vmcred"
/* Not removed as a left-over. */
#define PREFIX_KEPT "vmcred-kept"
#define PARENTS     3

static void parents_list(const char *parents[PARENTS])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	parents[0] = runtime && runtime[0] == '/' ? runtime : "/run";
	parents[1] = "/run";
	parents[2] = "/dev/shm";
}

/* The parent's descriptor, or -1 if plaintext must not be there. */
static int parent_open(const char *parent)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int fd = trusted_directory_open(parent, &ignored);

	return fd >= 0 && fd_is_on_memory(fd) ? fd_release(&fd) : -1;
}

/* Wipes the directories that nobody has locked: their processes were killed. */
static void left_overs_remove(int parent_dirfd, const char *parent, const struct report *report)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(parent_dirfd, ".");
	const char *name;

	while (dir && (name = dir_stream_next(dir))) {
		_cleanup_error_ struct error failure = {0};
		_cleanup_close_ int dirfd = -1;
		struct stat status;

		if (strncmp(name, "." PREFIX ".", strlen("." PREFIX ".")) != 0)
			continue;
		dirfd = openat(parent_dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dirfd >= 0 && fstat(dirfd, &status) == 0 && status.st_uid == geteuid() &&
		    flock(dirfd, LOCK_EX | LOCK_NB) == 0 &&
		    dir_remove_tree(parent_dirfd, name, true, &failure) < 0)
			report_message(report, REPORT_WARNING,
				       "wiping the plaintext that a killed run left in %s/%s: %s",
				       parent, name, failure.text);
	}
}

void memory_directory_clean(const struct report *report)
{
	const char *parents[PARENTS];

	parents_list(parents);
	for (size_t i = 0; i < PARENTS; i++) {
		_cleanup_close_ int dirfd = parent_open(parents[i]);

		if (dirfd >= 0)
			left_overs_remove(dirfd, parents[i], report);
	}
}

/* Whether the directory still has its name. */
static bool is_in_place(const struct memory_directory *directory)
{
	struct stat named, status;

	return fstatat(directory->parent_dirfd, directory->name, &named, AT_SYMLINK_NOFOLLOW) ==
		       0 &&
	       fstat(directory->dirfd, &status) == 0 && named.st_dev == status.st_dev &&
	       named.st_ino == status.st_ino;
}

/* Creates and locks it in the parent. Returns 1, or 0 if another process removed it before it was
 * locked, as a left-over. */
static int locked_make(struct memory_directory *directory, struct error *err)
{
	directory->dirfd =
		dir_make_temporary(directory->parent_dirfd, PREFIX, 0700, &directory->name, err);
	if (directory->dirfd < 0)
		return directory->dirfd == -(int)VMCRED_MISSING ? 0 : directory->dirfd;
	if (flock(directory->dirfd, LOCK_EX | LOCK_NB) == 0 && is_in_place(directory))
		return 1;
	close(fd_release(&directory->dirfd));
	free(pointer_release(&directory->name));
	return 0;
}

static void directory_release(struct memory_directory *directory)
{
	cleanup_close_fd(&directory->dirfd);
	cleanup_close_fd(&directory->parent_dirfd);
	free(directory->name);
	free(directory->path);
	*directory = (struct memory_directory)MEMORY_DIRECTORY_NONE;
}

/* Creates and locks it in `parent`. Returns 1, or 0 if that is impossible. */
static int parent_try(struct memory_directory *directory, const char *parent,
		      const struct report *report, struct error *err)
{
	int r = 0;

	directory->parent_dirfd = parent_open(parent);
	if (directory->parent_dirfd < 0)
		return 0;
	left_overs_remove(directory->parent_dirfd, parent, report);
	for (int attempt = 0; r == 0 && attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_error_ struct error reason = {0};

		r = locked_make(directory, &reason);
	}
	if (r <= 0) {
		directory_release(directory);
		return 0;
	}
	directory->path = path_join(parent, directory->name);
	return directory->path ? 1 : error_no_memory(err);
}

int memory_directory_make(struct memory_directory *directory, const char *what,
			  const struct report *report, struct error *err)
{
	const char *parents[PARENTS];

	parents_list(parents);
	for (size_t i = 0; i < PARENTS; i++) {
		int r = parent_try(directory, parents[i], report, err);

		if (r != 0)
			return r < 0 ? r : 0;
	}
	error_set(err, VMCRED_FAILED,
		  "no memory file system for %s: tried $XDG_RUNTIME_DIR, /run and /dev/shm", what);
	return error_hint(err, "mount a tmpfs, and set XDG_RUNTIME_DIR to a directory there that "
			       "other users cannot change");
}

static int gone(const struct memory_directory *directory, struct error *err)
{
	error_set(err, VMCRED_FAILED,
		  "%s was moved or removed by another process: others may have read the plaintext "
		  "in it",
		  directory->path);
	return error_hint(err, "replace these secrets");
}

static int contents_wipe(const struct memory_directory *directory, struct error *err)
{
	const bool was_in_place = is_in_place(directory);
	int r = dir_empty(directory->dirfd, true, err);

	if (r < 0)
		(void)error_wrap(err, "wiping the plaintext in %s", directory->path);
	else if (!was_in_place)
		r = gone(directory, err);
	/* Not another process's directory. */
	if (was_in_place && unlinkat(directory->parent_dirfd, directory->name, AT_REMOVEDIR) < 0 &&
	    r == 0)
		r = error_set_errno(err, errno, "removing %s", directory->path);
	return r;
}

int memory_directory_remove(struct memory_directory *directory, struct error *err)
{
	struct error failure = {0};

	if (directory->path)
		(void)contents_wipe(directory, &failure);
	directory_release(directory);
	return error_add(err, &failure);
}

int memory_directory_keep(struct memory_directory *directory, char **path, struct error *err)
{
	for (int attempt = 0; attempt < DIR_NAME_ATTEMPTS; attempt++) {
		_cleanup_free_ char *hidden = dir_temporary_name(PREFIX_KEPT), *kept = NULL;
		const char *name = hidden ? hidden + 1 : NULL;

		if (!is_in_place(directory))
			return gone(directory, err);
		kept = name ? text_format("%.*s%s",
					  (int)(strlen(directory->path) - strlen(directory->name)),
					  directory->path, name)
			    : NULL;
		if (!kept)
			return error_no_memory(err);
		if (renameat2(directory->parent_dirfd, directory->name, directory->parent_dirfd,
			      name, RENAME_NOREPLACE) == 0) {
			*path = pointer_release(&kept);
			directory_release(directory);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return error_set_errno(err, errno, "renaming %s", directory->path);
}
