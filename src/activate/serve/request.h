/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer asks for, and whether it may have it. */
#ifndef VMCRED_ACTIVATE_SERVE_REQUEST_H
#define VMCRED_ACTIVATE_SERVE_REQUEST_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "config/config.h"
#include "load/load.h"
#include "vars/vars.h"

struct serve_request {
	bool is_guest; /* asked over the channel, by the guest of the unit */
	struct ucred peer;
	uint32_t cid;              /* of a guest's vsock connection */
	struct load_address asked; /* empty: unknown */
	char credential[256];      /* its whole name; empty: unknown */
	struct stat document;      /* the secret's file when it was first read */
};

/* What the declaration grants to a request. */
struct serve_grant {
	const struct config_vm *vm;
	const struct config_load *load;
	struct vars_location location;
};

/*
 * Finds the machine's secret for a request. The beginning of a credential's name must be that of
 * only one. VMCRED_USAGE: the unit, or its guest, may not have it.
 */
int serve_request_grant(const struct config *config, const char *machine,
			const struct serve_request *request, struct serve_grant *grant,
			struct error *err);

/* As above, for a credential of a VM. */
int serve_load_grant(const struct config *config, const char *machine, const struct config_vm *vm,
		     const struct config_load *load, struct serve_grant *grant, struct error *err);

#endif
