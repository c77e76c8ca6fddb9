/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/json_print.h"

#include <stdio.h>

void cli_json_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	printf("\n");
}
