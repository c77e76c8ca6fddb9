/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands that need libcrypto, in a shared object of their own: loading and relocating
 * libcrypto takes longer than all that `vmcred run` does, and `run` needs none of it.
 *
 * The module belongs to the program: same build, same version, no interface for others. It is
 * looked for at places that depend on where the program's file is, never on the environment, and is
 * loaded only where it belongs to the program's owner or to root. A setuid program takes the place
 * that the build configured and no other, since its own file's place is in the caller's hands (a
 * hard link).
 */
#ifndef VMCRED_CLI_MODULE_H
#define VMCRED_CLI_MODULE_H

#include "cli/cli.h"

#define MODULE_FILE   "vmcred-crypto.so"
#define MODULE_SYMBOL "vmcred_crypto_module"

/* What the module exports, as MODULE_SYMBOL. */
struct cli_module {
	const char *version;                /* the program's own, else it is of another build */
	const struct cli_command *commands; /* ends with a row without a name */
};

/*
 * The module's subcommand of that name, or NULL with the error set. The module stays loaded to the
 * end of the process.
 */
const struct cli_command *module_command(const char *name, struct error *err);

#endif
