/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of this user: where sops looks for age identities, in the cheapest order. A source is
 * asked only while no identity found so far is one of the document's recipients, so that a
 * passphrase is not asked for, nor a command run, that is not needed.
 */
#ifndef VMCRED_CLI_SOPS_KEYS_H
#define VMCRED_CLI_SOPS_KEYS_H

#include "cli/sops/call.h"

/* What needs no identities: the program gpg, the order, whom to ask. */
int sops_keyring_prepare(struct sops_call *call, struct error *err);

/* Completes `call->keys` for this document; or for any, where `document` is NULL. A source that
 * fails is remembered, not an error. */
int sops_keys_load(struct sops_call *call, const struct sops_document *document, struct error *err);

/* Whether keys depend on the document: commands that are told its recipients. */
bool sops_keys_ask_commands(void);

/* Adds to an error that no key opens a document which sources had none, and which failed. */
void sops_keys_explain(const struct sops_call *call, struct error *err);

void sops_keys_destroy(struct sops_keys *keys);

#endif
