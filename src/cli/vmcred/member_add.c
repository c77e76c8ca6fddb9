/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "cli/vmcred/member.h"

/* What `add` registers for one name. */
struct addition {
	const char *name;
	struct sops_key_group keys;      /* owned; none if they are registered already */
	bool is_new_key;                 /* of a machine, */
	struct age_identities generated; /* owned; which a dry run does not generate */
};

struct additions {
	const struct member *member;
	struct addition *items; /* owned */
	size_t count;
	char *writer; /* owned, or NULL */
	bool is_writer_known;
};

static void additions_destroy(struct additions *additions)
{
	for (size_t i = 0; i < additions->count; i++) {
		sops_key_group_destroy(&additions->items[i].keys);
		age_identities_destroy(&additions->items[i].generated);
	}
	free(additions->items);
	free(additions->writer);
}

/* Once for all, because it may ask for a passphrase. */
static int writer_find(struct additions *additions, const struct report *report, struct error *err)
{
	const struct member *member = additions->member;

	if (additions->is_writer_known)
		return 0;
	additions->is_writer_known = true;
	return cli_writer_find(&member->config, member->store_dirfd, member->identity, report,
			       &additions->writer, err);
}

static int machine_key_generate(struct additions *additions, struct addition *addition,
				const struct report *report, struct error *err)
{
	const struct member *member = additions->member;
	const char *public_key = "(new key)";
	int r = member->force ? store_name_check("machine", addition->name, err)
			      : vars_machine_has_key(member->store_dirfd, addition->name, err);

	if (r != 0)
		return r < 0 ? r : 0;
	addition->is_new_key = true;
	r = writer_find(additions, report, err);
	if (r == 0)
		r = vars_machine_key_make(&member->config, member->store_dirfd, addition->name,
					  additions->writer, NULL, err);
	if (r == 0 && !member->dry_run)
		r = age_identities_generate(&addition->generated, AGE_X25519, err);
	if (r == 0 && !member->dry_run)
		public_key = age_identity_recipient(addition->generated.items[0]);
	return r < 0 ? r
		     : sops_key_group_add(&addition->keys, SOPS_KEY_AGE, span_of_text(public_key),
					  err);
}

/* Each of two members with the same key can read what the other can, such as a machine every secret
 * of a user. */
static int sharing_warn(const struct member *member, const struct addition *addition,
			const struct report *report, struct error *err)
{
	_cleanup_free_ char *other = NULL;
	int r = vars_keys_find_other(member->store_dirfd, &addition->keys, member->type,
				     addition->name, &other, err);

	if (r > 0)
		report_message(
			report, REPORT_WARNING,
			"the %s %s has the same key as the %s: each can read what the other can",
			vars_member_type_name(member->type), addition->name, other);
	return r < 0 ? r : 0;
}

/* The given public keys, or a generated one. */
static int keys_find(struct additions *additions, struct addition *addition,
		     const struct report *report, struct error *err)
{
	const struct member *member = additions->member;
	struct sops_key_group *keys = &addition->keys;
	int r = cli_public_keys_add(&member->age_keys, report, keys, err);

	for (size_t i = 0; r == 0 && i < member->pgp_keys.count; i++)
		r = vars_key_add(keys, SOPS_KEY_PGP, member->pgp_keys.items[i], err);
	if (r < 0)
		return r;
	if (keys->count > 0) {
		r = vars_member_keys_check(member->store_dirfd, member->type, addition->name, keys,
					   member->force, err);
		if (r == 0)
			sops_key_group_destroy(keys);
		return r <= 0 ? r : sharing_warn(member, addition, report, err);
	}
	if (member->type == VARS_MACHINE)
		return machine_key_generate(additions, addition, report, err);
	error_set(err, VMCRED_USAGE, "user add requires a public key");
	return error_hint(
		err, "pass --age-key KEY|FILE (see `vmcred keygen -y`) or --pgp-key FINGERPRINT");
}

static int addition_commit(const struct additions *additions, const struct addition *addition,
			   struct error *err)
{
	const struct member *member = additions->member;
	int r = 0;

	if (addition->is_new_key)
		r = vars_machine_key_make(&member->config, member->store_dirfd, addition->name,
					  additions->writer, addition->generated.items[0], err);
	else if (addition->keys.count > 0)
		r = vars_member_keys_write(member->store_dirfd, member->type, addition->name,
					   &addition->keys, member->force, err);
	return r < 0 || !member->group ? r
				       : vars_group_add(member->store_dirfd, member->group,
							member->type, addition->name, err);
}

static int additions_commit(size_t linked, void *data, struct error *err)
{
	const struct additions *additions = data;
	int r = 0;

	(void)linked;
	for (size_t i = 0; !additions->member->dry_run && r == 0 && i < additions->count; i++)
		r = addition_commit(additions, &additions->items[i], err);
	return r;
}

/* Adds the path of the link that makes it a member of the group, unless it exists. */
static int group_path_add(int store_dirfd, const char *group, enum vars_member_type type,
			  const char *name, struct strings *paths, struct error *err)
{
	int r = vars_group_member_check(store_dirfd, group, type, name, err);

	if (r != -(int)VMCRED_MISSING)
		return r;
	error_clear(err);
	return strings_add_format(paths, err, "sops/groups/%s/%ss/%s", group,
				  vars_member_type_name(type), name);
}

static int addition_paths(const struct member *member, const struct addition *addition,
			  struct strings *paths, struct error *err)
{
	int r = 0;

	if (addition->is_new_key)
		r = strings_add_format(paths, err, "sops/secrets/%s-age.key/secret",
				       addition->name);
	if (r == 0 && addition->keys.count > 0)
		r = strings_add_format(paths, err, "sops/%ss/%s/key.json",
				       vars_member_type_name(member->type), addition->name);
	return r < 0 || !member->group ? r
				       : group_path_add(member->store_dirfd, member->group,
							member->type, addition->name, paths, err);
}

/* Finds what one name adds. Returns 1 if it is in a group. */
static int addition_find(struct additions *additions, struct addition *addition, struct cli *cli,
			 struct cli_change *change, struct error *err)
{
	const struct member *member = additions->member;
	int r;

	if (member->type == VARS_MACHINE &&
	    !config_machine_get(&member->config, addition->name, err))
		return -(int)err->code;
	r = keys_find(additions, addition, &cli->report, err);
	if (r == 0)
		r = addition_paths(member, addition, &change->added, err);
	return r < 0 ? r
		     : vars_member_is_grouped(member->store_dirfd, member->type, addition->name,
					      err);
}

int member_add(struct cli *cli, const struct member *member, struct error *err)
{
	__attribute__((cleanup(additions_destroy))) struct additions additions = {.member = member};
	_cleanup_free_ struct vars_member_change *changes = NULL;
	_cleanup_cli_change_ struct cli_change change = {
		.dry_run = member->dry_run,
		.identity = member->identity,
		.commit = additions_commit,
		.data = &additions,
	};
	bool is_grouped = member->group != NULL;
	int r = 0;

	additions.items = calloc(member->name_count, sizeof(*additions.items));
	change.members = changes = calloc(2 * member->name_count, sizeof(*changes));
	if (!additions.items || !changes)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < member->name_count; i++) {
		struct addition *addition = &additions.items[additions.count++];

		addition->name = member->names[i];
		r = addition_find(&additions, addition, cli, &change, err);
		if (r > 0) {
			is_grouped = true;
			r = 0;
		}
		if (r == 0 && addition->keys.count > 0)
			changes[change.member_count++] = (struct vars_member_change){
				.type = member->type,
				.name = addition->name,
				.keys = &addition->keys,
				.is_new_key = addition->is_new_key,
			};
		if (r == 0 && member->group)
			changes[change.member_count++] =
				(struct vars_member_change){.type = member->type,
							    .name = addition->name,
							    .group = member->group};
	}
	if (r < 0)
		return r;
	/* Outside of groups, a machine is a recipient of its own secrets only. */
	if (member->type == VARS_MACHINE && !is_grouped)
		change.machines = member->names;
	return cli_change_make(cli, &member->config, member->store_dirfd, &change, NULL, err);
}

struct joining {
	const struct member *group;
	struct vars_member_change member;
};

static int joining_commit(size_t linked, void *data, struct error *err)
{
	const struct joining *joining = data;
	const struct member *group = joining->group;

	(void)linked;
	return group->dry_run ? 0
			      : vars_group_add(group->store_dirfd, group->name,
					       joining->member.type, joining->member.name, err);
}

int group_add(struct cli *cli, const struct member *group, struct error *err)
{
	struct joining joining = {.group = group};
	_cleanup_cli_change_ struct cli_change change = {
		.members = &joining.member,
		.member_count = 1,
		.dry_run = group->dry_run,
		.identity = group->identity,
		.commit = joining_commit,
		.data = &joining,
	};
	int r = group_member_find(group, &joining.member, err);

	if (r == 0)
		r = store_name_check("group", group->name, err);
	if (r == 0)
		r = vars_member_check(group->store_dirfd, joining.member.type, joining.member.name,
				      err);
	if (r == 0)
		r = group_path_add(group->store_dirfd, group->name, joining.member.type,
				   joining.member.name, &change.added, err);
	return r < 0 ? r
		     : cli_change_make(cli, &group->config, group->store_dirfd, &change, NULL, err);
}
