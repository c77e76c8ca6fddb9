/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: HTTP/1.1 (RFC 9112) over a unix socket, as much of it as a VMM's API speaks: GET, or
 * PUT with a JSON body and descriptors beside it, one request at a time on one connection, an
 * answer with Content-Length or none. The answer is not trusted: it has a size limit and a time
 * limit, and is held as a secret since it may quote the request.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_API_CLIENT_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_API_CLIENT_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

struct words;

/* Descriptors in one message: SCM_MAX_FD of the kernel, unix(7). */
#define API_DESCRIPTORS_MAX 253

struct api_call {
	int fd;               /* connected, non-blocking */
	int interrupts[2];    /* descriptors; when one becomes readable, waiting ends. -1: none */
	int timeout_ms;       /* for the whole call */
	const char *method;   /* NULL: PUT */
	const char *resource; /* "/api/v1/vm.boot" */
	struct span body;
	struct words *words; /* what the VMM says meanwhile is passed on; may be NULL */
	const int *fds;      /* go along with the first byte (SCM_RIGHTS), and stay ours */
	size_t fd_count;
};

struct api_reply {
	int status;         /* 204, 400, … */
	struct secret body; /* owned */
};

#define _cleanup_api_reply_ __attribute__((cleanup(api_reply_destroy)))

/*
 * Sends a request and reads the answer, whatever its status. VMCRED_FAILED: closed, interrupted,
 * timed out, or not HTTP; the text says which.
 */
int api_call(const struct api_call *call, struct api_reply *reply, struct error *err);

void api_reply_destroy(struct api_reply *reply);

#endif
