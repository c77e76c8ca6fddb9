/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between a guest and its host over vsock: docs/protocol.md. Both sides use these
 * functions: `vmcred serve` on the host, vmcred-guest in the guest.
 *
 * A frame is a size, a type and a payload. These functions write frames into the caller's buffers
 * and read them from bytes that have arrived, and neither wait nor allocate. Neither side trusts
 * the other: each size is checked before it is used. Values are not copied here.
 */
#ifndef VMCRED_CHANNEL_CHANNEL_H
#define VMCRED_CHANNEL_CHANNEL_H

#include "base/error.h"
#include "base/name.h"
#include "base/secret.h"
#include "base/span.h"

#define CHANNEL_PORT    811 /* of the host; only root can bind one below 1024 */
#define CHANNEL_VERSION 1

/* The channel key of a VM's unit: "Keys" in docs/protocol.md. The name is reserved. */
#define CHANNEL_CREDENTIAL "vmcred.channel"

#define CHANNEL_UNIT_SIZE_MAX 107 /* as in the address of LoadCredential=: load/load.h */
#define CHANNEL_ID_SIZE       16
#define CHANNEL_KEY_SIZE      32 /* of HMAC-SHA256 */

/* Where vmcred-run passes a guest's connection on: a datagram with the key and the descriptor.
 * CHANNEL_PROVES follows the key if the guest has it, too, and must prove it. */
#define CHANNEL_PROVES      "proof\n"
#define CHANNEL_SOCKET_PATH "/run/vmcred/channel"

#define CHANNEL_HEADER_SIZE        5 /* size and type */
#define CHANNEL_NONCE_SIZE         16
#define CHANNEL_VALUE_VERSION_SIZE 8
#define CHANNEL_VALUE_SIZE_MAX     ((size_t)1024 * 1024) /* as systemd's for a unit */

/* The largest frames of each side, with their sizes. */
#define CHANNEL_GUEST_FRAME_MAX 512
#define CHANNEL_HOST_FRAME_MAX \
	(CHANNEL_VALUE_SIZE_MAX + CHANNEL_HEADER_SIZE + CHANNEL_VALUE_VERSION_SIZE)

#define CHANNEL_REQUEST_SIZE_MAX ((size_t)2 * CHANNEL_GUEST_FRAME_MAX) /* HELLO and a request */

/* The HELLO of a guest, without a proof. */
#define CHANNEL_GUEST_HELLO_SIZE (CHANNEL_HEADER_SIZE + 7)

/* The size of the HELLO of the host, the largest. */
#define CHANNEL_HELLO_SIZE_MAX (CHANNEL_HEADER_SIZE + 7 + CHANNEL_NONCE_SIZE)

/* What precedes a value in its frame. */
#define CHANNEL_VALUE_HEAD_SIZE (CHANNEL_HEADER_SIZE + CHANNEL_VALUE_VERSION_SIZE)

enum channel_type {
	CHANNEL_HELLO = 1,
	CHANNEL_GET = 2,
	CHANNEL_WATCH = 3,
	CHANNEL_REPORT = 4,
	CHANNEL_VALUE = 16,
	CHANNEL_REFUSED = 17,
	CHANNEL_ANNOUNCE = 19,
	CHANNEL_RECORDED = 20,
};

enum channel_refusal {
	CHANNEL_DENIED = 1, /* the VM may not have it */
	CHANNEL_UNAVAILABLE = 2,
	CHANNEL_BUSY = 3,
	CHANNEL_UNSUPPORTED = 4, /* the version or the request */
	CHANNEL_UNPROVEN = 5,    /* the host does not know which VM it is */
};

struct channel_frame {
	uint8_t type;        /* of enum channel_type, or another */
	struct span payload; /* borrowed */
};

/*
 * Reads the first bytes of a frame. `size_max` is for the frame with its size. VMCRED_FAILED: it is
 * larger, or has no type.
 */
int channel_header_read(const uint8_t header[CHANNEL_HEADER_SIZE], size_t size_max, uint8_t *type,
			size_t *payload_size, struct error *err);

/* Takes the first frame from `*bytes`, if all of it has arrived. VMCRED_FAILED: as above. */
int channel_frame_take(struct span *bytes, size_t size_max, struct channel_frame *frame,
		       bool *is_whole, struct error *err);

/* What the credential CHANNEL_CREDENTIAL says. The caller wipes it. */
struct channel_key {
	char unit[CHANNEL_UNIT_SIZE_MAX + 1];
	uint8_t id[CHANNEL_ID_SIZE];
	uint8_t key[CHANNEL_KEY_SIZE];
};

/* How it starts, before the unit, the ID and the key. */
#define CHANNEL_KEY_BEGINNING "vmcred-channel-1 "

/* Reads that credential from a file of a directory, which can be NULL. VMCRED_MISSING: there is
 * none. */
int channel_key_read(const char *directory, const char *name, struct secret *credential,
		     struct error *err);

/* VMCRED_FAILED: it does not have the form of a channel key. */
int channel_key_parse(struct span text, struct channel_key *key, struct error *err);

/* In the HELLO of a guest that has a channel key: proves that, without the key. */
struct channel_proof {
	char unit[CHANNEL_UNIT_SIZE_MAX + 1];
	uint8_t id[CHANNEL_ID_SIZE];
	uint8_t mac[CHANNEL_KEY_SIZE]; /* channel_proof_mac() */
};

/* Reads what follows the version in HELLO: nothing, or a proof. Returns whether it is valid. */
bool channel_proof_take(struct span bytes, struct channel_proof *proof);

struct channel_request {
	uint8_t type; /* CHANNEL_GET, CHANNEL_WATCH, CHANNEL_REPORT; 0: not supported */
	char credential[CREDENTIAL_NAME_SIZE_MAX + 1]; /* of CHANNEL_GET */
	struct span report;         /* of CHANNEL_REPORT: valid findings; borrowed from the bytes */
	struct channel_proof proof; /* its unit is empty: there is none */
	struct span frame;          /* the request as it was sent, for the proof; borrowed */
};

/* Reads HELLO and the request from what a guest has sent. VMCRED_FAILED: they are not valid. */
int channel_request_read(struct span bytes, struct channel_request *request, bool *is_whole,
			 struct error *err);

/* Reads the nonce of the host's HELLO. VMCRED_FAILED: it is not one. */
int channel_hello_read(const struct channel_frame *frame, uint8_t nonce[CHANNEL_NONCE_SIZE],
		       struct error *err);

/* What a reason of REFUSED means, for an error. */
const char *channel_refusal_text(uint8_t reason);

/* Write a frame, or the beginning of one, and return its size. */
size_t channel_host_hello_write(uint8_t out[CHANNEL_HELLO_SIZE_MAX],
				const uint8_t nonce[CHANNEL_NONCE_SIZE]);
size_t channel_value_head_write(uint8_t out[CHANNEL_VALUE_HEAD_SIZE],
				const uint8_t version[CHANNEL_VALUE_VERSION_SIZE], size_t size);
size_t channel_refused_write(uint8_t out[CHANNEL_HEADER_SIZE + 1], enum channel_refusal reason);

/* Writes a guest's HELLO and GET, or WATCH if the name is NULL. The name has been checked. */
size_t channel_request_write(uint8_t out[CHANNEL_REQUEST_SIZE_MAX], const char *credential);

/* The MAC of a proof, with the host's nonce and the frame that follows HELLO. */
void channel_proof_mac(const uint8_t key[CHANNEL_KEY_SIZE], const uint8_t nonce[CHANNEL_NONCE_SIZE],
		       struct span frame, uint8_t mac[CHANNEL_KEY_SIZE]);

/* Adds a proof to the HELLO of a request that was written; returns the new size. */
size_t channel_proof_add(uint8_t request[CHANNEL_REQUEST_SIZE_MAX], size_t size,
			 const struct channel_proof *proof);

/* What is wrong with a credential in a guest. */
enum channel_problem {
	CHANNEL_MORE = 0, /* a report's last finding: there are more, which do not fit */
	CHANNEL_CUT = 1,
	CHANNEL_CHANGED = 2,
	CHANNEL_MISSING = 3,
	CHANNEL_UNEXPECTED = 4,
};

#define CHANNEL_PROBLEMS 5

/* "more", "cut", "changed", "missing", "unexpected". */
const char *channel_problem_name(enum channel_problem problem);

/* An entry of REPORT. */
struct channel_finding {
	enum channel_problem problem;
	char credential[CREDENTIAL_NAME_SIZE_MAX + 1]; /* empty for CHANNEL_MORE */
};

/* Writes a guest's HELLO and a REPORT without findings. */
size_t channel_report_write(uint8_t out[CHANNEL_REQUEST_SIZE_MAX]);
/* Adds a finding. False: it does not fit, so CHANNEL_MORE was added, which is the last one. */
bool channel_report_add(uint8_t out[CHANNEL_REQUEST_SIZE_MAX], size_t *size,
			const struct channel_finding *finding);

/* Takes a finding from the payload of REPORT, which is not empty. VMCRED_FAILED: it is not valid.
 */
int channel_finding_take(struct span *payload, struct channel_finding *finding, struct error *err);

/* Writes a host's answer to REPORT. */
size_t channel_recorded_write(uint8_t out[CHANNEL_HEADER_SIZE]);

/* An entry of ANNOUNCE. */
struct channel_version {
	char credential[CREDENTIAL_NAME_SIZE_MAX + 1];
	uint8_t version[CHANNEL_VALUE_VERSION_SIZE];
};

#define CHANNEL_ANNOUNCE_SIZE_MAX ((size_t)64 * 1024)

/* Writes an ANNOUNCE without entries. */
size_t channel_announce_write(uint8_t out[CHANNEL_ANNOUNCE_SIZE_MAX]);
/* Adds an entry to one of `size` bytes; returns the new size, or 0 if it would be too large. */
size_t channel_announce_add(uint8_t out[CHANNEL_ANNOUNCE_SIZE_MAX], size_t size,
			    const struct channel_version *version);

/* Takes an entry from the payload of ANNOUNCE, which is not empty. VMCRED_FAILED: it is not valid.
 */
int channel_announce_take(struct span *payload, struct channel_version *version, struct error *err);

#endif
