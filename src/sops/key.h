/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of keys as a table: their names, their fields, and how sops shows them. What is done
 * with a key is data_key.c's business.
 */
#ifndef VMCRED_SOPS_KEY_H
#define VMCRED_SOPS_KEY_H

#include "base/error.h"
#include "sops/sops.h"
#include "sops/tree.h"

enum sops_field_use {
	SOPS_FIELD_TEXT,
	SOPS_FIELD_OPTIONAL, /* left out where it is empty */
	SOPS_FIELD_TIME,     /* when the key was added to the document (RFC 3339) */
	SOPS_FIELD_ENC,      /* what the key holds: the data key, or a share of it */
};

struct sops_field {
	const char *name;
	enum sops_field_use use;
};

struct sops_key_type_row {
	const char *name;
	/* The text of the key: fields by their numbers, $0 … $5. */
	const char *text;
	struct sops_field fields[SOPS_KEY_FIELDS_MAX + 1]; /* by name; the last has none */
	unsigned int text_field; /* which field the whole text stands for in a new key */
	bool supported;
	bool always_in_group; /* its list is written in a key group even if it is empty */
};

const struct sops_key_type_row *sops_key_type_row(enum sops_key_type type);

/* What the key holds, or "". */
const char *sops_key_enc(const struct sops_key *key);

/* Takes `enc` over, which malloc() made. */
void sops_key_enc_set(struct sops_key *key, char *enc);

int sops_key_copy(struct sops_key *to, const struct sops_key *from, struct error *err);
void sops_key_destroy(struct sops_key *key);

/* Adds a key that is taken over, also on failure. */
int sops_key_group_take(struct sops_key_group *group, struct sops_key *key, struct error *err);

/* Reads the fields of a key of a document (a map in the metadata). `what` names the document. */
int sops_key_read(const struct sops_tree *tree, size_t map, enum sops_key_type type,
		  const char *what, struct sops_key *key, struct error *err);

/*
 * The text in a map's field, in new memory; "" if it is missing or null. Flat stores have no types,
 * so numbers and booleans are taken as text.
 */
int sops_field_read(const struct sops_tree *tree, size_t map, const char *name, const char *what,
		    char **text, struct error *err);

#endif
