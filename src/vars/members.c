/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines, users and groups below sops/. A group is a folder of links to its members; that a
 * member is in it counts, not where the link points to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "base/path.h"
#include "vars/placing.h"
#include "vars/store.h"

int vars_members_list(int store_dirfd, enum vars_member_type type, char ***names, struct error *err)
{
	_cleanup_free_ char *folder = NULL;

	if (asprintf(&folder, "sops/%s", store_kind_directory(type)) < 0) {
		folder = NULL;
		return error_no_memory(err);
	}
	return store_names_list(store_dirfd, folder, names, err);
}

int vars_member_check(int store_dirfd, enum vars_member_type type, const char *name,
		      struct error *err)
{
	_cleanup_free_ char *path = store_member_path(type, name);
	int r = store_name_check(vars_member_type_name(type), name, err);

	if (r < 0)
		return r;
	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, 0) == 0)
		return 0;
	return error_set(err, VMCRED_MISSING, "there is no %s %s: no %s",
			 vars_member_type_name(type), name, path);
}

static char *group_folder(const char *group, enum vars_member_type type)
{
	char *path = NULL;

	if (asprintf(&path, "sops/groups/%s/%s", group, store_kind_directory(type)) < 0)
		return NULL;
	return path;
}

int vars_group_members(int store_dirfd, const char *group, enum vars_member_type type,
		       char ***names, struct error *err)
{
	_cleanup_free_ char *folder = group_folder(group, type);

	*names = NULL;
	return folder ? store_names_list(store_dirfd, folder, names, err) : error_no_memory(err);
}

int vars_group_add(int store_dirfd, const char *group, enum vars_member_type type, const char *name,
		   struct error *err)
{
	_cleanup_free_ char *folder = group_folder(group, type), *target = NULL;
	_cleanup_close_ int dirfd = -1;
	int r = store_name_check("group", group, err);

	if (r == 0)
		r = vars_member_check(store_dirfd, type, name, err);
	if (r < 0)
		return r;
	if (!folder || asprintf(&target, "../../../%s/%s", store_kind_directory(type), name) < 0) {
		target = NULL;
		return error_no_memory(err);
	}
	dirfd = dir_make(store_dirfd, folder, 0755, err);
	if (dirfd < 0)
		return dirfd;
	if (symlinkat(target, dirfd, name) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "making the link %s/%s", folder, name);
	return dir_sync(dirfd, folder, err);
}

int vars_group_member_check(int store_dirfd, const char *group, enum vars_member_type type,
			    const char *name, struct error *err)
{
	_cleanup_free_ char *folder = group_folder(group, type), *path = NULL;
	int r = store_name_check("group", group, err);

	if (r == 0)
		r = store_name_check(vars_member_type_name(type), name, err);
	if (r < 0)
		return r;
	path = folder ? path_join(folder, name) : NULL;
	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return errno == ENOENT ? error_set(err, VMCRED_MISSING, "the %s %s is not in the group %s",
					   vars_member_type_name(type), name, group)
			       : error_set_errno(err, errno, "looking for %s", path);
}

int vars_group_remove(int store_dirfd, const char *group, enum vars_member_type type,
		      const char *name, struct error *err)
{
	_cleanup_free_ char *folder = group_folder(group, type);
	_cleanup_close_ int dirfd = -1;
	int r = vars_group_member_check(store_dirfd, group, type, name, err);

	if (r < 0)
		return r;
	if (!folder)
		return error_no_memory(err);
	dirfd = dir_open(store_dirfd, folder, err);
	if (dirfd < 0)
		return dirfd;
	if (unlinkat(dirfd, name, 0) < 0)
		return error_set_errno(err, errno, "removing %s/%s", folder, name);
	/* As clan has it, there is no empty folder. */
	if (unlinkat(store_dirfd, folder, AT_REMOVEDIR) == 0) {
		_cleanup_free_ char *whole = store_member_path(VARS_GROUP, group);

		if (whole)
			(void)unlinkat(store_dirfd, whole, AT_REMOVEDIR);
		return 0;
	}
	return dir_sync(dirfd, folder, err);
}

/* Returns 1, 0, or a negative code. */
static int is_in_group(int store_dirfd, const char *group, enum vars_member_type type,
		       const char *name, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "sops/groups/%s/%s/%s", group, store_kind_directory(type), name) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	return faccessat(store_dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int vars_member_is_grouped(int store_dirfd, enum vars_member_type type, const char *name,
			   struct error *err)
{
	char **groups = NULL;
	int r = vars_members_list(store_dirfd, VARS_GROUP, &groups, err);

	for (char **group = groups; r == 0 && group && *group; group++)
		r = is_in_group(store_dirfd, *group, type, name, err);
	config_texts_free(groups);
	return r;
}

static int groups_leave(int store_dirfd, enum vars_member_type type, const char *name,
			struct error *err)
{
	char **groups = NULL;
	int r = vars_members_list(store_dirfd, VARS_GROUP, &groups, err);

	for (char **group = groups; r == 0 && group && *group; group++) {
		r = vars_group_remove(store_dirfd, *group, type, name, err);
		if (r == -(int)VMCRED_MISSING) {
			error_clear(err);
			r = 0;
		}
	}
	config_texts_free(groups);
	return r;
}

int vars_member_remove(int store_dirfd, enum vars_member_type type, const char *name,
		       struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	_cleanup_close_ int dirfd = -1;
	int r = vars_member_check(store_dirfd, type, name, err);

	if (r == 0 && type != VARS_GROUP)
		r = groups_leave(store_dirfd, type, name, err);
	if (r < 0)
		return r;
	if (asprintf(&folder, "sops/%s", store_kind_directory(type)) < 0) {
		folder = NULL;
		return error_no_memory(err);
	}
	dirfd = dir_open(store_dirfd, folder, err);
	return dirfd < 0 ? dirfd : placing_remove(store_dirfd, dirfd, name, err);
}
