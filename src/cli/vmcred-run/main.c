/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-run/commands.h"

static const struct cli_command commands[] = {
	{"units", "write the LoadCredential= drop-ins for the units of VMs", .run = command_units,
	 .group = "Commands"},
	{"compose", "show a VM's OEM strings: names, sizes, limits, never values",
	 .run = command_compose},
	{"run", "start a VM's hypervisor with its credentials", .run = command_run},
	{0},
};

static const struct cli_command personalities[] = {
	/* systemd calls a generator by its path, with three directories: systemd.generator(7). */
	{.name = "vmcred-generator", .run = command_generator},
	{.name = "cloud-hypervisor", .run = command_hypervisor},
	{.name = "qemu-system-*", .run = command_hypervisor},
	{.name = "alioth", .run = command_hypervisor},
	{.name = "crosvm", .run = command_hypervisor},
	{.name = "firecracker", .run = command_hypervisor},
	{.name = "kvmtool", .run = command_hypervisor},
	{.name = "lkvm", .run = command_hypervisor},
	{.name = "stratovirt", .run = command_hypervisor},
	{0},
};

int main(int argc, char **argv)
{
	static const struct cli_program program = {
		.name = "vmcred-run",
		.about = "Start microVMs with their credentials. `vmcred units`, `vmcred compose` "
			 "and `vmcred run` execute this program.",
		.commands = commands,
		.personalities = personalities,
	};

	return cli_main(&program, argc, argv);
}
