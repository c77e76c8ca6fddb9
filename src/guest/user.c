/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

#define PASSWD "/etc/passwd"
#define GROUP  "/etc/group"

static int groups_find(struct user *user, struct error *err)
{
	_cleanup_fclose_ FILE *file = fopen(GROUP, "re");
	size_t capacity = 0;
	const struct group *group;

	while (file && (group = fgetgrent(file))) {
		if (!texts_contain(group->gr_mem, user->name))
			continue;
		if (array_grow(&user->groups, user->group_count, &capacity, sizeof(*user->groups),
			       err) < 0)
			return -(int)err->code;
		user->groups[user->group_count++] = group->gr_gid;
	}
	return 0;
}

int user_find(const char *name, struct user *user, struct error *err)
{
	_cleanup_fclose_ FILE *file = fopen(PASSWD, "re");
	const struct passwd *entry = NULL;

	while (file && (entry = fgetpwent(file))) {
		if (strcmp(entry->pw_name, name) == 0)
			break;
	}
	if (!entry)
		return error_set(err, VMCRED_MISSING, "%s does not have the user \"%s\"", PASSWD,
				 name);
	*user = (struct user){.uid = entry->pw_uid, .gid = entry->pw_gid};
	user->name = strdup(entry->pw_name);
	user->home = strdup(entry->pw_dir);
	if (!user->name || !user->home)
		return error_no_memory(err);
	return groups_find(user, err);
}

int user_become(const struct user *user, struct error *err)
{
	if (setgroups(user->group_count, user->groups) < 0 || setgid(user->gid) < 0 ||
	    setuid(user->uid) < 0)
		return error_set_errno(err, errno, "becoming the user %s", user->name);
	if (setenv("HOME", user->home, 1) < 0 || setenv("LOGNAME", user->name, 1) < 0 ||
	    setenv("USER", user->name, 1) < 0)
		return error_no_memory(err);
	return 0;
}

void user_destroy(struct user *user)
{
	free(user->name);
	free(user->home);
	free(user->groups);
	*user = (struct user){0};
}
