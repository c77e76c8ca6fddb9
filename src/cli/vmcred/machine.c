/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/commands.h"
#include "cli/vmcred/member.h"

int command_machine(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct cli_usage usage = {
		.command = "machine",
		.about = "Give a declared machine a key, or take a machine that is not declared "
			 "any more out of\n"
			 "the store. Without --age-key a key is made, and kept in the store, "
			 "encrypted to the\n"
			 "users. What the machine may read is encrypted anew, and nothing else.",
	};

	return cli_member_command(cli, VARS_MACHINE, &usage, argc, argv, err);
}
