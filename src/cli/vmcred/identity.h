/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which identity file the commands that decrypt use.
 */
#ifndef VMCRED_CLI_VMCRED_IDENTITY_H
#define VMCRED_CLI_VMCRED_IDENTITY_H

#include "age/age.h"
#include "config/config.h"

/* A machine's identity: ours, or where sops-nix and clan keep it. */
#define CLI_IDENTITY_PATH          "/var/lib/vmcred/identity"
#define CLI_IDENTITY_PATH_SOPS_NIX "/var/lib/sops-nix/key.txt"

#define CLI_IDENTITY_HELP                                                                   \
	"the age identity (default: $SOPS_AGE_KEY_FILE, then\n"                             \
	"                         " CLI_IDENTITY_PATH ", " CLI_IDENTITY_PATH_SOPS_NIX ",\n" \
	"                         ~/.config/sops/age/keys.txt)"

#define CLI_MACHINE_IDENTITY_HELP                               \
	"the age identity (default: $SOPS_AGE_KEY_FILE, then\n" \
	"                         " CLI_IDENTITY_PATH ", " CLI_IDENTITY_PATH_SOPS_NIX ")"

/* The path of `given`, or without it of the first of a machine's that is there. */
const char *cli_machine_identity_path(const char *given);

/* Loads `given`, or without it the first default that is there. */
int cli_identities_load(const char *given, struct age_identities *identities, struct error *err);

/* vars_writer_find() for that identity, which is loaded where it matters who makes a secret. */
int cli_writer_find(const struct config *config, int store_dirfd, const char *given, char **writer,
		    struct error *err);

#endif
