/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `vmcred activate MANIFEST` and sops-install-secrets have in common.
 */
#ifndef VMCRED_CLI_VMCRED_MANIFEST_H
#define VMCRED_CLI_VMCRED_MANIFEST_H

#include "activate/activate.h"
#include "cli/cli.h"

struct manifest_call {
	const char *path;
	const char *check_mode; /* as the option has it; NULL: "off" */
	bool ignore_passwd;
};

/*
 * Hardens the process, reads the manifest and activates it, or checks it (`*installed` is false
 * then), as the environment says that NixOS gives to sops-install-secrets: $NIXOS_ACTION and
 * $SOPS_RESTART_UNITS_VIA_SYSTEMCTL. Prints the changes that the manifest wants told. The caller
 * releases the result.
 */
int cli_manifest_activate(struct cli *cli, const struct manifest_call *call, bool *installed,
			  struct activate_result *result, struct error *err);

#endif
