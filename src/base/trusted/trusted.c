/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trusted/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define LINKS_MAX 40 /* as in the kernel (path_resolution(7)) */
#define NOBODY    ((uid_t)-1)

/* A path that is resolved step by step. */
struct walk {
	const char *path; /* as given */
	int fd;           /* owned; the directory so far */
	char *rest;       /* owned; the path from there */
	unsigned links;
	bool is_foreign; /* another user controls a part of it */
	bool is_bound;   /* a link of another user was followed: must end at something of theirs */
	uid_t owner;     /* that user */

	struct trusted_target *target; /* NULL: the last part must exist, too */
};

static void walk_release(struct walk *walk)
{
	cleanup_close_fd(&walk->fd);
	free(walk->rest);
}

static void walk_enter(struct walk *walk, int fd)
{
	cleanup_close_fd(&walk->fd);
	walk->fd = fd;
}

static int walk_begin(struct walk *walk, struct error *err)
{
	walk->rest = strdup(walk->path);
	walk->fd = open(*walk->path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!walk->rest)
		return error_no_memory(err);
	return walk->fd < 0 ? error_set_errno(err, errno, "opening %s", walk->path) : 0;
}

/* The owner of "/" is root, also where a user namespace shows another number. */
bool trusted_user_is_ours(uid_t uid)
{
	struct stat root;

	return uid == 0 || uid == geteuid() || (stat("/", &root) == 0 && uid == root.st_uid);
}

/* Whether others can rename entries of the directory. A user's own group has no other members. */
static bool is_shared(const struct stat *directory)
{
	const bool is_own_group = directory->st_gid == 0 || directory->st_gid == getegid();

	return (directory->st_mode & (is_own_group ? S_IWOTH : S_IWGRP | S_IWOTH)) &&
	       !(directory->st_mode & S_ISVTX);
}

static int walk_refuse(const struct walk *walk, struct error *err)
{
	error_set(err, VMCRED_FAILED, "opening %s: a symbolic link of another user leads elsewhere",
		  walk->path);
	return error_hint(err, "replace the link with a directory");
}

/* Whether another user created the file in a directory with the sticky bit. */
static bool is_planted(const struct stat *directory, const struct stat *file)
{
	return (directory->st_mode & S_ISVTX) && (directory->st_mode & (S_IWGRP | S_IWOTH)) &&
	       file->st_uid != directory->st_uid && file->st_uid != geteuid();
}

static int planted_refuse(const struct walk *walk, const struct stat *status, struct error *err)
{
	error_set(err, VMCRED_FAILED,
		  "opening %s: user %u created it in a directory that others can write to",
		  walk->path, status->st_uid);
	return error_hint(err, "choose another path");
}

/* Follows the link `name`, opened as `fd`. */
static int link_follow(struct walk *walk, const struct stat *directory, int fd, uid_t link_owner,
		       struct error *err)
{
	uid_t owner = !trusted_user_is_ours(link_owner)          ? link_owner
		      : !trusted_user_is_ours(directory->st_uid) ? directory->st_uid
								 : NOBODY;
	char target[PATH_MAX];
	ssize_t length = readlinkat(fd, "", target, sizeof(target) - 1);
	char *rest;

	if (length < 0 || ++walk->links > LINKS_MAX)
		return error_set_errno(err, length < 0 ? errno : ELOOP, "opening %s", walk->path);
	target[length] = '\0';
	if (owner != NOBODY || is_shared(directory)) {
		/* No file has the owner NOBODY: the walk fails at its end. */
		walk->owner = !walk->is_bound || walk->owner == owner ? owner : NOBODY;
		walk->is_foreign = walk->is_bound = true;
	}
	rest = text_format("%s/%s", target, walk->rest);
	if (!rest)
		return error_no_memory(err);
	free(walk->rest);
	walk->rest = rest;
	if (*target != '/')
		return 0;
	walk_enter(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return walk->fd < 0 ? error_set_errno(err, errno, "opening /") : 0;
}

/* Creates a directory of the walk. */
static int directory_make(const struct walk *walk, const char *name, mode_t mode, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (walk->is_bound)
		return walk_refuse(walk, err);
	if (mkdirat(walk->fd, name, mode) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "creating %s", walk->path);
	fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? error_set_errno(err, errno, "creating %s", walk->path) : 0;
}

/* A link in /proc, such as /proc/self/fd/1, leads to a descriptor and not to a path. */
static bool is_magic(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

/* Ends the walk at the last part of the path. `*fd` is -1 if it does not exist. */
static int target_take(struct walk *walk, char **name, int *fd)
{
	walk->target->name = pointer_release(name);
	walk->target->fd = fd_release(fd);
	return 1;
}

/* Takes the next part of the path. Returns 1 at the end, else 0. */
static int walk_step(struct walk *walk, mode_t mode, struct error *err)
{
	char *part = walk->rest + strspn(walk->rest, "/");
	const size_t length = strcspn(part, "/");
	const bool is_target = walk->target && part[length + strspn(part + length, "/")] == '\0';
	_cleanup_free_ char *name = strndup(part, length);
	_cleanup_close_ int fd = -1;
	struct stat directory, status;

	if (!name)
		return error_no_memory(err);
	if (length == 0)
		return 1;
	fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && is_target)
		return target_take(walk, &name, &fd);
	if (fd < 0 && errno == ENOENT && mode != 0)
		return directory_make(walk, name, mode, err);
	if (fd < 0 && errno == ENOTDIR)
		return error_set(err, VMCRED_MISSING, "opening %s: %s", walk->path,
				 strerrordesc_np(ENOTDIR));
	if (fd < 0 || fstat(fd, &status) < 0 || fstat(walk->fd, &directory) < 0)
		return error_set_errno(err, errno, "opening %s", walk->path);
	if ((is_target || S_ISLNK(status.st_mode)) && is_planted(&directory, &status))
		return planted_refuse(walk, &status, err);
	if (is_target && !(S_ISLNK(status.st_mode) && !is_magic(fd)))
		return target_take(walk, &name, &fd);
	memmove(walk->rest, part + length, strlen(part + length) + 1);
	if (S_ISLNK(status.st_mode))
		return link_follow(walk, &directory, fd, status.st_uid, err);
	walk->is_foreign =
		walk->is_foreign || !trusted_user_is_ours(status.st_uid) || is_shared(&directory);
	walk_enter(walk, fd_release(&fd));
	return 0;
}

/* Resolves the whole path. Returns a descriptor opened with O_PATH. */
static int walk_all(struct walk *walk, mode_t mode, struct error *err)
{
	struct stat status;
	int r = walk_begin(walk, err);

	while (r == 0)
		r = walk_step(walk, mode, err);
	if (r < 0)
		return r;
	/* That user may replace everything in a directory of theirs. */
	if (walk->is_bound &&
	    (fstat(walk->fd, &status) < 0 || status.st_uid != walk->owner || walk->owner == NOBODY))
		return walk_refuse(walk, err);
	return fd_release(&walk->fd);
}

int trusted_parent_open(const char *path, mode_t mode, const char **name, bool *is_foreign,
			struct error *err)
{
	const char *last = basename(path);
	const size_t length = (size_t)(last - path);
	_cleanup_free_ char *parent = strndup(path, length > 1 ? length - 1 : length);
	__attribute__((cleanup(walk_release))) struct walk walk = {.path = parent, .fd = -1};
	int fd;

	if (!parent)
		return error_no_memory(err);
	fd = walk_all(&walk, mode, err);
	*name = last;
	if (is_foreign)
		*is_foreign = walk.is_foreign;
	return fd;
}

/* Opens again what is open with O_PATH. */
static int reopen(int fd, int flags, const char *path, struct error *err)
{
	char link[32];
	int opened;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	opened = open(link, flags | O_NOCTTY | O_CLOEXEC);
	return opened < 0 ? error_set_errno(err, errno, "opening %s", path) : opened;
}

static int directory_reopen(int fd, const char *path, struct error *err)
{
	int opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return opened < 0 ? error_set_errno(err, errno, "opening %s", path) : opened;
}

int trusted_directory_open(const char *path, struct error *err)
{
	__attribute__((cleanup(walk_release))) struct walk walk = {.path = path, .fd = -1};
	_cleanup_close_ int fd = walk_all(&walk, 0, err);
	struct stat status;

	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "opening %s", path);
	if (walk.is_foreign ||
	    ((status.st_mode & (S_IWGRP | S_IWOTH)) && !(status.st_mode & S_ISVTX)))
		return error_set(err, VMCRED_FAILED, "opening %s: other users can change it", path);
	return directory_reopen(fd, path, err);
}

int trusted_directory_make(const char *path, mode_t mode, struct error *err)
{
	__attribute__((cleanup(walk_release))) struct walk walk = {.path = path, .fd = -1};
	_cleanup_close_ int fd = walk_all(&walk, mode, err);

	if (fd < 0)
		return fd == -(int)VMCRED_MISSING ? -(int)(err->code = VMCRED_FAILED) : fd;
	return directory_reopen(fd, path, err);
}

int trusted_file_open(const char *path, struct error *err)
{
	__attribute__((cleanup(walk_release))) struct walk walk = {.path = path, .fd = -1};
	_cleanup_close_ int fd = walk_all(&walk, 0, err);
	struct stat status;

	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return error_set(err, VMCRED_FAILED, "opening %s: not a regular file", path);
	return reopen(fd, O_RDONLY, path, err);
}

/* Whether the user may become root anyway. As in git, only root believes the variable. */
static bool is_sudo_user(uid_t uid)
{
	const char *text = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
	char *end;

	return text && *text >= '0' && *text <= '9' && strtoul(text, &end, 10) == uid &&
	       *end == '\0';
}

int trusted_found_check(const char *path, struct error *err)
{
	const char *last = basename(path);
	_cleanup_free_ char *directory =
		last == path ? strdup(".") : strndup(path, (size_t)(last - path));
	struct stat statuses[3]; /* the directory, the file, and what it leads to if it is a link */

	if (!directory)
		return error_no_memory(err);
	if (stat(directory, &statuses[0]) < 0 || lstat(path, &statuses[1]) < 0 ||
	    stat(path, &statuses[2]) < 0)
		return error_set_errno(err, errno, "%s", path);
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		const uid_t owner = statuses[i].st_uid;

		if (trusted_user_is_ours(owner) || is_sudo_user(owner))
			continue;
		error_set(err, VMCRED_USAGE, "%s%s belongs to user %u, not to you or root",
			  i == 0 ? "the directory of " : "", path, owner);
		return error_hint(err, "use --config %s if you trust that user", path);
	}
	return 0;
}

int trusted_target_open(const char *path, struct trusted_target *target, struct error *err)
{
	__attribute__((cleanup(walk_release))) struct walk walk = {
		.path = path, .fd = -1, .target = target};

	target->dirfd = walk_all(&walk, 0, err);
	if (target->dirfd < 0)
		return target->dirfd;
	/* Only a directory can have that name. */
	if (!target->name || path[strlen(path) - 1] == '/')
		return error_set_errno(err, EISDIR, "opening %s", path);
	return 0;
}

int trusted_target_reopen(const struct trusted_target *target, int flags, const char *path,
			  struct error *err)
{
	return reopen(target->fd, flags, path, err);
}

void trusted_target_release(struct trusted_target *target)
{
	cleanup_close_fd(&target->dirfd);
	cleanup_close_fd(&target->fd);
	free(target->name);
	*target = (struct trusted_target)TRUSTED_TARGET_NONE;
}
