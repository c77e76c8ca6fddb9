/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's identities, while their file may change. */
#ifndef VMCRED_ACTIVATE_SERVE_IDENTITY_H
#define VMCRED_ACTIVATE_SERVE_IDENTITY_H

#include "activate/serve/watch.h"
#include "age/age.h"

struct serve_identity {
	struct age_identities identities; /* owned */
	struct serve_watch watch;
};

/* As serve_declaration_update(), for the file of identities. */
int serve_identity_update(struct serve_identity *identity, const char *path, bool force,
			  struct error *err);

void serve_identity_release(struct serve_identity *identity);

#endif
