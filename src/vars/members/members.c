/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/members/members.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "vars/store/store.h"

static const struct {
	const char *name, *directory;
} types[VARS_MEMBER_TYPES] = {
	[VARS_MACHINE] = {"machine", "machines"},
	[VARS_USER] = {"user", "users"},
	[VARS_GROUP] = {"group", "groups"},
};

const char *members_directory(enum vars_member_type type)
{
	return types[type].directory;
}

const char *vars_member_type_name(enum vars_member_type type)
{
	return types[type].name;
}

int vars_members_list(int store_dirfd, enum vars_member_type type, struct strings *names,
		      struct error *err)
{
	_cleanup_free_ char *directory = text_format("sops/%s", types[type].directory);

	return directory ? store_names_list(store_dirfd, directory, names, err)
			 : error_no_memory(err);
}

int vars_member_check(int store_dirfd, enum vars_member_type type, const char *name,
		      struct error *err)
{
	_cleanup_free_ char *path = text_format("sops/%s/%s", types[type].directory, name);
	_cleanup_strings_ struct strings known = {0};
	int r = store_name_check(types[type].name, name, err);

	if (r < 0)
		return r;
	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, 0) == 0)
		return 0;
	if (vars_members_list(store_dirfd, type, &known, err) < 0)
		return -(int)err->code;
	error_set(err, VMCRED_MISSING, "no %s %s: %s does not exist", types[type].name, name, path);
	return known.count > 0 ? name_hint(name, (const char *const *)known.items, err)
			       : -(int)err->code;
}

static char *group_path(const char *group, enum vars_member_type type)
{
	return text_format("sops/groups/%s/%s", group, types[type].directory);
}

int vars_group_members(int store_dirfd, const char *group, enum vars_member_type type,
		       struct strings *names, struct error *err)
{
	_cleanup_free_ char *directory = group_path(group, type);

	return directory ? store_names_list(store_dirfd, directory, names, err)
			 : error_no_memory(err);
}

int vars_group_add(int store_dirfd, const char *group, enum vars_member_type type, const char *name,
		   struct error *err)
{
	_cleanup_free_ char *directory = group_path(group, type);
	_cleanup_free_ char *target = text_format("../../../%s/%s", types[type].directory, name);
	_cleanup_close_ int dirfd = -1;
	int r = store_name_check("group", group, err);

	if (r == 0)
		r = vars_member_check(store_dirfd, type, name, err);
	if (r < 0)
		return r;
	if (!directory || !target)
		return error_no_memory(err);
	dirfd = dir_make(store_dirfd, directory, 0755, err);
	if (dirfd < 0)
		return dirfd;
	if (symlinkat(target, dirfd, name) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "creating the link %s/%s", directory, name);
	return dir_sync(dirfd, directory, err);
}

int vars_group_member_check(int store_dirfd, const char *group, enum vars_member_type type,
			    const char *name, struct error *err)
{
	_cleanup_free_ char *path =
		text_format("sops/groups/%s/%s/%s", group, types[type].directory, name);
	int r = store_name_check("group", group, err);

	if (r == 0)
		r = store_name_check(types[type].name, name, err);
	if (r < 0)
		return r;
	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return errno == ENOENT ? error_set(err, VMCRED_MISSING, "the %s %s is not in the group %s",
					   types[type].name, name, group)
			       : error_set_errno(err, errno, "%s", path);
}

int vars_member_is_grouped(int store_dirfd, enum vars_member_type type, const char *name,
			   struct error *err)
{
	_cleanup_strings_ struct strings groups = {0};
	int r = vars_members_list(store_dirfd, VARS_GROUP, &groups, err);

	for (size_t i = 0; r == 0 && i < groups.count; i++) {
		_cleanup_free_ char *path = text_format("sops/groups/%s/%s/%s", groups.items[i],
							types[type].directory, name);

		r = path ? faccessat(store_dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0
			 : error_no_memory(err);
	}
	return r;
}

static int path_add(int store_dirfd, struct strings *paths, char *path, struct error *err)
{
	_cleanup_free_ char *new = path;

	if (!new)
		return error_no_memory(err);
	return faccessat(store_dirfd, new, F_OK, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : strings_take(paths, pointer_release(&new), err);
}

int vars_member_paths(int store_dirfd, enum vars_member_type type, const char *name,
		      struct strings *own, struct strings *others, struct error *err)
{
	const char *directory = types[type].directory;
	_cleanup_strings_ struct strings groups = {0};
	int r = store_name_check(types[type].name, name, err);

	if (r == 0)
		r = path_add(store_dirfd, own, text_format("sops/%s/%s", directory, name), err);
	if (r == 0)
		r = vars_members_list(store_dirfd, VARS_GROUP, &groups, err);
	for (size_t i = 0; r == 0 && i < groups.count; i++)
		r = path_add(store_dirfd, others,
			     text_format("sops/groups/%s/%s/%s", groups.items[i], directory, name),
			     err);
	if (r < 0 || type != VARS_MACHINE)
		return r;
	r = path_add(store_dirfd, others,
		     text_format("sops/secrets/%s" STORE_MACHINE_KEY_SUFFIX, name), err);
	return r < 0 ? r : path_add(store_dirfd, others, store_generators_path(name), err);
}
