/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/text.h"

#define DIGITS "0123456789"

struct generation_file *generation_files_add(struct generation_files *files, char *path,
					     struct error *err)
{
	struct generation_file *file;
	int r = path ? array_extend(&files->items, files->count, sizeof(*file), err)
		     : error_no_memory(err);

	if (r < 0) {
		free(path);
		return NULL;
	}
	file = &files->items[files->count++];
	*file = (struct generation_file){.path = path, .uid = geteuid(), .gid = getegid()};
	return file;
}

void generation_files_destroy(struct generation_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->items[i].path);
		free(files->items[i].target);
		secret_destroy(&files->items[i].content);
	}
	free(files->items);
	*files = (struct generation_files){0};
}

int owner_user_find(const char *name, uid_t *uid, struct error *err)
{
	const struct passwd *user = getpwnam(name);

	if (!user)
		return error_set(err, VMCRED_MISSING, "user \"%s\" does not exist", name);
	*uid = user->pw_uid;
	return 0;
}

int owner_group_find(const char *name, gid_t *gid, struct error *err)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return error_set(err, VMCRED_MISSING, "group \"%s\" does not exist", name);
	*gid = group->gr_gid;
	return 0;
}

/* The number of a generation with this name; 0 if the name is not that of a generation. */
static unsigned number_of(const char *name)
{
	size_t digits = strspn(name, DIGITS);

	return digits > 0 && digits < 10 && name[digits] == '\0' && name[0] != '0'
		       ? (unsigned)strtoul(name, NULL, 10)
		       : 0;
}

/* Whether the link leads to a generation, whatever its path looks like. */
static bool is_below(const struct generation_place *place)
{
	_cleanup_close_ int fd =
		openat(place->link_dirfd, place->link_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat directory, parent;

	return fd >= 0 && fstatat(fd, "..", &parent, 0) == 0 &&
	       fstat(place->dirfd, &directory) == 0 && parent.st_dev == directory.st_dev &&
	       parent.st_ino == directory.st_ino;
}

unsigned generation_current(const struct generation_place *place)
{
	char target[PATH_MAX];
	ssize_t length =
		readlinkat(place->link_dirfd, place->link_name, target, sizeof(target) - 1);
	const char *slash;

	if (length <= 0 || !is_below(place))
		return 0;
	target[length] = '\0';
	slash = strrchr(target, '/');
	return number_of(slash ? slash + 1 : target);
}

static void link_compare(int generation_dirfd, struct generation_file *file)
{
	size_t size = strlen(file->target);
	char found[PATH_MAX];
	struct stat status;
	ssize_t length = readlinkat(generation_dirfd, file->path, found, sizeof(found));

	if (length < 0)
		return;
	file->exists = true;
	if ((size_t)length != size || memcmp(found, file->target, size) != 0 ||
	    fstatat(generation_dirfd, file->path, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	file->has_content = true;
	file->changed = status.st_uid != file->uid || status.st_gid != file->gid;
}

static void file_compare(int generation_dirfd, struct generation_file *file)
{
	_cleanup_secret_ struct secret content = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int fd = openat(generation_dirfd, file->path,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return;
	file->exists = true;
	if (status.st_size != (off_t)file->content.size ||
	    secret_read(&content, fd, file->content.size + 1, file->path, &ignored) < 0 ||
	    !secret_equal(secret_span(&content), secret_span(&file->content)))
		return;
	file->has_content = true;
	file->changed = (status.st_mode & 07777) != file->mode || status.st_uid != file->uid ||
			status.st_gid != file->gid;
}

/* The number of entries at all levels of a directory that are not directories. */
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

int generation_compare(const struct generation_place *place, struct generation_files *files,
		       struct error *err)
{
	_cleanup_close_ int dirfd =
		openat(place->link_dirfd, place->link_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool differs = dirfd < 0 || generation_current(place) == 0;

	/* Anything else than a link is replaced by the switch. */
	if (dirfd < 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(err, errno, "opening the current generation");
	for (size_t i = 0; i < files->count; i++) {
		struct generation_file *file = &files->items[i];

		file->changed = true;
		if (dirfd >= 0 && file->target)
			link_compare(dirfd, file);
		else if (dirfd >= 0)
			file_compare(dirfd, file);
		differs = differs || file->changed;
	}
	return differs || files_count(dirfd, ".") != files->count;
}

static int directory_own(int dirfd, const char *what, gid_t gid, struct error *err)
{
	if (fchmod(dirfd, GENERATION_MODE) < 0)
		return error_set_errno(err, errno, "setting the mode of %s", what);
	if (gid != GENERATION_GROUP_OWN && fchown(dirfd, 0, gid) < 0)
		return error_set_errno(err, errno, "changing the group of %s to %u", what, gid);
	return 0;
}

/* Creates the parent directories of a path; returns a descriptor of the last one. */
static int parents_make(int generation_dirfd, const char *path, gid_t gid, struct error *err)
{
	_cleanup_free_ char *directory = strdup(path);
	int r = 0;

	if (!directory)
		return error_no_memory(err);
	for (char *slash = strchr(directory, '/'); r == 0 && slash;
	     slash = strchr(slash + 1, '/')) {
		_cleanup_close_ int dirfd = -1;

		*slash = '\0';
		dirfd = dir_make(generation_dirfd, directory, GENERATION_MODE, err);
		r = dirfd < 0 ? dirfd : directory_own(dirfd, directory, gid, err);
		if (r == 0 && !strchr(slash + 1, '/'))
			return fd_release(&dirfd);
		*slash = '/';
	}
	return r < 0 ? r : dir_open(generation_dirfd, ".", err);
}

static int file_write(int generation_dirfd, const struct generation_file *file, gid_t directory_gid,
		      struct error *err)
{
	_cleanup_close_ int dirfd = parents_make(generation_dirfd, file->path, directory_gid, err);
	const char *slash = strrchr(file->path, '/'), *name = slash ? slash + 1 : file->path;
	int r = 0;

	if (dirfd < 0)
		return dirfd;
	if (!file->target)
		r = file_write_new(dirfd, name, secret_span(&file->content), file->mode, err);
	else if (symlinkat(file->target, dirfd, name) < 0)
		r = error_set_errno(err, errno, "creating the link %s", file->path);
	if (r < 0)
		return r;
	if ((file->uid != geteuid() || file->gid != getegid()) &&
	    fchownat(dirfd, name, file->uid, file->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, errno, "changing the owner of %s to %u:%u", file->path,
				       file->uid, file->gid);
	return 0;
}

int generation_write(const struct generation_place *place, unsigned number,
		     const struct generation_files *files, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd = -1;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "%u", number);
	dirfd = dir_make_temporary(place->dirfd, name, GENERATION_MODE, &temporary, err);
	if (dirfd < 0)
		return dirfd;
	r = directory_own(dirfd, "the new generation", place->directory_gid, err);
	for (size_t i = 0; r == 0 && i < files->count; i++)
		r = file_write(dirfd, &files->items[i], place->directory_gid, err);
	/* A directory of this number is the leftover of a killed run. */
	if (r == 0)
		r = dir_remove_tree(place->dirfd, name, true, err);
	if (r == 0 && renameat(place->dirfd, temporary, place->dirfd, name) < 0)
		r = error_set_errno(err, errno, "renaming generation %s", name);
	if (r < 0) {
		(void)dir_remove_tree(place->dirfd, temporary, true, &ignored);
		return error_wrap(err, "writing generation %s", name);
	}
	return 0;
}

/* Whether the name is from dir_make_temporary() for a generation. */
static bool is_incomplete(const char *name)
{
	return name[0] == '.' && strspn(name + 1, DIGITS) > 0 &&
	       name[1 + strspn(name + 1, DIGITS)] == '.';
}

static char *link_temporary(const struct generation_place *place)
{
	return text_format(".%s.new", place->link_name);
}

int generation_clean(const struct generation_place *place, unsigned current, unsigned keep,
		     struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(place->dirfd, ".");
	_cleanup_free_ char *temporary = link_temporary(place);
	const char *entry;
	int r;

	if (!temporary)
		return error_no_memory(err);
	if (!dir)
		return error_set_errno(err, errno, "listing the generations");
	r = dir_remove_tree(place->link_dirfd, temporary, true, err);
	while (r == 0 && (entry = dir_stream_next(dir))) {
		unsigned number = number_of(entry);
		bool is_old =
			number > 0 && number < current && keep > 0 && current - number >= keep;

		/* The next number belongs to a run that was killed before the switch. */
		if (is_old || number == current + 1 || is_incomplete(entry))
			r = dir_remove_tree(place->dirfd, entry, true, err);
	}
	return r;
}

/* A directory in memory is disposable; one on disk may not be. */
static bool is_replaceable(const struct generation_place *place)
{
	_cleanup_close_ int fd = openat(place->link_dirfd, place->link_name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && fd_is_on_memory(fd);
}

static int link_place(const struct generation_place *place, const char *temporary,
		      struct error *err)
{
	int r = renameat(place->link_dirfd, temporary, place->link_dirfd, place->link_name);

	if (r < 0 && errno == EISDIR && is_replaceable(place)) {
		r = renameat2(place->link_dirfd, temporary, place->link_dirfd, place->link_name,
			      RENAME_EXCHANGE);
		if (r == 0)
			return dir_remove_tree(place->link_dirfd, temporary, true, err);
	} else if (r < 0 && errno == EISDIR) {
		error_set_errno(err, EISDIR, "switching to the new generation");
		return error_hint(err, "%s is a directory on disk: remove it", place->link_name);
	}
	return r < 0 ? error_set_errno(err, errno, "switching to the new generation") : 0;
}

int generation_switch(const struct generation_place *place, unsigned number, struct error *err)
{
	_cleanup_free_ char *target = text_format("%s/%u", place->target, number);
	_cleanup_free_ char *temporary = link_temporary(place);
	int r;

	if (!target || !temporary)
		return error_no_memory(err);
	r = dir_remove_tree(place->link_dirfd, temporary, true, err);
	if (r < 0)
		return error_wrap(err, "removing the leftover %s", temporary);
	if (symlinkat(target, place->link_dirfd, temporary) < 0)
		return error_set_errno(err, errno, "creating the link to generation %u", number);
	r = link_place(place, temporary, err);
	if (r < 0)
		(void)unlinkat(place->link_dirfd, temporary, 0);
	return r;
}
