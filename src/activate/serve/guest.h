/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of guests: docs/protocol.md. vmcred-run accepts a guest's connection and passes it on in
 * one datagram, with the channel key of its unit. So there is one socket for all VMs, and nothing
 * is kept for a VM that asks for nothing. A guest with vhost-vsock connects directly, and proves in
 * its HELLO that it has the channel key of its unit.
 *
 * A guest is hostile. It gets what `channelCredentials` of its VM lists. Its connections, their
 * duration and their rate are limited for its VM alone, and nothing here waits for it. Any process
 * that can open a vsock connection is such a guest, which has proved nothing yet: its limits are
 * those of its CID, and there are few of them at a time.
 */
#ifndef VMCRED_ACTIVATE_SERVE_GUEST_H
#define VMCRED_ACTIVATE_SERVE_GUEST_H

#include "activate/serve/key.h"
#include "base/clock.h"
#include "channel/channel.h"

#define GUEST_CONNECTIONS_MAX 8   /* of a VM, or of a CID */
#define GUEST_UNPROVEN_MAX    64  /* in all; the oldest is closed for another one, */
#define GUEST_PROOF_MS        200 /* but not before it had this time */
#define GUEST_REQUESTS_MAX    64
#define GUEST_REQUESTS_SECOND 8
/* Of what is read and decrypted, counts as one more request. */
#define GUEST_REQUEST_BYTES   ((size_t)256 * 1024)
#define GUEST_DOCUMENT_BYTES  ((size_t)16 * 1024) /* takes as long as a small document */
#define GUEST_REQUEST_MS      10000               /* until the request is whole */
#define GUEST_ANSWER_MS       60000               /* until the answer is read */
/* Between two checks for changes; with more guests, a millisecond for each. */
#define GUEST_WATCH_MS        300

/* One of the channelCredentials of a guest that watches, when its document was last read. */
struct serve_seen {
	uint64_t fingerprint; /* of the document */
	bool is_readable;
	uint8_t version[CHANNEL_VALUE_VERSION_SIZE];
};

/* A connection. */
struct serve_guest {
	uint8_t key[SERVE_KEY_SIZE]; /* of its unit */
	uint8_t nonce[CHANNEL_NONCE_SIZE];
	bool is_unproven; /* it has to prove that it has the key of its unit, which may be known */
	int64_t deadline;
	size_t size;
	uint8_t bytes[CHANNEL_REQUEST_SIZE_MAX];
	uint8_t head[CHANNEL_VALUE_HEAD_SIZE]; /* of the answer's frame, or a whole REFUSED */
	size_t head_size;                      /* 0: not known yet */
	size_t cost;             /* of the documents read since it was last counted, in bytes */
	bool is_watching;        /* it waits for announcements */
	unsigned int round;      /* of the checks for changes: its last one */
	struct serve_seen *seen; /* owned; NULL: nothing was checked yet */
	size_t seen_count;
	size_t seen_next;          /* where the next check continues */
	unsigned int seen_reading; /* of the declaration that it is one of */
	bool has_news;             /* what was found since the last announcement */
	bool has_announced;        /* the first one was sent */
};

/* A unit whose guest has made requests recently, or "CID N". */
struct serve_limit {
	char unit[LOAD_ADDRESS_MAX + 1];
	struct allowance allowance;
	bool is_reported;
};

/* Starts as {0}. Has only units that are below their maximum. */
struct serve_limits {
	struct serve_limit *limits; /* owned */
	size_t count;
};

/* The unit's entry with what it has left; NULL without memory. */
struct serve_limit *serve_limit_get(struct serve_limits *limits, const char *unit, int64_t now);

/* Counts what was read for the unit's guest, so that large values take no more time than others. */
void serve_limit_charge(struct serve_limits *limits, const char *unit, struct serve_guest *guest);

/* A connection, and what came with its datagram. */
struct serve_passed {
	int fd;                         /* owned; -1: none */
	struct ucred peer;              /* vmcred-run; all zeros: unknown */
	uint32_t cid;                   /* of a vsock connection */
	struct serve_unit_key unit_key; /* all zeros: unknown */
	bool guest_proves;              /* the guest has that key, too */
};

/*
 * Takes the connections that wait, `max` at most; each fd is a connected stream. VMCRED_FAILED:
 * accept(2) failed, or a datagram had a key or a descriptor that is not valid, and
 * passed[*count].peer says who sent it. The caller wipes what was passed.
 */
int serve_guests_take(int socket, bool is_vsock, const char *runtime, struct serve_passed *passed,
		      size_t max, size_t *count, struct error *err);

enum serve_arrival {
	SERVE_PART,    /* wait for more */
	SERVE_REQUEST, /* it is whole */
	SERVE_CLOSED,  /* the guest has closed the connection */
	SERVE_INVALID, /* the error is set */
};

/* Reads what has arrived. */
enum serve_arrival serve_guest_read(int fd, struct serve_guest *guest,
				    struct channel_request *request, struct error *err);

/* Starts a session: sends HELLO. */
int serve_guest_greet(int fd, struct serve_guest *guest, struct error *err);

/* Ends a session that was not started. Does not wait for the guest. */
void serve_guest_turn_away(int fd, enum channel_refusal reason);

#endif
