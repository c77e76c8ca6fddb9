/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of vars/ share about the store's layout. Inside vars/ only.
 */
#ifndef VMCRED_VARS_STORE_H
#define VMCRED_VARS_STORE_H

#include "vars/vars.h"

#define STORE_HASH_NAME ".validation-hash" /* as clan has it */

/* The folder that holds a machine's generators, or the shared ones (NULL): "vars/per-machine/M",
 * "vars/shared". NULL without memory; the caller frees it. */
char *store_generators_path(const char *machine);

#endif
