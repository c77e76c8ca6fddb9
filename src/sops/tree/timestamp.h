/* SPDX-License-Identifier: Apache-2.0 */
/* Times as SOPS writes them (RFC 3339). `lastmodified` is the MAC's additional data in the form
 * that Go prints. */
#ifndef VMCRED_SOPS_TREE_TIMESTAMP_H
#define VMCRED_SOPS_TREE_TIMESTAMP_H

#include "base/error.h"
#include "base/span.h"

/* "2006-01-02T15:04:05+07:00" with a NUL. */
#define SOPS_TIMESTAMP_SIZE_MAX 26

/* Drops fractions of a second and converts a zero offset to Z. Returns 0, or -1 if it is not a
 * time. */
int sops_timestamp_normalize(struct span text, char out[SOPS_TIMESTAMP_SIZE_MAX]);

/* Returns 0 if the text is a time as Go's time.Time prints it, else -1. */
int sops_time_check(struct span text);

/* The seconds since 1970 of a normalized time. */
int64_t sops_timestamp_seconds(const char *normalized);

/* The current time in UTC. */
int sops_timestamp_now(char out[SOPS_TIMESTAMP_SIZE_MAX], struct error *err);

#endif
