/* SPDX-License-Identifier: Apache-2.0 */
/* `machine`, `user` and `group`: add, remove and list for machines and users, and their groups. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/member.h"

/* Add, remove and list. */
struct operations {
	int (*add)(struct cli *cli, const struct member *member, struct error *err);
	int (*remove)(struct cli *cli, const struct member *member, struct error *err);
	int (*list)(struct cli *cli, const struct member *member, struct error *err);
};

static int members_list(struct cli *cli, const struct member *member, struct error *err)
{
	_cleanup_json_ json_t *list = NULL;
	_cleanup_strings_ struct strings names = {0};
	int r = vars_members_list(member->store_dirfd, member->type, &names, err);

	if (r == 0 && cli->json) {
		list = cli_json_texts(names.items);
		cli_json_print(list);
	}
	for (size_t i = 0; r == 0 && !cli->json && i < names.count; i++)
		printf("%s\n", names.items[i]);
	return r;
}

/* Prints the group's members of one type, or adds them to `object`. */
static int group_members_list(const struct member *group, const char *name,
			      enum vars_member_type type, json_t *object, struct error *err)
{
	_cleanup_strings_ struct strings members = {0};
	int r = vars_group_members(group->store_dirfd, name, type, &members, err);

	if (r == 0 && object)
		json_object_set_new(object, type == VARS_USER ? "users" : "machines",
				    cli_json_texts(members.items));
	for (size_t i = 0; r == 0 && !object && i < members.count; i++)
		printf("%s: %s %s\n", name, vars_member_type_name(type), members.items[i]);
	return r;
}

static int groups_list(struct cli *cli, const struct member *group, struct error *err)
{
	_cleanup_json_ json_t *all = cli->json ? json_object() : NULL;
	_cleanup_strings_ struct strings names = {0};
	int r = vars_members_list(group->store_dirfd, VARS_GROUP, &names, err);

	for (size_t i = 0; r == 0 && i < names.count; i++) {
		const char *name = names.items[i];
		json_t *members = all ? json_object() : NULL;

		r = group_members_list(group, name, VARS_MACHINE, members, err);
		if (r == 0)
			r = group_members_list(group, name, VARS_USER, members, err);
		if (members)
			json_object_set_new(all, name, members);
	}
	if (r == 0 && all)
		cli_json_print(all);
	return r;
}

/* Only machines are added many at once: each gets a new key. */
static int names_check(const struct member *member, const char *operation, struct error *err)
{
	const bool may_be_many = member->type == VARS_MACHINE && strcmp(operation, "add") == 0 &&
				 member->age_keys.count == 0;

	for (size_t i = 1; i < member->name_count; i++) {
		if (!may_be_many)
			/* It may be a private key. */
			return error_set(err, VMCRED_USAGE, "%s takes one name", operation);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(member->names[j], member->names[i]) == 0)
				return error_set(err, VMCRED_USAGE, "machine %s is named twice",
						 member->names[i]);
		}
	}
	return 0;
}

static int operation_run(struct cli *cli, const struct member *member,
			 const struct operations *operations, const char *name, struct error *err)
{
	const bool lists = strcmp(name, "list") == 0;

	if (names_check(member, name, err) < 0)
		return -(int)err->code;
	if (lists && !member->name)
		return operations->list(cli, member, err);
	if (strcmp(name, "add") == 0 || strcmp(name, "remove") == 0) {
		if (!member->name)
			return error_set(err, VMCRED_USAGE, "%s requires a name", name);
		return *name == 'a' ? operations->add(cli, member, err)
				    : operations->remove(cli, member, err);
	}
	return error_set(err, VMCRED_USAGE, "\"%s\" must be add NAME, remove NAME or list", name);
}

static int member_command(struct cli *cli, struct member *member,
			  const struct operations *operations, const struct cli_option *options,
			  const char *about, const char *examples, int argc, char **argv,
			  struct error *err)
{
	const struct cli_usage usage = {
		.command = vars_member_type_name(member->type),
		.arguments = member->type == VARS_MACHINE ? "add MACHINE... | remove NAME | list"
							  : "add NAME | remove NAME | list",
		.about = about,
		.examples = examples,
		.options = options,
		.arguments_min = 1,
		.arguments_max = -1,
		.has_json = true,
	};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	member->names = argv + first + 1;
	member->name_count = (size_t)(argc - first - 1);
	member->name = member->names[0];
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &member->config, &store_dirfd, err);
	member->store_dirfd = store_dirfd;
	if (r == 0 && !member->dry_run)
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
	if (r == 0)
		r = operation_run(cli, member, operations, argv[first], err);
	config_destroy(&member->config);
	return r;
}

static const struct operations member_operations = {member_add, member_remove, members_list};

#define AGE_KEY_HELP "public key (age1..., ssh-ed25519 ...), or a file of them"
#define GROUP_HELP   "add it to this group, too"
#define FORCE_HELP   "replace its registered key"

int command_machine(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct member machine = {.type = VARS_MACHINE};
	const struct cli_option options[] = {
		{"age-key", "KEY|FILE...", AGE_KEY_HELP, &machine.age_keys},
		{"group", "GROUP", GROUP_HELP, &machine.group},
		{"force", NULL, FORCE_HELP, &machine.force},
		{"dry-run", NULL, CLI_DRY_RUN_HELP, &machine.dry_run},
		{"identity", "FILE", CLI_IDENTITY_HELP, &machine.identity},
		{0},
	};

	return member_command(
		cli, &machine, &member_operations, options,
		"Register a declared machine's key, or remove a machine that is no longer "
		"declared.\n"
		"Without --age-key, generate a key for each and store it encrypted to the users. "
		"Re-encrypts only\n"
		"the secrets whose recipients change.",
		"  vmcred machine add host1 host2\n"
		"  vmcred machine add host3 --age-key ssh_host_ed25519_key.pub\n",
		argc, argv, err);
}

int command_user(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct member user = {.type = VARS_USER};
	const struct cli_option options[] = {
		{"age-key", "KEY|FILE...", AGE_KEY_HELP, &user.age_keys},
		{"pgp-key", "FINGERPRINT...", "PGP key in gpg's keyring", &user.pgp_keys},
		{"group", "GROUP", GROUP_HELP, &user.group},
		{"force", NULL, FORCE_HELP, &user.force},
		{"dry-run", NULL, CLI_DRY_RUN_HELP, &user.dry_run},
		{"identity", "FILE", CLI_IDENTITY_HELP, &user.identity},
		{0},
	};

	return member_command(
		cli, &user, &member_operations, options,
		"Register a person's public key, or remove it. All users can read all secrets, "
		"unless the declaration has default groups. Re-encrypts only the secrets whose "
		"recipients change.",
		"  vmcred user add alice --age-key alice.pub\n"
		"  vmcred user remove alice\n",
		argc, argv, err);
}

int command_group(struct cli *cli, int argc, char **argv, struct error *err)
{
	static const struct operations operations = {group_add, group_remove, groups_list};
	struct member group = {.type = VARS_GROUP};
	const struct cli_option options[] = {
		{"user", "USER", "the member", &group.user},
		{"machine", "MACHINE", "the member", &group.machine},
		{"dry-run", NULL, CLI_DRY_RUN_HELP, &group.dry_run},
		{"identity", "FILE", CLI_IDENTITY_HELP, &group.identity},
		{0},
	};

	return member_command(
		cli, &group, &operations, options,
		"Add a user or a machine to a group, or remove it. A group is created with its "
		"first\n"
		"member and removed with its last. Re-encrypts only the secrets whose recipients "
		"change.",
		"  vmcred group add admins --user alice\n"
		"  vmcred group remove admins --machine host1\n",
		argc, argv, err);
}
