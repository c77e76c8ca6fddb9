/* SPDX-License-Identifier: Apache-2.0 */
/* Inside vmm/: listening unix sockets with a path. They are created with mode 0600. */
#ifndef VMCRED_VMM_UNIX_SOCKET_H
#define VMCRED_VMM_UNIX_SOCKET_H

#include <stdint.h>
#include <sys/un.h>

#include "base/error.h"

/* The address of a path; VMCRED_FAILED if it is too long for one. */
int unix_socket_address(const char *path, struct sockaddr_un *address, struct error *err);

/* Binds and listens. Replaces a stale socket; one that is in use is an error. Returns the
 * descriptor or a negative code. The caller unlinks the path. */
int unix_socket_listen(const struct sockaddr_un *address, int backlog, struct error *err);

/* The same, nonblocking, for "<socket>_<port>", which replaces a vsock port of the host. `*path` is
 * new; the caller unlinks it. */
int unix_socket_listen_port(const char *socket_path, uint32_t port, int backlog, char **path,
			    struct error *err);

/* Unlinks a stale socket. Leaves anything else as it is, without an error. */
void unix_socket_remove_stale(const char *path);

#endif
