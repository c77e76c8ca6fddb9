/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/member.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/json_print.h"
#include "cli/vmcred/repair.h"

struct member {
	enum vars_member_type type;
	const char *name;
	struct cli_texts age_keys, pgp_keys; /* machines have none of PGP */
	const char *group, *identity;
	bool force;
	struct config config;
	int store_dirfd;
};

int cli_members_print(struct cli *cli, int store_dirfd, enum vars_member_type type,
		      struct error *err)
{
	_cleanup_json_ json_t *list = cli->json ? json_array() : NULL;
	char **names = NULL;
	int r = vars_members_list(store_dirfd, type, &names, err);

	for (char **name = names; r == 0 && name && *name; name++) {
		if (list)
			json_array_append_new(list, json_string(*name));
		else
			printf("%s\n", *name);
	}
	config_texts_free(names);
	if (r == 0 && list)
		cli_json_print(list);
	return r;
}

/* Those that were given with --age-key and --pgp-key. */
static int keys_gather(const struct member *member, struct sops_key_group *keys, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < member->age_keys.count; i++)
		r = vars_key_add(keys, SOPS_KEY_AGE, member->age_keys.items[i], err);
	for (size_t i = 0; r == 0 && i < member->pgp_keys.count; i++)
		r = vars_key_add(keys, SOPS_KEY_PGP, member->pgp_keys.items[i], err);
	return r;
}

static int key_make(const struct member *member, struct error *err)
{
	_cleanup_free_ char *writer = NULL;
	int r = cli_writer_find(&member->config, member->store_dirfd, member->identity, &writer,
				err);

	return r < 0 ? r
		     : vars_machine_key_make(&member->config, member->store_dirfd, member->name,
					     writer, member->force, err);
}

static int key_register(const struct member *member, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	int r = keys_gather(member, &keys, err);

	if (r < 0)
		return r;
	if (keys.count > 0)
		return vars_member_keys_write(member->store_dirfd, member->type, member->name,
					      &keys, member->force, err);
	if (member->type == VARS_MACHINE)
		return key_make(member, err);
	error_set(err, VMCRED_USAGE, "user add needs the user's public key");
	return error_hint(err, "--age-key KEY or --pgp-key FINGERPRINT gives it; `vmcred keygen` "
			       "makes one of age");
}

static int member_add(struct cli *cli, struct member *member, struct error *err)
{
	char *machines[] = {NULL, NULL};
	size_t changed;
	int r = 0;

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
	/* A machine reads what is its own, unless it is in a group. */
	if (r == 0)
		r = vars_member_is_grouped(member->store_dirfd, member->type, member->name, err);
	return r < 0 ? r
		     : cli_repair(cli, &member->config, member->store_dirfd,
				  member->type == VARS_MACHINE && r == 0 ? machines : NULL, NULL,
				  member->identity, &changed, err);
}

static int member_remove(struct cli *cli, struct member *member, struct error *err)
{
	const struct vars_exclusion exclude = {.type = member->type, .name = member->name};
	size_t changed;
	int r;

	if (member->type == VARS_MACHINE && config_machine_find(&member->config, member->name))
		return error_set(err, VMCRED_USAGE,
				 "the machine %s is declared: take it out of %s first",
				 member->name, member->config.path);
	/* First nothing is encrypted to it any more: what is left half done is done by the next
	 * try. */
	r = vars_member_check(member->store_dirfd, member->type, member->name, err);
	if (r == 0)
		r = cli_repair(cli, &member->config, member->store_dirfd, NULL, &exclude,
			       member->identity, &changed, err);
	return r < 0 ? r : vars_member_remove(member->store_dirfd, member->type, member->name, err);
}

static int verb_run(struct cli *cli, struct member *member, const char *verb, struct error *err)
{
	if (strcmp(verb, "list") == 0 && !member->name)
		return cli_members_print(cli, member->store_dirfd, member->type, err);
	if (strcmp(verb, "list") != 0 && !member->name)
		return error_set(err, VMCRED_USAGE, "%s needs a name", verb);
	if (strcmp(verb, "add") == 0)
		return member_add(cli, member, err);
	if (strcmp(verb, "remove") == 0)
		return member_remove(cli, member, err);
	return error_set(err, VMCRED_USAGE, "\"%s\" is not add NAME, remove NAME or list", verb);
}

int cli_member_command(struct cli *cli, enum vars_member_type type, const struct cli_usage *about,
		       int argc, char **argv, struct error *err)
{
	__attribute__((cleanup(cleanup_close_fd))) int store_dirfd = -1;
	struct member member = {.type = type};
	const struct cli_option rows[] = {
		{"age-key", "KEY...", "a public key, as age1… or ssh-ed25519 …", &member.age_keys},
		{"group", "NAME", "put it into a group, too", &member.group},
		{"force", NULL, "replace a key that it has", &member.force},
		{"identity", "FILE", CLI_IDENTITY_HELP, &member.identity},
		type == VARS_USER
			? (struct cli_option){"pgp-key", "FINGERPRINT...",
					      "a PGP key, which gpg must have", &member.pgp_keys}
			: (struct cli_option){0},
		{0},
	};
	struct cli_usage usage = *about;
	int first, r;

	usage.options = rows;
	usage.words = "add NAME | remove NAME | list";
	usage.words_min = 1;
	usage.words_max = 2;
	usage.has_json = true;
	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	member.name = first + 1 < argc ? argv[first + 1] : NULL;
	r = cli_start(cli, &member.config, &store_dirfd, err);
	member.store_dirfd = store_dirfd;
	if (r == 0)
		r = vars_lock(store_dirfd, &cli->report, err);
	if (r == 0)
		r = verb_run(cli, &member, argv[first], err);
	config_destroy(&member.config);
	return r;
}
