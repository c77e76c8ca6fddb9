/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who can read each secret, and why: the recipients of its document, compared with its declared
 * readers (secrets/secrets.h), and those of its older versions in the repository. It is kept in
 * memory as a whole, for tables and pictures.
 *
 * Nothing is decrypted: a person who can write a document can also change what is read here. The
 * structures own their members, except for the declaration's.
 */
#ifndef VMCRED_VARS_ACCESS_ACCESS_H
#define VMCRED_VARS_ACCESS_ACCESS_H

#include "vars/store/store.h"
#include "vars/vars.h"

/* Why somebody is a reader. */
enum access_reason {
	ACCESS_MACHINE,       /* the secret is deployed on the machine */
	ACCESS_DEFAULT_GROUP, /* a member of a default group */
	ACCESS_ALL_USERS,     /* a user, because there are no default groups */
	ACCESS_GROUP,         /* a member of a group that the secret is linked to */
	ACCESS_LINK,          /* the secret is linked to the reader */
};

struct access_why {
	enum access_reason reason;
	const char *group; /* borrowed from struct access, or NULL */
};

enum access_state {
	ACCESS_CURRENT,    /* a declared reader, and each of its keys is a recipient */
	ACCESS_PARTIAL,    /* a declared reader, and some of its keys are recipients */
	ACCESS_MISSING,    /* a declared reader that cannot read it: `fix` adds its keys */
	ACCESS_UNDECLARED, /* only a recipient: `fix` removes it */
	ACCESS_FORMER,     /* a recipient of older versions only */
};

struct access_key {
	char *text;
	bool is_recipient;
};

/* A machine or user, or keys that nobody registered. A former key of a reader is one of its own. */
struct access_reader {
	enum access_state state;
	enum vars_member_type type;
	char *name; /* NULL: nobody registered the key */
	struct access_key *keys;
	size_t key_count, key_capacity;
	struct access_why *whys;
	size_t why_count, why_capacity;
	/* ACCESS_FORMER: the last commit with a version that it could read, and whether the value
	 * is still the same. */
	char *commit;
	int64_t commit_time;
	bool has_current_value;
};

struct access_secret {
	const struct vars_location *location;
	char *path;
	bool exists;
	int64_t changed;           /* when the value was last encrypted */
	size_t groups, groups_min; /* key groups, and how many of them decrypt it */
	struct access_reader *readers;
	size_t reader_count, reader_capacity;
	char *ciphertext_end;    /* with nonce and tag: whether another version has the value */
	struct error unreadable; /* why the document could not be read, or empty */
};

/* Starts as {0}. */
struct access {
	struct access_secret *secrets; /* in the order of vars_check() */
	size_t count;
	struct store_files files;
	struct access_group {
		char *name;
		struct strings members[VARS_MEMBER_TYPES];
	} * groups;
	size_t group_count;
};

#define _cleanup_access_ __attribute__((cleanup(access_destroy)))

/* `wanted` chooses the secrets; NULL: all. A document that cannot be read does not stop the others.
 */
int access_read(const struct config *config, int store_dirfd,
		bool (*wanted)(const struct vars_location *location, void *data), void *data,
		const struct report *report, struct access *access, struct error *err);

/*
 * Adds the former readers: recipients of the versions in all commits of the git repository, of all
 * branches. Names are those of the keys' present or last owners. The program git is started a fixed
 * number of times, and reads nothing but the documents and public keys. VMCRED_FAILED: the store is
 * not in a git repository. `*is_shallow`: older commits are missing.
 */
int access_read_history(struct access *access, int store_dirfd, bool *is_shallow,
			struct error *err);

void access_destroy(struct access *access);

/* The reader with that name, or the one without a name that has the key; it is added if necessary.
 * `is_former`: its entry for former keys. NULL without memory. */
struct access_reader *access_reader_get(struct access_secret *secret, enum vars_member_type type,
					const char *name, const char *key, bool is_former,
					struct error *err);
int access_key_add(struct access_reader *reader, const char *text, bool is_recipient,
		   struct error *err);

/* Identifies the encryption of a sealed document's value; NULL without memory. */
char *access_ciphertext_end(const struct sops_document *document);

#endif
