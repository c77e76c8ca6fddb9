/* SPDX-License-Identifier: Apache-2.0 */
/* `machine`, `user` and `group`: member.c has the commands, the other files what they do. */
#ifndef VMCRED_CLI_VMCRED_MEMBER_H
#define VMCRED_CLI_VMCRED_MEMBER_H

#include "cli/vmcred/commands.h"

struct member {
	enum vars_member_type type;
	const char *name;   /* the first of */
	char *const *names; /* NULL-terminated */
	size_t name_count;
	struct cli_texts age_keys, pgp_keys; /* machines have no PGP keys */
	const char *group, *identity;
	const char *user, *machine; /* the members of a group */
	bool force, dry_run;
	struct config config;
	int store_dirfd;
};

int member_add(struct cli *cli, const struct member *member, struct error *err);
int member_remove(struct cli *cli, const struct member *member, struct error *err);
int group_add(struct cli *cli, const struct member *group, struct error *err);
int group_remove(struct cli *cli, const struct member *group, struct error *err);

/* The group's member that the options name. */
int group_member_find(const struct member *group, struct vars_member_change *member,
		      struct error *err);

#endif
