/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/libcrypto.h"
#include "cli/vmcred/commands.h"

static const struct cli_command commands[] = {
	/* In the order in which a secret travels. */
	{"keygen", "make an age identity, for a machine or for a person", .run = command_keygen},
	{"generate", "generate the declared secrets that are missing, encrypted",
	 .run = command_generate},
	{"list", "list the declared secrets and whether they exist", .run = command_list},
	{"get", "decrypt one secret to standard output", .run = command_get},
	{"set", "store a value, encrypted", .run = command_set},
	{"check", "check that all secrets exist and have the declared recipients",
	 .run = command_check},
	{"fix", "encrypt secrets to their declared recipients", .run = command_fix},
	{"machine", "add a machine's key, or remove a machine", .run = command_machine},
	{"user", "register a person's public key, or remove it", .run = command_user},
	{"group", "manage groups of users and machines", .run = command_group},
	{"activate", "decrypt a machine's secrets to /run/secrets", .run = command_activate},
	{"serve", "serve LoadCredential= of the VMs' units from the store", .run = command_serve},
	{"units", "write the LoadCredential= drop-ins of the VMs' units", .program = "vmcred-run"},
	{"compose", "show a VM's OEM strings: names, sizes, limits, never values",
	 .program = "vmcred-run"},
	{"run", "start a VM's hypervisor with its credentials", .program = "vmcred-run"},
	{"inspect", "show where a VM's secrets are, and check the guest's proofs",
	 .run = command_inspect},
	{"sops", "work with SOPS documents, with the commands and flags of sops",
	 .program = "vmcred-sops", .is_program = true},
	{"age", "encrypt or decrypt a file of any size", .run = command_age},
	{0},
};

static const struct cli_command personalities[] = {
	{.name = "sops-install-secrets", .run = command_install_secrets},
	{0},
};

int main(int argc, char **argv)
{
	static const struct cli_program program = {
		.name = "vmcred",
		.about =
			"Deliver secrets to microVMs: declared once, encrypted at rest, and passed "
			"to the\nguest's systemd as credentials, without being exposed on the way.",
		.commands = commands,
		.personalities = personalities,
	};

	libcrypto_start();
	return cli_main(&program, argc, argv);
}
