/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a secret's links lead to. clan follows them: one whose name is right and that leads
 * nowhere, or to somebody else, gives nothing to whom it is named after.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vars/store.h"

/* Three names of a path, of which each has at most 255 bytes, and what leads up. */
#define PLACE_SIZE 1024

static bool is_same_place(int dirfd, const char *one, const char *other)
{
	struct stat a, b;

	return fstatat(dirfd, one, &a, 0) == 0 && fstatat(dirfd, other, &b, 0) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What we write is known by its text. Another text may lead to the same folder. */
static bool leads_right(int secret_dirfd, const char *up, const char *folder, const char *name)
{
	char place[PLACE_SIZE], right[PLACE_SIZE], text[PLACE_SIZE];
	const size_t skip = strlen(folder) + 1;
	ssize_t size;
	int place_size = snprintf(place, sizeof(place), "%s/%s", folder, name);
	int right_size = snprintf(right, sizeof(right), "%s/%s/%s/%s", folder, up, folder, name);

	if (place_size < 0 || place_size >= PLACE_SIZE || right_size < 0 ||
	    right_size >= PLACE_SIZE)
		return false;
	size = readlinkat(secret_dirfd, place, text, sizeof(text));
	/* A link that became a file, where there are no links, leads nowhere else. */
	if (size < 0)
		return errno == EINVAL;
	if ((size_t)size == (size_t)right_size - skip &&
	    memcmp(text, right + skip, (size_t)size) == 0)
		return true;
	return is_same_place(secret_dirfd, place, right);
}

int access_links_check(int secret_dirfd, const char *up, const struct access *is,
		       const struct access *wanted, char **astray, struct error *err)
{
	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		const char *folder = store_kind_directory((enum vars_member_type)type);

		for (char **name = is->names[type]; name && *name; name++) {
			if (!access_has(wanted, (enum vars_member_type)type, *name) ||
			    leads_right(secret_dirfd, up, folder, *name))
				continue;
			if (asprintf(astray, "%s/%s", folder, *name) >= 0)
				return 0;
			*astray = NULL;
			return error_no_memory(err);
		}
	}
	return 0;
}

/* Under another name first: without the link, whom the secret was given to would be nobody. */
static int link_replace(int dirfd, const char *target, const char *name)
{
	static const char temporary[] = ".vmcred-new";

	(void)unlinkat(dirfd, temporary, 0);
	if (symlinkat(target, dirfd, temporary) < 0)
		return -1;
	if (renameat(dirfd, temporary, dirfd, name) == 0)
		return 0;
	(void)unlinkat(dirfd, temporary, 0);
	return -1;
}

int access_link_write(int secret_dirfd, int dirfd, const char *up, enum vars_member_type type,
		      const char *name, struct error *err)
{
	const char *folder = store_kind_directory(type);
	_cleanup_free_ char *target = NULL;
	int r;

	if (asprintf(&target, "%s/%s/%s", up, folder, name) < 0) {
		target = NULL;
		return error_no_memory(err);
	}
	r = symlinkat(target, dirfd, name);
	if (r < 0 && errno == EEXIST)
		r = leads_right(secret_dirfd, up, folder, name) ? 0
								: link_replace(dirfd, target, name);
	return r < 0 ? error_set_errno(err, errno, "making the link %s/%s", folder, name) : 0;
}
