/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs share: main() with its table of commands, options, the terminal (terminal.h),
 * the progress line (progress.h), the journal (journal.h) and the user's keys (sops_keys.h). Each
 * program is a directory below this one with a file for each command. A command parses its
 * arguments, calls the library and prints results to stdout; its error goes up to cli_main(), which
 * prints it and returns the exit code. Nothing here knows a file format.
 *
 * The programs are split along the trust boundary: vmcred-run starts VMs and contains no code that
 * can decrypt a document.
 */
#ifndef VMCRED_CLI_CLI_H
#define VMCRED_CLI_CLI_H

#include <stdbool.h>

#include "base/error.h"
#include "base/report.h"
#include "base/text.h"
#include "cli/progress.h"
#include "config/config.h"

/* What a command gets from main() and shares with its options. */
struct cli {
	struct report report;     /* prints to stderr */
	struct progress progress; /* drawn by the report; cleared before output */
	const char *config;       /* --config; NULL: config_find() searches the defaults */
	bool json;                /* --json */
	unsigned int load;        /* of enum config_flag, for cli_start() */
	bool completes;           /* cli_parse() prints candidates for the last argument */
	size_t threads;           /* how many hold secrets at once, for cli_harden(); 0: one */
};

/* Returned by a command that printed its help; the exit code is 0. */
#define CLI_HELPED 256

struct cli_command {
	const char *name;  /* NULL ends a table */
	const char *about; /* for --help */
	/* argv[0] is the command's name. Returns an exit code, CLI_HELPED, or a negative code with
	 * the error set. */
	int (*run)(struct cli *cli, int argc, char **argv, struct error *err);
	/* The program of this installation that has the command; then `run` is NULL. */
	const char *program;
	const char *group;     /* --help prints it before the first command of a group; or NULL */
	bool is_whole_program; /* `program` has no commands: it gets the arguments alone */
};

struct cli_program {
	const char *name;
	const char *about; /* a paragraph for --help */
	const struct cli_command *commands;
	/* For a program without commands, which reads its arguments itself; else NULL. */
	int (*run)(struct cli *cli, int argc, char **argv, struct error *err);
	/* Names of links to the program, as patterns (fnmatch(3)), with the command that runs
	 * instead; it gets the whole argv. `program`: the name belongs to that program. NULL: none.
	 */
	const struct cli_command *personalities;
	/* Lines in the journal have its priorities (sd-daemon(3)). Not those of a program in a unit
	 * with SyslogLevelPrefix=no, because a guest's lines follow. */
	bool has_priorities;
};

/* The main() of a program. Returns its exit code. */
int cli_main(const struct cli_program *program, int argc, char **argv);

/* The name by which the program was called: the last component of the executed path. */
const char *cli_called_name(char *const *argv);

/* Of config_machine_choose(). */
#define CLI_MACHINE_HELP                                                 \
	"the host's name in the declaration (default: $VMCRED_MACHINE, " \
	"its host name, or the only machine declared)"

/* The arguments of an option that may be repeated. Starts as {0}. */
#define CLI_TEXTS_MAX 1024

struct cli_texts {
	const char *items[CLI_TEXTS_MAX];
	const char *names[CLI_TEXTS_MAX]; /* of the option that gave the item */
	size_t count;
};

/*
 * An option; a table of them ends with a row without a name. In a table with letters, one dash is
 * as good as two, as for programs in Go.
 */
struct cli_option {
	const char *name;     /* without the dashes; "o, output" has a letter, too */
	const char *argument; /* its name in --help; NULL for a switch */
	const char *help;
	/* `bool *` for a switch, `struct cli_texts *` where the argument's name ends with "...",
	 * else `const char **`. */
	void *target;
};

#define CLI_OPTIONS_MAX 24

/* Without its letter. */
const char *cli_option_long_name(const struct cli_option *option);

/* Whether it may be repeated. */
bool cli_option_is_list(const struct cli_option *option);

/*
 * The names of arguments, those of options too, say how a shell completes them (completion.h).
 */
struct cli_usage {
	const char *command;
	const char *arguments; /* positional arguments, for --help: alternatives with " | " */
	const char *about;     /* a paragraph; it is wrapped, as are the texts of options */
	const char *examples;  /* indented lines for --help, or NULL */
	const struct cli_option *options;
	const char *const *words; /* those of an option's argument, for completion, or NULL */
	int arguments_min, arguments_max; /* arguments_max < 0: no limit */
	bool has_json;                    /* --json is an option */
	bool is_link;                     /* `command` is the name of a link, not of a command */
};

/* Prints a paragraph for --help, of which the first line starts in this column. */
void cli_text_print(const char *text, int column);

/*
 * Reads the options of a command, with --config, --json, --verbose and --help added to its own. The
 * positional arguments are `argv[*first]` to the end. Returns 0, CLI_HELPED, or -VMCRED_USAGE.
 */
int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, int *first,
	      struct error *err);

/* Memory that a command locks at one time: a table of 64 KiB in all its forms. */
#define CLI_LOCK_BYTES ((size_t)512 * 1024)

/* The same for each of several threads: what a file is encrypted or decrypted with, and the pages
 * that the thread keeps (base/secret.h). */
#define CLI_THREAD_LOCK_BYTES ((size_t)128 * 1024)

/* Hardens the process (base/harden.h), with memory for all threads that will hold secrets. */
int cli_harden(const struct cli *cli, struct error *err);

/*
 * The start of every command that works on a declaration: hardens the process, finds the
 * declaration and reads it. `store_dirfd` may be NULL; the caller closes it and destroys the
 * declaration.
 */
int cli_start(struct cli *cli, struct config *config, int *store_dirfd, struct error *err);

/*
 * vmcred and vmcred-sops only.
 */

/* Initializes libcrypto with no more than vmcred needs. Called first in main(). */
void libcrypto_start(void);

/*
 * Splits a command line from a variable ($EDITOR, $SOPS_AGE_KEY_CMD) into arguments, as sops does
 * without a shell: white space separates, '...' quotes everything, "..." everything but a
 * backslash, a backslash the next character; '#' at the start of an argument begins a comment.
 * Nothing is expanded. `what` names the text in errors, which do not show it.
 */
int command_line_split(const char *text, const char *what, struct strings *arguments,
		       struct error *err);

#endif
