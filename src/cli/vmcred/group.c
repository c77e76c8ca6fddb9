/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/commands.h"

struct group {
	const char *name, *user, *machine, *identity;
	struct config config;
	int store_dirfd;
};

static int member_change(struct cli *cli, const struct group *group, bool add, struct error *err)
{
	enum vars_member_type type = group->user ? VARS_USER : VARS_MACHINE;
	const char *name = group->user ? group->user : group->machine;
	const struct vars_exclusion exclude = {type, name, group->name};
	size_t changed;
	int r;

	if (!group->user == !group->machine)
		return error_set(err, VMCRED_USAGE, "pass one member with --user or --machine");
	r = add ? vars_group_add(group->store_dirfd, group->name, type, name, err)
		: vars_group_member_check(group->store_dirfd, group->name, type, name, err);
	if (r == 0)
		r = cli_repair(cli, &group->config, group->store_dirfd, NULL, add ? NULL : &exclude,
			       group->identity, &changed, err);
	/* Re-encrypt first: an interrupted removal can be repeated. */
	if (r == 0 && !add)
		r = vars_group_remove(group->store_dirfd, group->name, type, name, err);
	return r;
}

/* Prints the members of one type, or adds them to `object`. */
static int members_print(const struct group *group, const char *name, enum vars_member_type type,
			 json_t *object, struct error *err)
{
	char **members = NULL;
	int r = vars_group_members(group->store_dirfd, name, type, &members, err);

	if (r == 0 && object)
		json_object_set_new(object, type == VARS_USER ? "users" : "machines",
				    cli_json_texts(members));
	for (char **member = members; r == 0 && !object && member && *member; member++)
		printf("%s: %s %s\n", name, vars_member_type_name(type), *member);
	config_texts_free(members);
	return r;
}

static int groups_list(const struct cli *cli, const struct group *group, struct error *err)
{
	_cleanup_json_ json_t *all = cli->json ? json_object() : NULL;
	char **names = NULL;
	int r = vars_members_list(group->store_dirfd, VARS_GROUP, &names, err);

	for (char **name = names; r == 0 && name && *name; name++) {
		json_t *members = all ? json_object() : NULL;

		r = members_print(group, *name, VARS_MACHINE, members, err);
		if (r == 0)
			r = members_print(group, *name, VARS_USER, members, err);
		if (members)
			json_object_set_new(all, *name, members);
	}
	config_texts_free(names);
	if (r == 0 && all)
		cli_json_print(all);
	return r;
}

static int command_run(struct cli *cli, const struct group *group, const char *command,
		       struct error *err)
{
	if (strcmp(command, "list") == 0 && !group->name)
		return groups_list(cli, group, err);
	if (!group->name)
		return error_set(err, VMCRED_USAGE, "%s requires a group", command);
	if (strcmp(command, "add") == 0 || strcmp(command, "remove") == 0)
		return member_change(cli, group, command[0] == 'a', err);
	return error_set(err, VMCRED_USAGE, "\"%s\" must be add GROUP, remove GROUP or list",
			 command);
}

int command_group(struct cli *cli, int argc, char **argv, struct error *err)
{
	_cleanup_close_ int store_dirfd = -1;
	struct group group = {0};
	const struct cli_option options[] = {
		{"user", "NAME", "the member", &group.user},
		{"machine", "NAME", "the member", &group.machine},
		{"identity", "FILE", CLI_IDENTITY_HELP, &group.identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "group",
		.arguments = "add GROUP | remove GROUP | list",
		.about = "Add a user or a machine to a group, or remove it. A group is created "
			 "with its first\n"
			 "member and removed with its last. Re-encrypts only the secrets whose "
			 "recipients change.",
		.options = options,
		.has_json = true,
		.arguments_min = 1,
		.arguments_max = 2,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	group.name = first + 1 < argc ? argv[first + 1] : NULL;
	r = cli_start(cli, &group.config, &store_dirfd, err);
	group.store_dirfd = store_dirfd;
	if (r == 0)
		r = vars_lock(store_dirfd, &cli->report, err);
	if (r == 0)
		r = command_run(cli, &group, argv[first], err);
	config_destroy(&group.config);
	return r;
}
