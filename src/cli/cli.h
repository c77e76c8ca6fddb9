/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs share: main() with its dispatch table, and the options. Each program is a
 * directory below this one, with a file for each subcommand. A subcommand parses its arguments,
 * calls the library and prints results to stdout; its error goes up to cli_main(), which prints it
 * and derives the exit code. Nothing here knows a file format.
 *
 * The programs are split along the trust boundary: vmcred-run starts VMs and contains no code that
 * can decrypt a document.
 */
#ifndef VMCRED_CLI_CLI_H
#define VMCRED_CLI_CLI_H

#include <stdbool.h>

#include "base/error.h"
#include "base/report.h"
#include "cli/progress.h"
#include "config/config.h"

/* What a subcommand gets from main() and shares with its options. */
struct cli {
	struct report report;     /* prints to stderr */
	struct progress progress; /* what the report draws there; cleared before output */
	const char *config;       /* --config, or NULL: where to look is config_find()'s business */
	bool json;                /* --json */
	size_t threads;           /* that hold secrets at once; 0: one. For cli_harden() */
};

struct cli_command {
	const char *name;  /* NULL ends a table */
	const char *about; /* for `--help` */
	/* argv[0] is the command's name. Returns an exit code, or a negative code with the error
	 * set. */
	int (*run)(struct cli *cli, int argc, char **argv, struct error *err);
	/* The program of this installation that runs the command; then `run` is NULL. */
	const char *program;
	bool is_program; /* the program is the command: it has no table of commands */
};

struct cli_program {
	const char *name;
	const char *about; /* a paragraph for `--help` */
	const struct cli_command *commands;
	/* Calls by another name, as through a symbolic link: patterns (fnmatch(3)); argv is passed
	 * whole. NULL: none. */
	const struct cli_command *personalities;
};

/* The main() of a program with subcommands. Returns its exit code. */
int cli_main(const struct cli_program *program, int argc, char **argv);

/* The main() of a program that is one command. Returns its exit code. */
int cli_main_command(const struct cli_command *command, int argc, char **argv);

/* The name by which the program was called: the last part of the path that was executed. */
const char *cli_called_name(char *const *argv);

#define CLI_TEXTS_MAX 64

/* An option; a table of them ends with a row without a name. */
struct cli_option {
	const char *name;     /* without the dashes */
	const char *argument; /* what --help calls its argument, NULL for a switch */
	const char *help;
	/* `bool *` for a switch, `struct cli_texts *` where the argument's name ends with "...": it
	 * may be given several times; else `const char **`. */
	void *target;
};

/* The arguments of an option that may be given several times. */
struct cli_texts {
	const char *items[CLI_TEXTS_MAX];
	size_t count;
};

struct cli_usage {
	const char *command;
	const char *words; /* the positional words as --help shows them */
	const char *about; /* a paragraph */
	const struct cli_option *options;
	int words_min, words_max; /* words_max < 0: as many as there are */
	bool has_json;            /* prints what a script would read: --json is an option */
};

/* What cli_parse() returns after it printed the help. */
#define CLI_HELPED 1

/*
 * Reads the options of a subcommand (argv[0] is its name), with --config, --json, --verbose and
 * --help added to its own. The positional words are `argv[*first]` to the end. Returns 0,
 * CLI_HELPED, or -VMCRED_USAGE.
 */
int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, int *first,
	      struct error *err);

/* Hardens the process (base/harden.h), with memory for all threads that will hold secrets. */
int cli_harden(const struct cli *cli, struct error *err);

/*
 * What every command that works on a declaration does first: hardens the process, finds the
 * declaration and reads it. `store_dirfd` may be NULL; the caller closes it, and destroys the
 * declaration.
 */
int cli_start(struct cli *cli, struct config *config, int *store_dirfd, struct error *err);

/* Memory that a command expects to lock at one time: a table of 64 KiB in all the forms that it
 * takes. */
#define CLI_LOCK_BYTES ((size_t)512 * 1024)

/* Or so much for each thread of those that have many: what a file is sealed or opened with, and the
 * pages that the thread keeps for the next (base/secret.h). */
#define CLI_THREAD_LOCK_BYTES ((size_t)128 * 1024)

#endif
