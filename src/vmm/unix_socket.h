/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: listening unix sockets with a path. Their mode is 0600 from the first moment.
 */
#ifndef VMCRED_VMM_UNIX_SOCKET_H
#define VMCRED_VMM_UNIX_SOCKET_H

#include <sys/un.h>

#include "base/error.h"

/* The address of a path; VMCRED_FAILED where it is too long for one. */
int unix_socket_address(const char *path, struct sockaddr_un *address, struct error *err);

/*
 * Binds and listens; a socket that nobody listens on any more is replaced, one that is in use is an
 * error. Returns the descriptor or a negative code. Who owns it unlinks the path.
 */
int unix_socket_listen(const struct sockaddr_un *address, int backlog, struct error *err);

/* Unlinks a socket that nobody listens on. Anything else stays as it is, without an error. */
void unix_socket_remove_stale(const char *path);

#endif
