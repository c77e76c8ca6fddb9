/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's side of a session with its host: docs/protocol.md. */
#ifndef VMCRED_GUEST_HOST_H
#define VMCRED_GUEST_HOST_H

#include "base/secret.h"
#include "channel/channel.h"

/* Connects to the host by vsock, or to a Unix socket if `path` is not NULL, and reads its HELLO and
 * its nonce. Returns the descriptor or a negative code. */
int host_connect(const char *path, uint8_t nonce[CHANNEL_NONCE_SIZE], struct error *err);

/* Sends HELLO and a request, as channel_request_write() writes them, with a proof if the guest has
 * a channel key. */
int host_request(int fd, const uint8_t nonce[CHANNEL_NONCE_SIZE], struct span request,
		 struct error *err);

/* Reads a frame. `*payload` must own nothing. */
int host_frame_read(int fd, uint8_t *type, struct secret *payload, struct error *err);

/*
 * Sends a request in a session of its own, and reads the payload of an answer of that type, which
 * has at least that size. Tries for half a minute while the host restarts its side or is busy.
 * VMCRED_USAGE: the host denies it.
 */
int host_ask(const char *path, struct span request, enum channel_type type, size_t size_min,
	     struct secret *payload, struct error *err);

#endif
