/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one peer gets, without ever waiting for it.
 *
 * systemd takes what it reads up to the end for the credential, and has no word for "no": a
 * connection that is just closed would start the unit with an empty credential, or with the
 * beginning of one. So what cannot be given whole is spoilt: the peer gets zeros until it has more
 * than systemd takes, which makes the unit fail.
 */
#ifndef VMCRED_ACTIVATE_SERVE_ANSWER_H
#define VMCRED_ACTIVATE_SERVE_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"

/* Owns its descriptor and its secret. */
struct serve_answer {
	int fd;
	struct secret value;
	size_t sent;
	bool is_spoilt;
	int64_t deadline; /* clock_now_ms(); until then the plaintext is kept */
	char who[256];    /* for the log */
};

enum serve_progress {
	SERVE_DONE, /* all is sent */
	SERVE_WAITS,
	SERVE_GONE, /* the peer has hung up */
};

/* Sends what the peer takes now. */
enum serve_progress serve_answer_send(struct serve_answer *answer);

/* Wipes the value; from now on zeros are sent. */
void serve_answer_spoil(struct serve_answer *answer);

void serve_answer_release(struct serve_answer *answer);

#endif
