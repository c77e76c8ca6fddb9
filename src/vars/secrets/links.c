/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The links of a secret to its readers. clan follows them: a link with the right name that leads to
 * another member, or nowhere, gives its reader nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* Room for three names of at most 255 bytes and the way up. */
#define PATH_SIZE 1024

/* Whether a link of the secret leads to sops/<type>/<name>. A link that we wrote is known by its
 * text; another text may lead to the same directory. */
static bool link_is_correct(int secret_dirfd, const char *up, enum vars_member_type type,
			    const char *name)
{
	const char *directory = members_directory(type);
	char link[PATH_SIZE], member[PATH_SIZE], text[PATH_SIZE];
	const char *target = member + strlen(directory) + 1;
	struct stat linked, wanted;
	ssize_t size;
	int link_size = snprintf(link, sizeof(link), "%s/%s", directory, name);
	int member_size =
		snprintf(member, sizeof(member), "%s/%s/%s/%s", directory, up, directory, name);

	if (link_size < 0 || link_size >= PATH_SIZE || member_size < 0 || member_size >= PATH_SIZE)
		return false;
	size = readlinkat(secret_dirfd, link, text, sizeof(text));
	/* A regular file, from a file system without links, cannot lead elsewhere. */
	if (size < 0)
		return errno == EINVAL;
	if ((size_t)size == strlen(target) && memcmp(text, target, (size_t)size) == 0)
		return true;
	return fstatat(secret_dirfd, link, &linked, 0) == 0 &&
	       fstatat(secret_dirfd, member, &wanted, 0) == 0 && linked.st_dev == wanted.st_dev &&
	       linked.st_ino == wanted.st_ino;
}

int links_check(int secret_dirfd, const char *up, const struct readers *actual,
		const struct readers *correct, char **wrong, struct error *err)
{
	for (int i = 0; i < VARS_MEMBER_TYPES; i++) {
		const enum vars_member_type type = (enum vars_member_type)i;

		for (size_t j = 0; j < actual->names[i].count; j++) {
			const char *name = actual->names[i].items[j];

			if (!readers_include(correct, type, name) ||
			    link_is_correct(secret_dirfd, up, type, name))
				continue;
			*wrong = text_format("%s/%s", members_directory(type), name);
			return *wrong ? 0 : error_no_memory(err);
		}
	}
	return 0;
}

/* By a rename: without the link, its reader would be lost. */
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

/* Creates or corrects a link in the secret's directory `dirfd`. */
static int link_write(int secret_dirfd, int dirfd, const char *up, enum vars_member_type type,
		      const char *name, struct error *err)
{
	const char *directory = members_directory(type);
	_cleanup_free_ char *target = text_format("%s/%s/%s", up, directory, name);
	int r;

	if (!target)
		return error_no_memory(err);
	r = symlinkat(target, dirfd, name);
	if (r < 0 && errno == EEXIST)
		r = link_is_correct(secret_dirfd, up, type, name)
			    ? 0
			    : link_replace(dirfd, target, name);
	return r < 0 ? error_set_errno(err, errno, "creating the link %s/%s", directory, name) : 0;
}

/* Adds those of one type that are not in `known`. */
static int type_links_add(int secret_dirfd, const char *up, enum vars_member_type type,
			  const struct readers *readers, const struct readers *known, bool sync,
			  struct error *err)
{
	const char *directory = members_directory(type);
	const struct strings *names = &readers->names[type];
	_cleanup_close_ int dirfd = -1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->count; i++) {
		if (known && readers_include(known, type, names->items[i]))
			continue;
		if (dirfd < 0 && mkdirat(secret_dirfd, directory, 0755) == 0)
			r = sync ? dir_sync(secret_dirfd, directory, err) : 0;
		else if (dirfd < 0 && errno != EEXIST)
			return error_set_errno(err, errno, "creating %s", directory);
		if (r == 0 && dirfd < 0) {
			dirfd = dir_open(secret_dirfd, directory, err);
			r = dirfd < 0 ? dirfd : 0;
		}
		if (r == 0)
			r = link_write(secret_dirfd, dirfd, up, type, names->items[i], err);
	}
	return r < 0 || dirfd < 0 || !sync ? r : dir_sync(dirfd, directory, err);
}

int links_add(int secret_dirfd, const char *up, const struct readers *readers,
	      const struct readers *known, bool sync, struct error *err)
{
	int r = 0;

	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = type_links_add(secret_dirfd, up, (enum vars_member_type)type, readers, known,
				   sync, err);
	return r;
}

static int type_links_remove(int secret_dirfd, enum vars_member_type type,
			     const struct readers *readers, struct error *err)
{
	const char *directory = members_directory(type);
	_cleanup_strings_ struct strings names = {0};
	_cleanup_close_ int dirfd = -1;
	int r = store_names_list(secret_dirfd, directory, &names, err);

	if (r == 0 && names.count > 0) {
		dirfd = dir_open(secret_dirfd, directory, err);
		r = dirfd < 0 ? dirfd : 0;
	}
	for (size_t i = 0; r == 0 && i < names.count; i++) {
		if (!readers_include(readers, type, names.items[i]) &&
		    unlinkat(dirfd, names.items[i], 0) < 0)
			r = error_set_errno(err, errno, "removing the link %s/%s", directory,
					    names.items[i]);
	}
	/* As in clan, there are no empty directories. */
	if (r == 0 && readers->names[type].count == 0)
		(void)unlinkat(secret_dirfd, directory, AT_REMOVEDIR);
	return r;
}

int links_remove(int secret_dirfd, const struct readers *readers, struct error *err)
{
	int r = 0;

	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = type_links_remove(secret_dirfd, (enum vars_member_type)type, readers, err);
	return r;
}

int secret_write(int store_dirfd, int secret_dirfd, const char *path, const char *up,
		 const struct readers *readers, struct span document, struct error *err)
{
	int r = links_add(secret_dirfd, up, readers, NULL, true, err);

	if (r == 0 && document.size > 0)
		r = store_file_replace(store_dirfd, secret_dirfd, "secret", path, document, err);
	return r < 0 ? r : links_remove(secret_dirfd, readers, err);
}
