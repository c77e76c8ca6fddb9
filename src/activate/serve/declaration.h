/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The declaration and the folder of the store, while they may change: read anew when the file is
 * another one, or in another folder, than it was.
 */
#ifndef VMCRED_ACTIVATE_SERVE_DECLARATION_H
#define VMCRED_ACTIVATE_SERVE_DECLARATION_H

#include "activate/serve/watch.h"
#include "config/config.h"

struct serve_declaration {
	struct config config; /* owned */
	int store_dirfd;      /* owned */
	struct serve_watch watch;
	struct stat folder;
};

/*
 * Reads it if it has or may have changed, or in any case with `force`. Returns 1 where it was
 * another one, or forced, else 0. On failure what was read before stays. `*declaration` starts as
 * {.store_dirfd = -1}.
 */
int serve_declaration_update(struct serve_declaration *declaration, const char *given, bool force,
			     struct error *err);

void serve_declaration_release(struct serve_declaration *declaration);

#endif
