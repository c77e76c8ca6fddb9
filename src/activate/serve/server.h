/* SPDX-License-Identifier: Apache-2.0 */
/* Inside serve/: the server's state, which serve.c's loop and the answers in advance.c share. */
#ifndef VMCRED_ACTIVATE_SERVE_SERVER_H
#define VMCRED_ACTIVATE_SERVE_SERVER_H

#include <poll.h>

#include "activate/serve/answer.h"
#include "activate/serve/source.h"

/* About peers whose unit is not known: any number of processes can connect to the vsock port, and a
 * compromised VMM can send any number of datagrams. */
#define UNKNOWN_LINES_MAX    16
#define UNKNOWN_LINES_SECOND 1

struct server {
	const struct serve_options *options;
	const struct report *report;
	struct serve_source source;
	struct serve_answer *answers; /* owned; those that wait for their peers */
	struct pollfd *polled;        /* owned; POLL_FIRST_ANSWER more than answers */
	size_t count, capacity;
	/* The value of one waiting answer: the last one decrypted. The others' are decrypted again
	 * when their peers go on reading. */
	struct secret value;
	int value_fd; /* that answer's; -1: none */
	int64_t value_until;
	int64_t value_turn; /* until then, the others wait: decrypting takes long */
	struct serve_limits limits;
	struct allowance unknown_lines;
	size_t watchers;      /* answers to guests that watch */
	int64_t watch_at;     /* the next round of checks for changes */
	unsigned int round;   /* the current one */
	bool is_round_open;   /* a watcher has not had its turn in it */
	bool is_behind;       /* a watcher waits for its turn */
	int behind_fd;        /* of the one whose check is not complete; -1: none */
	int signal_fd;        /* owned */
	int64_t accept_after; /* accept(2) failed: not before */
	int64_t idle_since;
	int64_t stop_at; /* 0: not asked to stop */
};

/* Reports how a request ended; `reason` may be NULL. */
void server_event_report(struct server *server, const struct serve_answer *answer,
			 enum serve_result result, const struct error *reason);

void server_value_forget(struct server *server);

/* Whether an answer that has started waits until that of server->value has ended or had its turn.
 */
bool server_answer_is_waiting(const struct server *server, const struct serve_answer *answer,
			      int64_t now);

/* Whether a guest's request is not known yet. */
bool server_answer_is_reading(const struct serve_answer *answer);

void server_answer_refuse(struct server *server, struct serve_answer *answer,
			  const struct error *reason);

/* Closes the connection, and reports an answer that was not refused before. */
void server_answer_end(struct server *server, struct serve_answer *answer, enum serve_progress how);

/*
 * Whether one more session of a guest is within its limits, which are those of its CID until its
 * unit is known. Takes it from what is left, and reports once that nothing is.
 */
bool server_guest_admit(struct server *server, const struct serve_answer *answer);

/* Sends what the socket's buffer holds, 208 KiB by default. Returns whether the answer has ended.
 */
bool server_answer_advance(struct server *server, struct serve_answer *answer);

/* Announces what has changed to a guest that watches, or checks a part of it until then. Returns
 * whether its connection has ended. */
bool server_watcher_advance(struct server *server, struct serve_answer *answer, int64_t until);

#endif
