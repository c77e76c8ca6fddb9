/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "vars/members/members.h"

/* A key and whose it is. */
struct owner {
	const struct sops_key *key; /* borrowed */
	enum vars_member_type type;
	const char *name; /* borrowed */
};

struct key_owners {
	struct member {
		enum vars_member_type type;
		char *name;                 /* owned */
		struct sops_key_group keys; /* owned */
	} * members;                        /* owned */
	size_t member_count;
	struct owner *owners; /* owned; sorted */
	size_t count;
};

static int owner_compare(const void *a, const void *b)
{
	const struct owner *one = a, *other = b;

	return sops_key_compare(one->key, other->key);
}

static int members_read(int store_dirfd, enum vars_member_type type, struct key_owners *owners,
			struct error *err)
{
	_cleanup_strings_ struct strings names = {0};
	int r = vars_members_list(store_dirfd, type, &names, err);
	struct member *larger;

	if (r < 0)
		return r;
	larger = reallocarray(owners->members, owners->member_count + names.count + 1,
			      sizeof(*larger));
	if (!larger)
		return error_no_memory(err);
	owners->members = larger;
	for (size_t i = 0; i < names.count; i++) {
		struct member *member = &owners->members[owners->member_count++];
		_cleanup_error_ struct error ignored = {0};

		*member = (struct member){.type = type, .name = pointer_release(&names.items[i])};
		if (member_keys_read(store_dirfd, type, member->name, &member->keys, &ignored) == 0)
			owners->count += member->keys.count;
	}
	return 0;
}

int key_owners_read(int store_dirfd, struct key_owners **owners, struct error *err)
{
	struct key_owners *new = calloc(1, sizeof(*new));
	size_t at = 0;
	int r = new ? members_read(store_dirfd, VARS_MACHINE, new, err) : error_no_memory(err);

	if (r == 0)
		r = members_read(store_dirfd, VARS_USER, new, err);
	if (r == 0) {
		new->owners = calloc(new->count + 1, sizeof(*new->owners));
		r = new->owners ? 0 : error_no_memory(err);
	}
	for (size_t i = 0; r == 0 && i < new->member_count; i++) {
		const struct member *member = &new->members[i];

		for (size_t j = 0; at < new->count &&j < member->keys.count; j++)
			new->owners[at++] =
				(struct owner){&member->keys.keys[j], member->type, member->name};
	}
	if (r < 0) {
		key_owners_destroy(&new);
		return r;
	}
	qsort(new->owners, at, sizeof(*new->owners), owner_compare);
	new->count = at;
	*owners = new;
	return 0;
}

void key_owners_destroy(struct key_owners **owners)
{
	if (!*owners)
		return;
	for (size_t i = 0; i < (*owners)->member_count; i++) {
		free((*owners)->members[i].name);
		sops_key_group_destroy(&(*owners)->members[i].keys);
	}
	free((*owners)->members);
	free((*owners)->owners);
	free(pointer_release(owners));
}

const char *key_owners_find(const struct key_owners *owners, const struct sops_key *key,
			    enum vars_member_type *type)
{
	const struct owner wanted = {.key = key};
	const struct owner *found =
		bsearch(&wanted, owners->owners, owners->count, sizeof(wanted), owner_compare);

	if (found)
		*type = found->type;
	return found ? found->name : NULL;
}

static bool keys_share(const struct sops_key_group *some, const struct sops_key_group *others)
{
	for (size_t i = 0; i < some->count; i++) {
		for (size_t j = 0; j < others->count; j++) {
			if (sops_key_compare(&some->keys[i], &others->keys[j]) == 0)
				return true;
		}
	}
	return false;
}

int vars_keys_find_other(int store_dirfd, const struct sops_key_group *keys,
			 enum vars_member_type type, const char *name, char **other,
			 struct error *err)
{
	struct key_owners *owners = NULL;
	int r = key_owners_read(store_dirfd, &owners, err);

	*other = NULL;
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < owners->member_count; i++) {
		const struct member *member = &owners->members[i];

		if ((member->type == type && strcmp(member->name, name) == 0) ||
		    !keys_share(keys, &member->keys))
			continue;
		*other = text_format("%s %s", vars_member_type_name(member->type), member->name);
		r = *other ? 1 : error_no_memory(err);
	}
	key_owners_destroy(&owners);
	return r;
}
