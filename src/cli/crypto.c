/* SPDX-License-Identifier: Apache-2.0 */
/* The module with the subcommands that need libcrypto; module.h says why there is one. */
#include <openssl/crypto.h>

#include "cli/module.h"

static const struct cli_command commands[] = {
	{.name = "keygen", .run = command_keygen},
	{.name = "generate", .run = command_generate},
	{.name = "get", .run = command_get},
	{.name = "list", .run = command_list},
	{.name = "set", .run = command_set},
	{.name = "check", .run = command_check},
	{.name = "fix", .run = command_fix},
	{.name = "machine", .run = command_machine},
	{.name = "user", .run = command_user},
	{.name = "group", .run = command_group},
	{.name = "activate", .run = command_activate},
	{.name = "serve", .run = command_serve},
	{.name = "inspect", .run = command_inspect},
	{.name = "sops", .run = command_sops},
	{.name = "sops-install-secrets", .run = command_install_secrets},
	{.name = "age", .run = command_age},
	{0},
};

/*
 * libcrypto would read openssl.cnf first, and fill tables for programs that ask for algorithms as
 * before its version 3, which is a third of its start. All that is asked of it here is in its
 * default provider, and is fetched by name. Nor does it take its tables apart when the program
 * ends: keys are freed, and so wiped, by those who made them, and the module is never unloaded.
 */
__attribute__((constructor)) static void libcrypto_start(void)
{
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
					  OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_ATEXIT,
				  NULL);
}

extern const struct cli_module vmcred_crypto_module;

__attribute__((visibility("default"))) const struct cli_module vmcred_crypto_module = {
	.version = VMCRED_VERSION,
	.commands = commands,
};
