/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of this user: where sops looks for age identities, in the cheapest order. A source is
 * asked only while no identity found so far is one of the document's recipients, so that a
 * passphrase is not asked for, nor a command run, that is not needed.
 */
#ifndef VMCRED_CLI_SOPS_KEYS_H
#define VMCRED_CLI_SOPS_KEYS_H

#include "base/report.h"
#include "sops/sops.h"

/* The keys of this user, found when the first document needs them. Starts as {0}. */
struct sops_keys {
	struct age_identities identities;
	struct sops_keyring keyring; /* borrows the rest */
	enum sops_key_type order[SOPS_KEY_TYPES];
	size_t sources_tried;  /* the first ones of the table in keys.c */
	char **commands_asked; /* owned; recipients that the commands were asked for */
	size_t commands_asked_count;
	char *missing, *failed; /* owned; where no key was, and what went wrong, or NULL */
};

/* Sets up what needs no identities: the program gpg, the prompt. */
void sops_keyring_prepare(struct sops_keys *keys);

/* Completes the keys for this document; or for any, where `document` is NULL. A source that fails
 * is remembered, not an error. */
int sops_keys_load(struct sops_keys *keys, const struct report *report,
		   const struct sops_document *document, struct error *err);

/* Whether keys depend on the document: commands that are told its recipients. */
bool sops_keys_ask_commands(void);

/* Adds to an error that no key opens a document which sources had none, and which failed. */
void sops_keys_explain(const struct sops_keys *keys, struct error *err);

void sops_keys_destroy(struct sops_keys *keys);

#endif
