/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd says of a request: the name that its socket is bound to before it connects
 * (systemd.exec(5), LoadCredential=): "\0RANDOM/unit/UNIT/CREDENTIAL". Names of that kind end after
 * SERVE_ADDRESS_MAX bytes; what is longer is cut, or is not asked at all.
 */
#ifndef VMCRED_ACTIVATE_SERVE_ADDRESS_H
#define VMCRED_ACTIVATE_SERVE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"

#define SERVE_ADDRESS_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1) /* unix(7) */

struct serve_address {
	char unit[SERVE_ADDRESS_MAX + 1];
	char credential[SERVE_ADDRESS_MAX + 1];
	bool is_full; /* there is no room for more: the credential's name may be longer */
};

/*
 * Takes the address of a peer apart; `size` is what getpeername(2) said. Both names are printable
 * ASCII and not empty. VMCRED_FAILED: it is not such an address, or too long to hold the unit's
 * name whole.
 */
int serve_address_parse(const struct sockaddr_un *address, socklen_t size,
			struct serve_address *parsed, struct error *err);

#endif
