/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/harden.h"
#include "base/name.h"
#include "base/program.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/journal.h"
#include "cli/stream.h"

#define COMMANDS_MAX 32

static void help_print(const struct cli_program *program)
{
	printf("Usage: %s COMMAND [OPTION...] [ARGUMENT...]\n\n", program->name);
	cli_text_print(program->about, 0);
	for (const struct cli_command *command = program->commands; command->name; command++) {
		if (command->group)
			printf("\n%s:\n", command->group);
		printf("  %-10s %s\n", command->name, command->about);
	}
	printf("\n`%s COMMAND --help` lists the options of a command.\n"
	       "Exit codes: 0 success, 1 failure, 2 usage error, 3 something declared is\n"
	       "missing, 4 integrity check failed. See also %s(1).\n",
	       program->name, program->name);
}

static int command_unknown(const struct cli_program *program, const char *name, struct error *err)
{
	const char *names[COMMANDS_MAX + 1] = {NULL};
	const char *nearest;

	for (size_t i = 0; i < COMMANDS_MAX && program->commands[i].name; i++)
		names[i] = program->commands[i].name;
	nearest = name_nearest(name, names);
	error_set(err, VMCRED_USAGE, "unknown command \"%s\"", name);
	if (*name == '-')
		return error_hint(err, "options follow the command: `%s COMMAND OPTION`",
				  program->name);
	if (nearest)
		return error_hint(err, "did you mean \"%s\"?", nearest);
	return error_hint(err, "`%s --help` lists the commands", program->name);
}

static int sibling_exec(const char *name, char **argv, struct error *err)
{
	_cleanup_free_ char *path = program_sibling(name);

	if (!path)
		return error_no_memory(err);
	execv(path, argv);
	error_set(err, VMCRED_FAILED, "executing %s: %s", path, strerrordesc_np(errno));
	return error_hint(err, "install all programs of vmcred together");
}

/* Passes the words "sops WORD..." on to sops's own completion, which wants the last one only if it
 * is an option. There is an entry before them. */
static int sops_complete(const char *program, int argc, char **argv, struct error *err)
{
	static char flag[] = "--generate-bash-completion";
	const bool is_option = *argv[argc - 1] == '-';

	if (is_option) {
		memmove(argv - 1, argv, (size_t)argc * sizeof(*argv));
		argv--;
	} else {
		printf(":files\n");
		fflush(stdout);
	}
	argv[argc - (is_option ? 0 : 1)] = flag;
	return sibling_exec(program, argv, err);
}

/* For the scripts in completions/: prints candidates for the last of the words (completion.h). */
static int complete(const struct cli_program *program, struct cli *cli, int argc, char **argv)
{
	_cleanup_error_ struct error ignored = {0};
	const struct cli_command *command = program->commands;

	if (argc <= 3 || (argc == 4 && strcmp(argv[2], "help") == 0)) {
		for (; command->name; command++)
			printf("%s\t%s\n", command->name, command->about);
		printf("--help\tprint the commands\n--version\tprint the version\n");
		return 0;
	}
	while (command->name && strcmp(command->name, argv[2]) != 0)
		command++;
	cli->completes = true;
	if (command->program && command->is_whole_program)
		(void)sops_complete(command->program, argc - 2, argv + 2, &ignored);
	else if (command->program)
		(void)sibling_exec(command->program, argv, &ignored);
	else if (command->name)
		(void)command->run(cli, argc - 2, argv + 2, &ignored);
	return 0;
}

static int dispatch(const struct cli_program *program, struct cli *cli, int argc, char **argv,
		    struct error *err)
{
	static char help[] = "--help";

	if (argc < 2) {
		error_set(err, VMCRED_USAGE, "no command given");
		return error_hint(err, "`%s --help` lists the commands", program->name);
	}
	if (argc > 2 && strcmp(argv[1], "help") == 0) {
		argv[1] = argv[2];
		argv[2] = help;
		argv[3] = NULL;
		argc = 3;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help_print(program);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("%s %s\n", program->name, vmcred_version());
		return 0;
	}
	if (strcmp(argv[1], "--complete") == 0)
		return complete(program, cli, argc, argv);
	for (const struct cli_command *command = program->commands; command->name; command++) {
		if (strcmp(argv[1], command->name) != 0)
			continue;
		if (command->program)
			return sibling_exec(command->program, argv + command->is_whole_program,
					    err);
		return command->run(cli, argc - 1, argv + 1, err);
	}
	return command_unknown(program, argv[1], err);
}

/*
 * From the path that was executed, not from argv[0], which the caller chooses (`exec -a` in a
 * shell). Only an executed descriptor has no path.
 */
const char *cli_called_name(char *const *argv)
{
	/* getauxval(3) gives pointers as numbers. */
	const char *path =
		(const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
	const char *slash;

	if (!path || strncmp(path, "/dev/fd/", strlen("/dev/fd/")) == 0)
		path = argv[0];
	slash = path ? strrchr(path, '/') : NULL;
	return slash ? slash + 1 : path;
}

/* Runs the command whose pattern matches the name of the called link; else the one in argv. */
static int cli_program_run(const struct cli_program *program, struct cli *cli, int argc,
			   char **argv, struct error *err)
{
	const char *name = cli_called_name(argv);

	for (const struct cli_command *row = program->personalities; name && row && row->name;
	     row++) {
		if (fnmatch(row->name, name, 0) != 0)
			continue;
		if (row->run)
			return row->run(cli, argc, argv, err);
		error_set(err, VMCRED_USAGE, "called as %s, but the link points to %s", name,
			  program->name);
		return error_hint(err, "link to %s instead: `ln -sf %s %s`", row->program,
				  row->program, name);
	}
	return program->run ? program->run(cli, argc, argv, err)
			    : dispatch(program, cli, argc, argv, err);
}

/* The journal's priority of an error: syslog(3). */
#define ERROR_PREFIX "<3>"

static char *line_make(enum report_level level, const char *text)
{
	return text_format("vmcred: %s%s", level == REPORT_WARNING ? "warning: " : "", text);
}

static void line_print(const struct report *report, enum report_level level, const char *text)
{
	_cleanup_free_ char *line = line_make(level, text);

	progress_clear(report->data);
	if (line)
		fprintf(stderr, "%s\n", line);
}

static void line_log(const struct report *report, enum report_level level, const char *text)
{
	_cleanup_free_ char *line = line_make(level, text);

	if (line)
		cli_journal_line(report, level, line);
}

/*
 * systemd names the exit statuses of a service after the LSB: 3 is "NOTIMPLEMENTED", 4
 * "NOPERMISSION". As the process of a unit (systemd.exec(5), $SYSTEMD_EXEC_PID), these two are
 * those of sysexits(3), "NOINPUT" and "DATAERR".
 */
static int exit_status(int code)
{
	const char *unit_pid = getenv("SYSTEMD_EXEC_PID");

	if (!unit_pid || strtol(unit_pid, NULL, 10) != getpid())
		return code;
	return code == VMCRED_MISSING ? EX_NOINPUT : code == VMCRED_INTEGRITY ? EX_DATAERR : code;
}

static int finish(struct cli *cli, bool is_logged, int r, struct error *err)
{
	_cleanup_free_ char *line = NULL;

	progress_clear(&cli->progress);
	/* Output that was not written is a failure. */
	if ((r == 0 || r == CLI_HELPED) && (fflush(stdout) != 0 || ferror(stdout)))
		r = error_set(err, VMCRED_FAILED, "writing to standard output failed");
	if (r >= 0)
		return r == CLI_HELPED ? 0 : r;
	line = error_line(err);
	fprintf(stderr, "%svmcred: %s\n", is_logged ? ERROR_PREFIX : "",
		line ? line : "out of memory");
	return exit_status(-r);
}

static void limit_reached(int number)
{
	(void)number;
}

/* Whatever the caller ignores. A write over RLIMIT_FSIZE must fail and not end the process, which
 * would leave an unfinished file; other programs get the default action again. */
static void signals_protect(void)
{
	static const struct sigaction action = {.sa_handler = limit_reached,
						.sa_flags = SA_RESTART};

	(void)sigaction(SIGXFSZ, &action, NULL);
	/* Without the signal, nobody learns that a child has ended. */
	(void)signal(SIGCHLD, SIG_DFL);
}

int cli_main(const struct cli_program *program, int argc, char **argv)
{
	const bool is_logged = program->has_priorities && cli_journal_is_stderr();
	_cleanup_error_ struct error err = {0};
	struct cli cli = {.report = {.level = REPORT_WARNING,
				     .line = is_logged ? line_log : line_print,
				     .progress = progress_show}};
	int r;

	cli.report.data = &cli.progress;
	signals_protect();
	r = streams_protect(&err);
	return finish(&cli, is_logged, r < 0 ? r : cli_program_run(program, &cli, argc, argv, &err),
		      &err);
}

int cli_harden(const struct cli *cli, struct error *err)
{
	const size_t threads = cli->threads * CLI_THREAD_LOCK_BYTES;

	return process_harden(threads > CLI_LOCK_BYTES ? threads : CLI_LOCK_BYTES, &cli->report,
			      err);
}

int cli_start(struct cli *cli, struct config *config, int *store_dirfd, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_harden(cli, err);

	if (r == 0)
		r = config_find(cli->config, &path, store_dirfd, err);
	return r < 0 ? r : config_load_file_as(path, cli->load, config, err);
}
