/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shamir's secret sharing over GF(256), as sops shares a data key among key groups: each byte is
 * the value at 0 of a random polynomial of its own, modulo x^8 + x^4 + x^3 + x + 1, and a share is
 * the polynomials' values at one place, with the place behind them as the last byte. No table and
 * no branch depends on a secret.
 */
#ifndef VMCRED_SOPS_KEYS_SHAMIR_H
#define VMCRED_SOPS_KEYS_SHAMIR_H

#include "base/error.h"
#include "base/secret.h"

#define SHAMIR_SHARES_MAX 255

/*
 * Makes `count` shares (each starts as {0}; the caller destroys them), of which any `threshold`
 * give the secret again and fewer tell nothing. 2 <= threshold <= count <= 255, else VMCRED_USAGE.
 */
int shamir_split(struct span secret, struct secret *shares, size_t count, size_t threshold,
		 struct error *err);

/* Adds the secret to `secret`. Fewer shares than the threshold give a wrong one, which nobody can
 * tell here. VMCRED_FAILED: shares of different sizes, or one of them twice. */
int shamir_combine(const struct secret *shares, size_t count, struct secret *secret,
		   struct error *err);

#endif
