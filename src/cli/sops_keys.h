/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's keys: age identities from the places that sops searches, cheapest first. A source is
 * tried only while no identity found so far is one of the document's recipients, so that no
 * passphrase is asked for, and no command run, without need.
 */
#ifndef VMCRED_CLI_SOPS_KEYS_H
#define VMCRED_CLI_SOPS_KEYS_H

#include "base/report.h"
#include "base/text.h"
#include "sops/sops.h"

/* Found when the first document needs them. Starts as {0}. */
struct sops_keys {
	struct age_identities identities;
	struct sops_keyring keyring; /* borrows the rest */
	enum sops_key_type order[SOPS_KEY_TYPES];
	size_t sources_tried;          /* the first ones of the table in sops_keys.c */
	struct strings commands_asked; /* recipients for which the commands were run */
	char *missing;                 /* owned; the sources without a key, or NULL */
	char *failed;                  /* owned; the reasons why others failed, or NULL */
};

/* Sets up gpg and the prompt, which need no identities. */
void sops_keyring_prepare(struct sops_keys *keys);

/* Loads identities until one is a recipient of the document; all of them where it is NULL. A
 * source that fails is noted in `failed` and is not an error. */
int sops_keys_load(struct sops_keys *keys, const struct report *report,
		   const struct sops_document *document, struct error *err);

/* Whether a variable names a command, which gets the wanted recipient. */
bool sops_keys_ask_commands(void);

/* Adds the sources that failed or had no key to an error about a document that no key opens. */
void sops_keys_explain(const struct sops_keys *keys, struct error *err);

void sops_keys_destroy(struct sops_keys *keys);

#endif
