/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules for names: what systemd takes as a credential's name, what the store takes as the name
 * of a machine, a generator or a file, and which known name a mistyped one was probably meant to
 * be.
 */
#ifndef VMCRED_BASE_NAME_H
#define VMCRED_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* systemd: a credential's name must be a file name (NAME_MAX); credential_name_valid() in its
 * sources. */
#define CREDENTIAL_NAME_SIZE_MAX 255

/*
 * Whether systemd accepts `name` for a credential: a file name without '/', ':' or control
 * characters, printable ASCII, not "." or "..", 1 to 255 bytes. Else VMCRED_USAGE with the reason.
 */
int credential_name_check(const char *name, struct error *err);

/*
 * Whether `name` can be a folder of the store: letters, digits, '.', '_', '-', not starting with
 * '.', 1 to 255 bytes, as clan has it. `what` ("machine", "generator", "file") starts the error's
 * text (VMCRED_USAGE).
 */
int store_name_check(const char *what, const char *name, struct error *err);

/*
 * The entry of `known` (ending with NULL) that needs the fewest edits to become `name`, or NULL
 * where none is near enough to be a guess: at most a third of its letters differ, or two.
 */
const char *name_nearest(const char *name, const char *const *known);

#endif
