/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines, users and groups below sops/. A machine or user is a directory with its public keys; a
 * group is a directory of links to its members, of which only the names count.
 */
#ifndef VMCRED_VARS_MEMBERS_MEMBERS_H
#define VMCRED_VARS_MEMBERS_MEMBERS_H

#include "vars/vars.h"

/* "machines", "users", "groups": the directory below sops/, and below each secret. */
const char *members_directory(enum vars_member_type type);

/* Adds the keys of a machine or a user. VMCRED_MISSING: it has no key.json. */
int member_keys_read(int store_dirfd, enum vars_member_type type, const char *name,
		     struct sops_key_group *keys, struct error *err);

/* Adds the keys in the text of a key.json. `path` names it in errors. */
int member_keys_parse(struct span text, const char *path, struct sops_key_group *keys,
		      struct error *err);

/* Sets the error for a member without a key, or a group that does not exist. */
int member_no_key(enum vars_member_type type, const char *name, struct error *err);

/* Which machine or user of the store has a key. Unreadable keys have no owner. */
struct key_owners;

int key_owners_read(int store_dirfd, struct key_owners **owners, struct error *err);
void key_owners_destroy(struct key_owners **owners);

/* The owner's name and type; NULL: none. */
const char *key_owners_find(const struct key_owners *owners, const struct sops_key *key,
			    enum vars_member_type *type);

/*
 * The members of the store and their keys, each read when it is first needed and then kept, because
 * a run over many secrets needs the same ones again and again. Later changes of the store are not
 * noticed. Threads may share it; what it returns lives as long as it does.
 */
struct member_cache;

#define _cleanup_member_cache_ __attribute__((cleanup(member_cache_destroy)))

/* `store_dirfd` and `changes` are borrowed. The members are those after the changes. */
int member_cache_create(int store_dirfd, const struct vars_member_change *changes, size_t count,
			struct member_cache **cache, struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void member_cache_destroy(struct member_cache **cache);

/* All names of the type. */
int member_cache_names(struct member_cache *cache, enum vars_member_type type,
		       const struct strings **names, struct error *err);

/* Whether the machine or user, or a group with at least one member, exists: 1, 0, or a negative
 * code. */
int member_cache_has(struct member_cache *cache, enum vars_member_type type, const char *name,
		     struct error *err);

/* Whether the group has a user, or with `before` had one before the changes: 1, 0, or a negative
 * code. */
int member_cache_has_user(struct member_cache *cache, const char *group, bool before,
			  struct error *err);

/* The machine or user with the key before the changes; `*name` is NULL if there is none. */
int member_cache_owner(struct member_cache *cache, const struct sops_key *key,
		       enum vars_member_type *type, const char **name, struct error *err);

/*
 * The keys of a machine or user, or of all members of a group. Links to deleted members, which clan
 * leaves behind, do not count. VMCRED_MISSING: no such group, or a member without a key.
 */
int member_cache_keys(struct member_cache *cache, enum vars_member_type type, const char *name,
		      const struct sops_key_group **keys, struct error *err);

/* Whether gpg knows the PGP keys, before anything is encrypted to them; checked once for each
 * member. VMCRED_MISSING: it does not know one, which the error names. */
int member_cache_gpg_check(struct member_cache *cache, enum vars_member_type type, const char *name,
			   struct error *err);

#endif
