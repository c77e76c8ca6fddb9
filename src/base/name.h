/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for the names of credentials, machines, generators and files, and suggestions for mistyped
 * names. */
#ifndef VMCRED_BASE_NAME_H
#define VMCRED_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A credential's name is a file name (NAME_MAX): credential_name_valid() of systemd. */
#define CREDENTIAL_NAME_SIZE_MAX 255

/*
 * Checks that systemd accepts `name` for a credential: 1 to 255 bytes of printable ASCII without
 * '/' and ':', and neither "." nor "..". VMCRED_USAGE: it does not.
 */
int credential_name_check(const char *name, struct error *err);

/*
 * Checks that `name` can be a directory of the store, by clan's rules: 1 to 255 letters, digits,
 * '.', '_' and '-', not starting with '.'. `what` ("machine", "generator", "file") names it in the
 * error (VMCRED_USAGE).
 */
int store_name_check(const char *what, const char *name, struct error *err);

/*
 * The entry of `known` (NULL-terminated) that needs the fewest edits to become `name`, or NULL if
 * even that needs more than two edits and more than a third of the name's length, or changes more
 * than half of the entry.
 */
const char *name_nearest(const char *name, const char *const *known);

/* Adds to an error which of the `known` names was meant: the nearest one or, if none is near, all
 * of them if they are few. Returns the error's code. */
int name_hint(const char *name, const char *const *known, struct error *err);

#endif
