/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as SOPS writes them (RFC 3339). `lastmodified` is the MAC's additional data, in the form in
 * which Go prints it again after having read it.
 */
#ifndef VMCRED_SOPS_TREE_TIMESTAMP_H
#define VMCRED_SOPS_TREE_TIMESTAMP_H

#include "base/error.h"
#include "base/span.h"

/* "2006-01-02T15:04:05+07:00" with a NUL. */
#define SOPS_TIMESTAMP_SIZE_MAX 26

/* Whether the text is a time; fractions of a second are dropped, and an offset of zero becomes Z. 0
 * or -1. */
int sops_timestamp_normalize(struct span text, char out[SOPS_TIMESTAMP_SIZE_MAX]);

/* Whether a text is a time as Go's time.Time prints it, with a fraction if it has one. 0 or -1. */
int sops_time_check(struct span text);

/* The time now, in UTC. */
int sops_timestamp_now(char out[SOPS_TIMESTAMP_SIZE_MAX], struct error *err);

#endif
