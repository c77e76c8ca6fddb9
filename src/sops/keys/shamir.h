/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shamir's secret sharing over GF(256), as sops shares a data key among key groups. Each byte is
 * the value at 0 of its own random polynomial, modulo x^8 + x^4 + x^3 + x + 1. A share consists of
 * the polynomials' values at one place, followed by the place as the last byte. No table index and
 * no branch depends on a secret.
 */
#ifndef VMCRED_SOPS_KEYS_SHAMIR_H
#define VMCRED_SOPS_KEYS_SHAMIR_H

#include "base/error.h"
#include "base/secret.h"

#define SHAMIR_SHARES_MAX 255

/*
 * Creates `count` shares (each starts as {0}; the caller destroys them). Any `threshold` of them
 * give the secret, fewer reveal nothing. 2 <= threshold <= count <= 255, else VMCRED_USAGE.
 */
int shamir_split(struct span secret, struct secret *shares, size_t count, size_t threshold,
		 struct error *err);

/* Appends the secret to `secret`. Too few shares give a wrong secret, which cannot be detected
 * here. VMCRED_FAILED: shares of different sizes, or a duplicate. */
int shamir_combine(const struct secret *shares, size_t count, struct secret *secret,
		   struct error *err);

#endif
