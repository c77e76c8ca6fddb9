/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is in the store: its machines and users with their keys, and its groups with the keys of
 * their members. Each is read when it is first asked for and remembered, because a run over many
 * secrets asks for the same ones again and again. What changes in the store afterwards is not seen:
 * whoever changes it makes a new roster. Inside vars/ only.
 *
 * Several threads may ask one roster at once. What it gives lives as long as it does.
 */
#ifndef VMCRED_VARS_ROSTER_H
#define VMCRED_VARS_ROSTER_H

#include "sops/sops.h"
#include "vars/store.h"

#define _cleanup_roster_ __attribute__((cleanup(roster_destroy)))

/* `store_dirfd` is borrowed, and so is `exclude`, which may be NULL: who departs is in the
 * roster, or in the group, no more. The caller destroys the roster. */
int roster_create(int store_dirfd, const struct vars_exclusion *exclude, struct roster **roster,
		  struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void roster_destroy(struct roster **roster);

/* All names, sorted, NULL-terminated; NULL where there are none. */
int roster_names(struct roster *roster, enum vars_member_type type, char *const **names,
		 struct error *err);

/* Whether there is such a machine or user, or such a group with somebody in it: 1, 0, or a negative
 * code. */
int roster_has(struct roster *roster, enum vars_member_type type, const char *name,
	       struct error *err);

/*
 * The keys of a machine or user, or of all members of a group that are in the roster: a link to a
 * member that is not there any more gives nothing to anybody, and clan leaves such links behind.
 * VMCRED_MISSING: there is no such group, or a machine or user without a key.
 */
int roster_keys(struct roster *roster, enum vars_member_type type, const char *name,
		const struct sops_key_group **keys, struct error *err);

/* Whether gpg has the PGP keys of the machine, user or group, before anything is encrypted for
 * them; asked once for each. VMCRED_MISSING: it has not, and the error names the key and its file.
 */
int roster_gpg_check(struct roster *roster, enum vars_member_type type, const char *name,
		     struct error *err);

#endif
