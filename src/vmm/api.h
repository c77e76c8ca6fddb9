/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: requests to the HTTP API of a VMM on a unix socket.
 *
 * HTTP/1.1 (RFC 9112), as far as the API uses it: GET, or PUT with a JSON body and descriptors, one
 * request at a time on one connection, an answer with Content-Length or without a body. The answer
 * is not trusted: its size and time are limited, and it is stored as a secret, because it may quote
 * the request.
 */
#ifndef VMCRED_VMM_API_H
#define VMCRED_VMM_API_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"
#include "vmm/stderr_relay.h"

struct api_call {
	int fd;               /* connected, non-blocking */
	int interrupts[2];    /* descriptors; when one is readable, waiting ends. -1: none */
	int timeout_ms;       /* for the whole call */
	const char *method;   /* NULL: PUT */
	const char *resource; /* "/api/v1/vm.boot" */
	struct span body;
	struct stderr_relay *output; /* the VMM's, forwarded while waiting; may be NULL */
	const int *fds;              /* sent with the first byte (SCM_RIGHTS); stay the caller's */
	size_t fd_count;
};

struct api_reply {
	int status;         /* 204, 400, … */
	struct secret body; /* owned */
};

#define _cleanup_api_reply_ __attribute__((cleanup(api_reply_destroy)))

/* Sends a request and reads the answer, whatever its status. VMCRED_FAILED: closed, interrupted,
 * timed out, or not HTTP. */
int api_call(const struct api_call *call, struct api_reply *reply, struct error *err);

void api_reply_destroy(struct api_reply *reply);

#endif
