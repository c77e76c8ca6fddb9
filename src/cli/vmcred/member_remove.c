/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/member.h"

/* What `remove` removes: a member of the store, or of a group. */
struct removal {
	struct vars_member_change member;
	struct cli_change change;
	int store_dirfd;
};

/* An interrupted removal is continued as long as anything is left of it. */
static int removal_commit(size_t linked, void *data, struct error *err)
{
	const struct removal *removal = data;
	const struct vars_member_change *member = &removal->member;

	if (linked + removal->change.removed.count + removal->change.removed_last.count > 0)
		return 0;
	return member->group
		       ? vars_group_member_check(removal->store_dirfd, member->group, member->type,
						 member->name, err)
		       : vars_member_check(removal->store_dirfd, member->type, member->name, err);
}

static int removal_make(struct cli *cli, const struct member *member, struct removal *removal,
			struct error *err)
{
	struct cli_change *change = &removal->change;
	const char *name = removal->member.name, *group = removal->member.group;
	int r;

	removal->member.removed = true;
	removal->store_dirfd = member->store_dirfd;
	change->members = &removal->member;
	change->member_count = 1;
	change->dry_run = member->dry_run;
	change->identity = member->identity;
	change->commit = removal_commit;
	change->data = removal;
	r = cli_change_make(cli, &member->config, member->store_dirfd, change, NULL, err);
	/* Reported as they are: that it does not exist, or that it cannot be read. */
	return r != -(int)VMCRED_FAILED ? r
	       : group                  ? error_wrap(err, "removing the %s %s from the group %s",
						     vars_member_type_name(removal->member.type), name, group)
					: error_wrap(err, "removing the %s %s",
						     vars_member_type_name(removal->member.type), name);
}

int member_remove(struct cli *cli, const struct member *member, struct error *err)
{
	struct removal removal = {.member = {.type = member->type, .name = member->name}};
	int r;

	if (member->type == VARS_MACHINE && config_machine_find(&member->config, member->name))
		return error_set(err, VMCRED_USAGE,
				 "machine %s is declared: remove it from %s first", member->name,
				 member->config.path);
	r = vars_member_paths(member->store_dirfd, member->type, member->name,
			      &removal.change.removed, &removal.change.removed_last, err);
	if (r == 0)
		r = removal_make(cli, member, &removal, err);
	cli_change_destroy(&removal.change);
	return r;
}

/* The member that the options name. */
int group_member_find(const struct member *group, struct vars_member_change *member,
		      struct error *err)
{
	*member = (struct vars_member_change){
		.type = group->user ? VARS_USER : VARS_MACHINE,
		.name = group->user ? group->user : group->machine,
		.group = group->name,
	};
	return !group->user == !group->machine
		       ? error_set(err, VMCRED_USAGE, "pass one member with --user or --machine")
		       : 0;
}

int group_remove(struct cli *cli, const struct member *group, struct error *err)
{
	struct removal removal = {0};
	int r = group_member_find(group, &removal.member, err);

	if (r == 0)
		r = vars_group_member_check(group->store_dirfd, group->name, removal.member.type,
					    removal.member.name, err);
	if (r == 0)
		r = strings_add_format(&removal.change.removed, err, "sops/groups/%s/%ss/%s",
				       group->name, vars_member_type_name(removal.member.type),
				       removal.member.name);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		r = 0;
	}
	if (r == 0)
		r = removal_make(cli, group, &removal, err);
	cli_change_destroy(&removal.change);
	return r;
}
