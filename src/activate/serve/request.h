/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer asks for, and whether it may have it.
 *
 * Before systemd connects, it binds its socket to the abstract address
 * "\0RANDOM/unit/UNIT/CREDENTIAL" (systemd.exec(5), LoadCredential=). Addresses have a maximum
 * length, so the end of the credential's name can be missing.
 */
#ifndef VMCRED_ACTIVATE_SERVE_REQUEST_H
#define VMCRED_ACTIVATE_SERVE_REQUEST_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "config/config.h"
#include "vars/vars.h"

#define SERVE_ADDRESS_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1) /* unix(7) */

struct serve_address {
	char unit[SERVE_ADDRESS_MAX + 1];
	char credential[SERVE_ADDRESS_MAX + 1];
	bool is_full; /* has the maximum length: the credential's name may be longer */
};

struct serve_request {
	struct ucred peer;
	struct serve_address asked; /* empty: unknown */
	char credential[256];       /* its whole name; empty: unknown */
	struct stat document;       /* the secret's file when it was first read */
};

/* What the declaration grants to a request. */
struct serve_grant {
	const struct config_vm *vm;
	const struct config_load *load;
	struct vars_location location;
};

/* Finds out which process connected. VMCRED_USAGE: it is neither root nor PID 1. */
int serve_request_check_peer(int fd, struct serve_request *request, struct error *err);

/* Reads the peer's address. VMCRED_FAILED: it is not one of systemd's. */
int serve_request_read_address(int fd, struct serve_request *request, struct error *err);

/*
 * Parses an address of `size` bytes, as from getpeername(2). Both names are printable ASCII and not
 * empty, but of the credential's name nothing may be left. VMCRED_FAILED: systemd does not create
 * such an address, or it ends within the unit's name.
 */
int serve_address_parse(const struct sockaddr_un *address, socklen_t size,
			struct serve_address *parsed, struct error *err);

/*
 * Finds the machine's secret for an address. The beginning of a credential's name must be that of
 * only one. VMCRED_USAGE: the unit may not have it.
 */
int serve_request_grant(const struct config *config, const char *machine,
			const struct serve_address *address, struct serve_grant *grant,
			struct error *err);

#endif
