/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending one answer without waiting for the peer.
 *
 * systemd takes everything up to the end of the connection for the credential; the protocol has no
 * error reply. So an answer that is refused is filled up with zeros to more than systemd accepts
 * for a credential, which makes the unit fail. A guest gets a frame that says why.
 */
#ifndef VMCRED_ACTIVATE_SERVE_ANSWER_H
#define VMCRED_ACTIVATE_SERVE_ANSWER_H

#include "activate/serve/guest.h"
#include "activate/serve/request.h"

struct serve_answer {
	int fd;                    /* owned */
	struct serve_guest *guest; /* owned; NULL: systemd asks */
	struct serve_request request;
	size_t size; /* of the value */
	size_t sent; /* of a guest's answer, with the head of its frame */
	bool is_refused;
	bool is_left_out;
};

enum serve_progress {
	SERVE_DONE,
	SERVE_WAITS, /* the socket's buffer is full */
	SERVE_GONE,  /* the peer closed the connection */
	SERVE_LATE,  /* a guest took too long */
};

/* Sends what fits into the socket's buffer. `value` is not used for an answer that is refused. */
enum serve_progress serve_answer_send(struct serve_answer *answer, struct span value);

/* Ends the connection, of which systemd may have another descriptor. */
void serve_answer_close(struct serve_answer *answer);

#endif
