/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a generation of a machine's secrets has in it, as it is declared: its files, and the links
 * by which they are found where clan has them. Inside activate/ only.
 */
#ifndef VMCRED_ACTIVATE_ACTIVE_LIST_H
#define VMCRED_ACTIVATE_ACTIVE_LIST_H

#include "activate/activate.h"
#include "activate/generation.h"

/* What a file of a generation is made from. */
struct origin {
	const struct config_generator *generator;
	const struct config_file *file;
};

struct active_list {
	struct active_file *items; /* owned: `count` files, then the links */
	struct origin *origins;    /* owned; one a file */
	size_t count;
	size_t link_count;
};

/* Lists what is declared for the machine and the phase, files without their content.
 * VMCRED_MISSING: an owner is not there. The caller releases the list in any case. */
int active_list_find(const struct config *config, const struct activate_options *options,
		     struct active_list *list, struct error *err);

void active_list_release(struct active_list *list);

#endif
