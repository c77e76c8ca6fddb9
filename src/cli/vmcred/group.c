/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/json_print.h"
#include "cli/vmcred/member.h"
#include "cli/vmcred/repair.h"

struct grouping {
	const char *group, *user, *machine, *identity;
	struct config config;
	int store_dirfd;
};

static int group_change(struct cli *cli, const struct grouping *grouping, bool add,
			struct error *err)
{
	enum vars_member_type type = grouping->user ? VARS_USER : VARS_MACHINE;
	const char *name = grouping->user ? grouping->user : grouping->machine;
	const struct vars_exclusion exclude = {type, name, grouping->group};
	size_t changed;
	int r;

	if (!grouping->user == !grouping->machine)
		return error_set(err, VMCRED_USAGE, "name one member, with --user or --machine");
	if (add)
		r = vars_group_add(grouping->store_dirfd, grouping->group, type, name, err);
	else
		r = vars_group_member_check(grouping->store_dirfd, grouping->group, type, name,
					    err);
	if (r == 0)
		r = cli_repair(cli, &grouping->config, grouping->store_dirfd, NULL,
			       add ? NULL : &exclude, grouping->identity, &changed, err);
	/* First nothing is encrypted to it any more: what is left half done is done by the next
	 * try. */
	if (r == 0 && !add)
		r = vars_group_remove(grouping->store_dirfd, grouping->group, type, name, err);
	return r;
}

static int members_print(const struct grouping *grouping, const char *group,
			 enum vars_member_type type, json_t *object, struct error *err)
{
	json_t *list = object ? json_array() : NULL;
	char **names = NULL;
	int r = vars_group_members(grouping->store_dirfd, group, type, &names, err);

	for (char **name = names; r == 0 && name && *name; name++) {
		if (list)
			json_array_append_new(list, json_string(*name));
		else
			printf("%s: %s %s\n", group, vars_member_type_name(type), *name);
	}
	if (list)
		json_object_set_new(object, type == VARS_USER ? "users" : "machines", list);
	config_texts_free(names);
	return r;
}

static int groups_print(const struct cli *cli, const struct grouping *grouping, struct error *err)
{
	_cleanup_json_ json_t *all = cli->json ? json_object() : NULL;
	char **groups = NULL;
	int r = vars_members_list(grouping->store_dirfd, VARS_GROUP, &groups, err);

	for (char **group = groups; r == 0 && group && *group; group++) {
		json_t *members = all ? json_object() : NULL;

		r = members_print(grouping, *group, VARS_MACHINE, members, err);
		if (r == 0)
			r = members_print(grouping, *group, VARS_USER, members, err);
		if (members)
			json_object_set_new(all, *group, members);
	}
	config_texts_free(groups);
	if (r == 0 && all)
		cli_json_print(all);
	return r;
}

static int verb_run(struct cli *cli, const struct grouping *grouping, const char *verb,
		    struct error *err)
{
	if (strcmp(verb, "list") == 0 && !grouping->group)
		return groups_print(cli, grouping, err);
	if (!grouping->group)
		return error_set(err, VMCRED_USAGE, "%s needs the name of a group", verb);
	if (strcmp(verb, "add") == 0 || strcmp(verb, "remove") == 0)
		return group_change(cli, grouping, verb[0] == 'a', err);
	return error_set(err, VMCRED_USAGE, "\"%s\" is not add GROUP, remove GROUP or list", verb);
}

int command_group(struct cli *cli, int argc, char **argv, struct error *err)
{
	_cleanup_close_ int store_dirfd = -1;
	struct grouping grouping = {0};
	const struct cli_option rows[] = {
		{"user", "NAME", "the member", &grouping.user},
		{"machine", "NAME", "the member", &grouping.machine},
		{"identity", "FILE", CLI_IDENTITY_HELP, &grouping.identity},
		{0},
	};
	const struct cli_usage usage = {
		.command = "group",
		.words = "add GROUP | remove GROUP | list",
		.about = "Put a user or a machine into a group, or take it out. A group is made "
			 "with its first\n"
			 "member, and gone with its last. What changes hands is encrypted anew, "
			 "and nothing else.",
		.options = rows,
		.has_json = true,
		.words_min = 1,
		.words_max = 2,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	grouping.group = first + 1 < argc ? argv[first + 1] : NULL;
	r = cli_start(cli, &grouping.config, &store_dirfd, err);
	grouping.store_dirfd = store_dirfd;
	if (r == 0)
		r = vars_lock(store_dirfd, &cli->report, err);
	if (r == 0)
		r = verb_run(cli, &grouping, argv[first], err);
	config_destroy(&grouping.config);
	return r;
}
