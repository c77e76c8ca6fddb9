/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of LoadCredential=CREDENTIAL:/path/of/a/socket (systemd.exec(5)): `vmcred
 * serve` on the host, vmcred-guest in the guest. systemd connects, and reads to the end of the
 * connection.
 *
 * Before systemd connects, it binds its socket to the abstract address
 * "\0RANDOM/unit/UNIT/CREDENTIAL". Addresses have a maximum length, so the end of the credential's
 * name can be missing. Only root is trusted to say which unit asks: a server checks the peer first.
 */
#ifndef VMCRED_LOAD_LOAD_H
#define VMCRED_LOAD_LOAD_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/name.h"

#define LOAD_ADDRESS_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1) /* unix(7) */

/* More than systemd accepts for a credential. The protocol has no error reply, so a server that
 * refuses a request sends so many zeros, which makes the unit fail. */
#define LOAD_REFUSAL_SIZE ((size_t)1024 * 1024 + 1)

/* The link that systemd has while a unit runs or starts, followed by the unit's name. Its target is
 * the ID of the invocation. */
#define LOAD_INVOCATION "/run/systemd/units/invocation:"

struct load_address {
	char unit[LOAD_ADDRESS_MAX + 1];
	char credential[CREDENTIAL_NAME_SIZE_MAX + 1];
	bool is_full; /* has the maximum length: the credential's name may be longer */
};

/* Finds out which process connected. VMCRED_USAGE: it is neither root nor PID 1. */
int load_peer_check(int fd, struct ucred *peer, struct error *err);

/* Reads the peer's address. VMCRED_FAILED: it is not one of systemd's. */
int load_address_read(int fd, struct load_address *address, struct error *err);

/*
 * Parses an address of `size` bytes, as from getpeername(2). Both names are printable ASCII and not
 * empty, but of the credential's name nothing may be left. VMCRED_FAILED: systemd does not create
 * such an address, or it ends within the unit's name.
 */
int load_address_parse(const struct sockaddr_un *address, socklen_t size,
		       struct load_address *parsed, struct error *err);

/* What systemd passed to a service: sd_listen_fds(3). */
struct load_sockets {
	int listen_fd;     /* nonblocking */
	int datagram_fd;   /* of a second socket unit; -1: none */
	int vsock_fd;      /* listening, of the socket unit vmcred-vsock.socket; -1: none */
	int kept_fd;       /* the first of the connections of an earlier process */
	size_t kept_count; /* of them */
};

/* `unit` is the socket unit, for messages. VMCRED_USAGE: systemd passed something else. */
int load_sockets_inherited(const char *unit, struct load_sockets *sockets, struct error *err);

/* Lets systemd keep a second descriptor of a connection until it is shut down: if this process is
 * killed, the next one gets it. */
void load_socket_keep(int fd);

#endif
