/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/call.h"

int main(int argc, char **argv)
{
	static const struct cli_command command = {.run = command_sops};

	libcrypto_start();
	return cli_main_command(&command, argc, argv);
}
