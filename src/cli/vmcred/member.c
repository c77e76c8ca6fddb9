/* SPDX-License-Identifier: Apache-2.0 */
/* `machine` and `user`: the same commands, add, remove and list, for two kinds of members. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/commands.h"

struct member {
	enum vars_member_type type;
	const char *name;
	struct cli_texts age_keys, pgp_keys; /* machines have no PGP keys */
	const char *group, *identity;
	bool force;
	struct config config;
	int store_dirfd;
};

static int members_list(const struct cli *cli, const struct member *member, struct error *err)
{
	_cleanup_json_ json_t *list = NULL;
	char **names = NULL;
	int r = vars_members_list(member->store_dirfd, member->type, &names, err);

	if (r == 0 && cli->json) {
		list = cli_json_texts(names);
		cli_json_print(list);
	}
	for (char **name = names; r == 0 && !cli->json && name && *name; name++)
		printf("%s\n", *name);
	config_texts_free(names);
	return r;
}

/* Registers the given public keys, or generates a machine's key. */
static int key_register(const struct member *member, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	_cleanup_free_ char *writer = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < member->age_keys.count; i++)
		r = vars_key_add(&keys, SOPS_KEY_AGE, member->age_keys.items[i], err);
	for (size_t i = 0; r == 0 && i < member->pgp_keys.count; i++)
		r = vars_key_add(&keys, SOPS_KEY_PGP, member->pgp_keys.items[i], err);
	if (r < 0)
		return r;
	if (keys.count > 0)
		return vars_member_keys_write(member->store_dirfd, member->type, member->name,
					      &keys, member->force, err);
	if (member->type == VARS_USER) {
		error_set(err, VMCRED_USAGE, "user add requires a public key");
		return error_hint(err, "pass --age-key KEY (see `vmcred keygen`) or --pgp-key "
				       "FINGERPRINT");
	}
	r = cli_writer_find(&member->config, member->store_dirfd, member->identity, &writer, err);
	return r < 0 ? r
		     : vars_machine_key_make(&member->config, member->store_dirfd, member->name,
					     writer, member->force, err);
}

static int member_add(struct cli *cli, const struct member *member, struct error *err)
{
	char *machines[] = {NULL, NULL};
	size_t changed;
	int r;

	if (member->type == VARS_MACHINE) {
		const struct config_machine *machine =
			config_machine_get(&member->config, member->name, err);

		if (!machine)
			return -(int)err->code;
		machines[0] = machine->name;
	}
	r = key_register(member, err);
	if (r == 0 && member->group)
		r = vars_group_add(member->store_dirfd, member->group, member->type, member->name,
				   err);
	if (r == 0)
		r = vars_member_is_grouped(member->store_dirfd, member->type, member->name, err);
	/* Only secrets of its own can gain a machine as a recipient, unless it is in a group. */
	return r < 0 ? r
		     : cli_repair(cli, &member->config, member->store_dirfd,
				  member->type == VARS_MACHINE && r == 0 ? machines : NULL, NULL,
				  member->identity, &changed, err);
}

static int member_remove(struct cli *cli, const struct member *member, struct error *err)
{
	const struct vars_exclusion exclude = {.type = member->type, .name = member->name};
	size_t changed;
	int r;

	if (member->type == VARS_MACHINE && config_machine_find(&member->config, member->name))
		return error_set(err, VMCRED_USAGE,
				 "machine %s is declared: remove it from %s first", member->name,
				 member->config.path);
	/* Re-encrypt first: an interrupted removal can be repeated. */
	r = vars_member_check(member->store_dirfd, member->type, member->name, err);
	if (r == 0)
		r = cli_repair(cli, &member->config, member->store_dirfd, NULL, &exclude,
			       member->identity, &changed, err);
	return r < 0 ? r : vars_member_remove(member->store_dirfd, member->type, member->name, err);
}

static int command_run(struct cli *cli, const struct member *member, const char *command,
		       struct error *err)
{
	if (strcmp(command, "list") == 0 && !member->name)
		return members_list(cli, member, err);
	if (strcmp(command, "list") != 0 && !member->name)
		return error_set(err, VMCRED_USAGE, "%s requires a name", command);
	if (strcmp(command, "add") == 0)
		return member_add(cli, member, err);
	if (strcmp(command, "remove") == 0)
		return member_remove(cli, member, err);
	return error_set(err, VMCRED_USAGE, "\"%s\" must be add NAME, remove NAME or list",
			 command);
}

static int member_command(struct cli *cli, enum vars_member_type type, const char *about, int argc,
			  char **argv, struct error *err)
{
	_cleanup_close_ int store_dirfd = -1;
	struct member member = {.type = type};
	const struct cli_option options[] = {
		{"age-key", "KEY...", "public key, as age1... or ssh-ed25519 ...",
		 &member.age_keys},
		{"group", "NAME", "add it to this group, too", &member.group},
		{"force", NULL, "replace its registered key", &member.force},
		{"identity", "FILE", CLI_IDENTITY_HELP, &member.identity},
		type == VARS_USER
			? (struct cli_option){"pgp-key", "FINGERPRINT...",
					      "PGP key in gpg's keyring", &member.pgp_keys}
			: (struct cli_option){0},
		{0},
	};
	const struct cli_usage usage = {
		.command = vars_member_type_name(type),
		.arguments = "add NAME | remove NAME | list",
		.about = about,
		.options = options,
		.arguments_min = 1,
		.arguments_max = 2,
		.has_json = true,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	member.name = first + 1 < argc ? argv[first + 1] : NULL;
	r = cli_start(cli, &member.config, &store_dirfd, err);
	member.store_dirfd = store_dirfd;
	if (r == 0)
		r = vars_lock(store_dirfd, &cli->report, err);
	if (r == 0)
		r = command_run(cli, &member, argv[first], err);
	config_destroy(&member.config);
	return r;
}

int command_machine(struct cli *cli, int argc, char **argv, struct error *err)
{
	return member_command(
		cli, VARS_MACHINE,
		"Register a declared machine's key, or remove a machine that is no longer "
		"declared.\n"
		"Without --age-key, generate a key and store it encrypted to the users. "
		"Re-encrypts only\n"
		"the secrets whose recipients change.",
		argc, argv, err);
}

int command_user(struct cli *cli, int argc, char **argv, struct error *err)
{
	return member_command(
		cli, VARS_USER,
		"Register a person's public key, or remove it. All users can read all secrets, "
		"unless the\n"
		"declaration has default groups. Re-encrypts only the secrets whose recipients "
		"change.",
		argc, argv, err);
}
