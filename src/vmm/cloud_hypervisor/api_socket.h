/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the unix socket of a VMM's API, made before the VMM is, so that nothing has to wait
 * for it. Whoever can open it can ask the VMM for the OEM strings, so it has the mode 0600 from its
 * first moment; and where the user did not ask for it, it is in no folder any more by the time the
 * VMM starts.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_API_SOCKET_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_API_SOCKET_H

#include "base/error.h"

struct api_socket {
	int listener; /* for the VMM */
	int client;   /* already connected to it, non-blocking */
	char *path;   /* owned; the user's socket, removed by api_socket_destroy(), or NULL */
};

#define API_SOCKET_NONE                      \
	(struct api_socket)                  \
	{                                    \
		.listener = -1, .client = -1 \
	}

#define _cleanup_api_socket_ __attribute__((cleanup(api_socket_destroy)))

/*
 * `path` is the user's, or "fd=N" for a listening socket that was inherited and that its owner
 * alone can connect to (VMCRED_USAGE else), or NULL for one that nobody else can ever connect to.
 */
int api_socket_create(const char *path, struct api_socket *result, struct error *err);

void api_socket_destroy(struct api_socket *socket);

#endif
