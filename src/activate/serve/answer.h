/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending one answer without waiting for the peer.
 *
 * systemd takes everything up to the end of the connection for the credential; the protocol has no
 * error reply. So an answer that is refused is filled up with zeros to more than systemd accepts
 * for a credential, which makes the unit fail.
 */
#ifndef VMCRED_ACTIVATE_SERVE_ANSWER_H
#define VMCRED_ACTIVATE_SERVE_ANSWER_H

#include "activate/serve/request.h"

struct serve_answer {
	int fd; /* owned */
	struct serve_request request;
	size_t size; /* of the value */
	size_t sent;
	bool is_refused; /* zeros are sent instead of the value */
	bool is_left_out;
};

enum serve_progress {
	SERVE_DONE,
	SERVE_WAITS, /* the socket's buffer is full */
	SERVE_GONE,  /* the peer closed the connection */
};

/* Sends what fits into the socket's buffer. `value` is not used for an answer that is refused. */
enum serve_progress serve_answer_send(struct serve_answer *answer, struct span value);

/* Ends the connection, of which systemd may have another descriptor. */
void serve_answer_close(struct serve_answer *answer);

/* Makes systemd keep a second descriptor of the connection until it ends (socket.c). */
void serve_socket_keep(int fd);

#endif
