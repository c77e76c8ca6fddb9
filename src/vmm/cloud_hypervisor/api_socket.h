/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the socket of Cloud Hypervisor's API. It is created before the VMM starts, so that
 * nothing has to wait for it. A process that can connect to it can read the OEM strings, so it is
 * created with mode 0600, and without --api-socket its file is removed before the VMM starts.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_API_SOCKET_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_API_SOCKET_H

#include "base/error.h"

struct api_socket {
	int listener; /* for the VMM */
	int client;   /* connected to it, non-blocking */
	char *path;   /* owned; --api-socket, removed by api_socket_destroy(), or NULL */
};

#define API_SOCKET_NONE                      \
	(struct api_socket)                  \
	{                                    \
		.listener = -1, .client = -1 \
	}

/*
 * `path` is that of --api-socket, or "fd=N" for an inherited listening socket to which only its
 * owner can connect (else VMCRED_USAGE), or NULL for one to which nobody else can ever connect.
 */
int api_socket_create(const char *path, struct api_socket *result, struct error *err);

void api_socket_destroy(struct api_socket *socket);

#endif
