/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vars/vars.h"

#define LINK_NAME "secrets"

/* "vars/<generator>", below a generation. NULL without memory. */
static char *generator_path(const struct config_generator *generator)
{
	char *path = NULL;

	if (asprintf(&path, "vars/%s", generator->name) < 0)
		return NULL;
	return path;
}

unsigned generation_current(int run_dirfd)
{
	char target[64];
	ssize_t length = readlinkat(run_dirfd, LINK_NAME, target, sizeof(target) - 1);
	const char *slash;

	if (length <= 0)
		return 0;
	target[length] = '\0';
	slash = strrchr(target, '/');
	return slash ? (unsigned)strtoul(slash + 1, NULL, 10) : 0;
}

/* Whether the current generation has this file with the same content, mode and owner. */
static bool secret_is_current(int generation_dirfd, const struct active_secret *secret)
{
	_cleanup_secret_ struct secret content = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *folder = generator_path(secret->generator), *path = NULL;
	_cleanup_close_ int fd = -1;
	struct stat status;

	path = folder ? path_join(folder, secret->file->name) : NULL;
	fd = path ? openat(generation_dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	return fd >= 0 && fstat(fd, &status) == 0 &&
	       (status.st_mode & 07777) == secret->file->mode && status.st_uid == secret->uid &&
	       status.st_gid == secret->gid &&
	       secret_read(&content, fd, VARS_SECRET_SIZE_MAX, path, &ignored) == 0 &&
	       secret_equal(secret_span(&content), secret_span(&secret->plaintext));
}

/* Entries of a folder, all levels: how many are not folders. */
static size_t files_count(int parent, const char *name)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(parent, name);
	const char *entry;
	size_t count = 0;

	if (!dir)
		return 1;
	while ((entry = dir_stream_next(dir)))
		count += files_count(dirfd(dir), entry);
	return count;
}

int generation_compare(int run_dirfd, struct active_secret *secrets, size_t count,
		       struct error *err)
{
	_cleanup_close_ int dirfd =
		openat(run_dirfd, LINK_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool differs = dirfd < 0;

	if (dirfd < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "opening the current generation of secrets");
	for (size_t i = 0; i < count; i++) {
		secrets[i].changed = dirfd < 0 || !secret_is_current(dirfd, &secrets[i]);
		differs = differs || secrets[i].changed;
	}
	return differs || files_count(dirfd, ".") != count;
}

static int secret_write(int dirfd, const struct active_secret *secret, struct error *err)
{
	const char *name = secret->file->name;
	int r = file_write_new(dirfd, name, secret_span(&secret->plaintext), secret->file->mode,
			       err);

	if (r < 0)
		return r;
	if ((secret->uid != geteuid() || secret->gid != getegid()) &&
	    fchownat(dirfd, name, secret->uid, secret->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, errno, "giving %s to %s:%s", name, secret->file->owner,
				       secret->file->group);
	return 0;
}

static int secrets_write(int generation_dirfd, const struct active_secret *secrets, size_t count,
			 struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *path = generator_path(secrets[i].generator);
		_cleanup_close_ int dirfd = -1;
		int r;

		if (!path)
			return error_no_memory(err);
		dirfd = dir_make(generation_dirfd, path, GENERATION_MODE, err);
		if (dirfd < 0)
			return dirfd;
		if (fchmod(dirfd, GENERATION_MODE) < 0)
			return error_set_errno(err, errno, "setting the mode of %s", path);
		r = secret_write(dirfd, &secrets[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int generation_write(int folder_dirfd, unsigned number, const struct active_secret *secrets,
		     size_t count, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd = -1, vars_dirfd = -1;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "%u", number);
	dirfd = dir_make_temporary(folder_dirfd, name, GENERATION_MODE, &temporary, err);
	if (dirfd < 0)
		return dirfd;
	vars_dirfd = dir_make(dirfd, "vars", GENERATION_MODE, err);
	r = vars_dirfd < 0 ? vars_dirfd : secrets_write(dirfd, secrets, count, err);
	if (r == 0 &&
	    (fchmod(dirfd, GENERATION_MODE) < 0 || fchmod(vars_dirfd, GENERATION_MODE) < 0))
		r = error_set_errno(err, errno, "setting the mode of generation %s", name);
	/* A folder of that number that the link does not point to is left over from a crash. */
	if (r == 0)
		r = dir_remove_tree(folder_dirfd, name, true, err);
	if (r == 0 && renameat(folder_dirfd, temporary, folder_dirfd, name) < 0)
		r = error_set_errno(err, errno, "putting generation %s in place", name);
	if (r < 0) {
		(void)dir_remove_tree(folder_dirfd, temporary, true, &ignored);
		return error_wrap(err, "writing generation %s", name);
	}
	return 0;
}

int generation_clean(int folder_dirfd, unsigned current, struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(folder_dirfd, ".");
	const char *entry;
	char name[16];
	int r = 0;

	if (!dir)
		return error_set_errno(err, errno, "listing the generations");
	snprintf(name, sizeof(name), "%u", current);
	while (r == 0 && (entry = dir_stream_next(dir))) {
		if (strcmp(entry, name) != 0)
			r = dir_remove_tree(folder_dirfd, entry, true, err);
	}
	return r;
}

int generation_switch(int run_dirfd, unsigned number, struct error *err)
{
	static const char temporary[] = "." LINK_NAME ".new";
	char target[64], name[16];

	snprintf(name, sizeof(name), "%u", number);
	snprintf(target, sizeof(target), GENERATION_FOLDER "/%u", number);
	if (unlinkat(run_dirfd, temporary, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "removing a left-over %s", temporary);
	if (symlinkat(target, run_dirfd, temporary) < 0)
		return error_set_errno(err, errno, "making the link to generation %s", name);
	if (renameat(run_dirfd, temporary, run_dirfd, LINK_NAME) < 0) {
		int errnum = errno;

		(void)unlinkat(run_dirfd, temporary, 0);
		error_set_errno(err, errnum, "switching to generation %s", name);
		if (errnum == EISDIR)
			return error_hint(err,
					  "/run/secrets is a folder of something else: remove it");
		return -(int)err->code;
	}
	return 0;
}
