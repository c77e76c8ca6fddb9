/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes next on a command line: `vmcred --complete WORD...` prints candidates for its last
 * word. The scripts in completions/ pass the words on, and know nothing else. Candidates are
 * derived from a command's table of options and from the names of its arguments in --help: MACHINE,
 * VM, GENERATOR/FILE, USER, FILE, or words such as smbios|fw_cfg.
 *
 * The declaration is found and checked as by every command; what is wrong with it is not printed.
 * Nothing is decrypted, and no program is started.
 */
#ifndef VMCRED_CLI_COMPLETION_H
#define VMCRED_CLI_COMPLETION_H

#include "cli/cli.h"

/*
 * Prints a line for each candidate, which may have a tab and an explanation: those for argv[argc -
 * 1], which may be empty or incomplete, after the other words. ":files" and ":directories" stand
 * for paths. `argv[0]` is the command's name.
 */
void completion_print(struct cli *cli, const struct cli_usage *usage, const struct cli_option *rows,
		      size_t row_count, int argc, char **argv);

#endif
