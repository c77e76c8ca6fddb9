/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/commands.h"

static const struct cli_command commands[] = {
	{"init", "start a repository: a declaration to fill in, and your key", .run = command_init,
	 .group = "Start a repository, and manage who reads its secrets"},
	{"keygen", "generate an age identity for a machine or a person", .run = command_keygen},
	{"machine", "add or remove a machine's key", .run = command_machine},
	{"user", "add or remove a person's public key", .run = command_user},
	{"group", "manage groups of users and machines", .run = command_group},
	{"readers", "show who can read each secret, and why", .run = command_readers},
	{"generate", "generate the declared secrets that are missing", .run = command_generate,
	 .group = "Generate and store secrets"},
	{"list", "list the declared secrets", .run = command_list},
	{"get", "decrypt one secret to standard output", .run = command_get},
	{"set", "store a value, encrypted", .run = command_set},
	{"edit", "change a value in your editor", .run = command_edit},
	{"check", "check that all secrets exist and have the declared recipients",
	 .run = command_check},
	{"fix", "re-encrypt secrets to their declared recipients", .run = command_fix},
	{"prune", "remove what is no longer declared", .run = command_prune},
	{"export", "write what a machine needs as a bundle", .run = command_export,
	 .group = "Bring secrets to a host"},
	{"import", "install a bundle on its host, and activate it", .run = command_import},
	{"activate", "decrypt a machine's secrets to /run/secrets", .run = command_activate},
	{"serve", "serve LoadCredential= of the VMs' units from the store", .run = command_serve},
	{"status", "show which VMs run with old, missing or current secrets",
	 .run = command_status},
	{"units", "write the LoadCredential= drop-ins of the VMs' units", .program = "vmcred-run",
	 .group = "Start VMs with secrets"},
	{"compose", "show a VM's OEM strings: names, sizes, limits, never values",
	 .program = "vmcred-run"},
	{"run", "start a VM's hypervisor with its credentials", .program = "vmcred-run"},
	{"inspect", "show where a VM's secrets are, and check the guest's proofs",
	 .run = command_inspect},
	{"graph", "draw the flow of secrets, and who can read them", .run = command_graph},
	{"doctor", "find what endangers secrets, and how to fix it", .run = command_doctor},
	{"metrics", "print the state of VMs and secrets for Prometheus", .run = command_metrics},
	{"sops", "edit SOPS documents with the commands and flags of sops",
	 .program = "vmcred-sops", .is_whole_program = true, .group = "Work with single files"},
	{"age", "encrypt or decrypt a file, with the command line of age", .run = command_age},
	{0},
};

static const struct cli_command personalities[] = {
	{.name = "sops-install-secrets", .run = command_install_secrets},
	{.name = "cloud-hypervisor", .program = "vmcred-run"},
	{.name = "qemu-system-*", .program = "vmcred-run"},
	{.name = "alioth", .program = "vmcred-run"},
	{.name = "crosvm", .program = "vmcred-run"},
	{.name = "firecracker", .program = "vmcred-run"},
	{.name = "kvmtool", .program = "vmcred-run"},
	{.name = "lkvm", .program = "vmcred-run"},
	{.name = "stratovirt", .program = "vmcred-run"},
	{.name = "vmcred-generator", .program = "vmcred-run"},
	{.name = "sops", .program = "vmcred-sops"},
	{.name = "age", .run = command_age},
	{.name = "age-keygen", .run = command_age_keygen},
	{0},
};

int main(int argc, char **argv)
{
	static const struct cli_program program = {
		.name = "vmcred",
		.about =
			"Deliver secrets to microVMs: declared once, encrypted at rest, and passed "
			"to the guest's systemd as credentials without being exposed on the way.",
		.commands = commands,
		.personalities = personalities,
		.has_priorities = true,
	};

	libcrypto_start();
	return cli_main(&program, argc, argv);
}
