/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channel keys: "Keys" in docs/protocol.md. One key of this boot proves all of them, so that
 * nothing is stored for a VM. A unit gets its key from systemd, as a credential, and vmcred-run
 * passes it on with each connection of the guest.
 */
#ifndef VMCRED_ACTIVATE_SERVE_KEY_H
#define VMCRED_ACTIVATE_SERVE_KEY_H

#include "base/secret.h"
#include "channel/channel.h"
#include "load/load.h"

#define SERVE_KEY_SIZE CHANNEL_KEY_SIZE

_Static_assert(CHANNEL_UNIT_SIZE_MAX == LOAD_ADDRESS_MAX, "the maximum of a unit's name");

/* More than a unit's key as a credential has. */
#define SERVE_KEY_CREDENTIAL_MAX 512

/* What a unit's key says. The caller wipes it. */
struct serve_unit_key {
	char unit[LOAD_ADDRESS_MAX + 1];
	uint8_t key[SERVE_KEY_SIZE];
};

/*
 * Reads the key of this boot from the service's runtime directory, or creates it there.
 * VMCRED_USAGE: `runtime` is NULL.
 */
int serve_key_read(const char *runtime, struct secret *boot_key, struct error *err);

/* The credential for a unit, and what it says: the same one for as long as the unit runs, because
 * systemd may load it again, and its guest keeps the first one. `*credential` must own nothing. */
int serve_key_issue(const struct secret *boot_key, const char *unit, struct secret *credential,
		    struct serve_unit_key *unit_key, struct error *err);

/* VMCRED_FAILED: it was not issued with this key. */
int serve_key_check(const struct secret *boot_key, struct span credential,
		    struct serve_unit_key *unit_key, struct error *err);

/* Checks the proof of a guest, to which this process has sent `nonce`. VMCRED_FAILED: it has none,
 * or not with a key that was issued. */
int serve_key_prove(const struct secret *boot_key, const uint8_t nonce[CHANNEL_NONCE_SIZE],
		    const struct channel_request *request, struct serve_unit_key *unit_key,
		    struct error *err);

/* The version of a value for the unit's guest. */
int serve_key_version(const uint8_t key[SERVE_KEY_SIZE], const char *credential, struct span value,
		      uint8_t version[CHANNEL_VALUE_VERSION_SIZE], struct error *err);

#endif
