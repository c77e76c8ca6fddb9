/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one peer gets, without ever waiting for it.
 *
 * systemd takes what it reads up to the end for the credential, and has no word for "no": a
 * connection that is just closed would start the unit with an empty credential, or with the
 * beginning of one. So what cannot be given whole is spoilt: the peer gets zeros until it has more
 * than systemd takes, which makes the unit fail.
 *
 * What a socket's buffer holds (208 KiB) is sent at once and done with. Of a larger value the rest
 * waits for the peer. So that peers that do not read cost no memory, such an answer is parked after
 * a while: its value is wiped, and decrypted once more when the peer goes on.
 */
#ifndef VMCRED_ACTIVATE_SERVE_ANSWER_H
#define VMCRED_ACTIVATE_SERVE_ANSWER_H

#include <stdint.h>

#include "activate/serve/source.h"
#include "base/secret.h"

enum serve_state {
	SERVE_PLAIN,
	SERVE_PARKED,
	SERVE_SPOILT,
};

/* Owns its descriptor and its secret. */
struct serve_answer {
	int fd;
	struct serve_request request;
	struct secret value; /* in the state SERVE_PLAIN */
	size_t sent;
	size_t size; /* of the value, where it is parked */
	enum serve_state state;
	bool is_left_out; /* the empty one in place of an optional one */
	int64_t since;    /* clock_now_ms() of the plaintext */
};

enum serve_progress {
	SERVE_DONE, /* all is sent */
	SERVE_WAITS,
	SERVE_GONE, /* the peer has hung up */
};

/* Sends what the peer takes now. Not for one that is parked. */
enum serve_progress serve_answer_send(struct serve_answer *answer);

/* Wipes the value, which serve_answer_resume() brings back. */
void serve_answer_park(struct serve_answer *answer);

/* VMCRED_FAILED: the value is not the one whose beginning was sent. */
int serve_answer_resume(struct serve_answer *answer, const struct serve_source *source,
			struct error *err);

/* Wipes the value; from now on zeros are sent. */
void serve_answer_spoil(struct serve_answer *answer);

void serve_answer_release(struct serve_answer *answer);

#endif
