/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/commands.h"
#include "cli/vmcred/member.h"

int command_user(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct cli_usage usage = {
		.command = "user",
		.about = "Register a person's public key, or remove it. All users may read all "
			 "secrets, unless the\n"
			 "declaration names default groups. What changes hands is encrypted anew, "
			 "and nothing else.",
	};

	return cli_member_command(cli, VARS_USER, &usage, argc, argv, err);
}
