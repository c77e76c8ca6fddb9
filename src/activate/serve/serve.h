/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving credentials without files: answers LoadCredential=CREDENTIAL:/run/vmcred/socket from the
 * store. systemd connects and reads to the end of the connection.
 *
 * - The name of the peer's socket says which unit asks for which credential (request.h). Only root
 *   is trusted to say that. A unit gets the credentials in its VM's loadCredentials and no others.
 * - Each request decrypts its secret; nothing is cached. A thousand requests take a tenth of a
 *   second, a small part of the time that systemd needs to start as many units.
 * - A unit never starts with an empty or truncated credential: what cannot be sent whole makes it
 *   fail (answer.h), also after this process was killed (socket.c).
 * - A slow reader delays nobody and costs no memory: there is one thread with poll(2), and the
 *   plaintext of one waiting answer at most. The others have their turns, so that peers that read
 *   in small parts do not make it decrypt all the time.
 * - A guest asks over the channel, and is answered in the same way (guest.h).
 * - The declaration and the identity are read again when they have changed (source.h).
 */
#ifndef VMCRED_ACTIVATE_SERVE_SERVE_H
#define VMCRED_ACTIVATE_SERVE_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/report.h"
#include "load/load.h"

/* How a request ended. */
enum serve_result {
	SERVE_GAVE,
	SERVE_LEFT_OUT,    /* sent an empty one: optional, and not in the store */
	SERVE_REFUSED,     /* the unit may not have it, or it cannot be decrypted */
	SERVE_HUNG_UP,     /* the peer did not read all of it */
	SERVE_TURNED_AWAY, /* the peer is not root and got no answer */
	SERVE_CONFIRMED,   /* a guest reported that all its credentials arrived */
	SERVE_REJECTED,    /* a guest reported that they did not */
};

#define SERVE_RESULTS 7

struct serve_event {
	enum serve_result result;
	const char *unit;           /* NULL: unknown */
	const char *credential;     /* NULL: unknown */
	bool is_cut;                /* only the beginning of the credential's name is known */
	pid_t process;              /* the peer's */
	uid_t user;                 /* the peer's */
	bool is_guest;              /* the unit's guest asked, over the channel */
	uint32_t cid;               /* the guest's; 0: its connection was not one of vsock */
	const struct error *reason; /* NULL after success */
};

struct serve_options {
	const char *config;          /* as for config_find() */
	const char *machine;         /* whose secrets; NULL: the only machine declared */
	const char *identity;        /* the file with the machine's identities */
	const char *runtime;         /* a directory for the key of the channel, or NULL */
	struct load_sockets sockets; /* the datagrams are guests from vmcred-run; other guests
				      * connect to vsock_fd */
	int64_t idle_ms;             /* exit after that time without a request; 0: never */
	size_t answers_max; /* at once, each with a descriptor; further requests wait in the queue
			     */
	void (*on_event)(const struct serve_options *options, const struct serve_event *event);
	void *data; /* for on_event */
};

/*
 * Serves until idle, or until SIGTERM or SIGINT, which are blocked meanwhile; then completes the
 * answers that have started. SIGHUP reads the declaration and the identity again. Errors in them
 * are reported, and the last good ones are used; without any, all requests are refused.
 */
int serve_run(const struct serve_options *options, const struct report *report, struct error *err);

#endif
