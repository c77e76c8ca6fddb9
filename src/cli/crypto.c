/* SPDX-License-Identifier: Apache-2.0 */
/* The module with the subcommands that need libcrypto; module.h says why there is one. */
#include "cli/module.h"

static const struct cli_command commands[] = {
	{.name = "keygen", .run = command_keygen},   {.name = "generate", .run = command_generate},
	{.name = "get", .run = command_get},         {.name = "activate", .run = command_activate},
	{.name = "inspect", .run = command_inspect}, {.name = "sops", .run = command_sops},
	{0},
};

extern const struct cli_module vmcred_crypto_module;

__attribute__((visibility("default"))) const struct cli_module vmcred_crypto_module = {
	.version = VMCRED_VERSION,
	.commands = commands,
};
