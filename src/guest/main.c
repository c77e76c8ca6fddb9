/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "guest/guest.h"

static const char help[] =
	"Usage: vmcred-guest import [--initrd]\n"
	"       vmcred-guest exec [--user USER] NAME[=CREDENTIAL]...\n"
	"                         -- PROGRAM [ARGUMENT...]\n"
	"       vmcred-guest serve|verify|watch [--host FILE]\n"
	"\n"
	"Receives credentials in a guest.\n"
	"\n"
	"  import  put the credentials from fw_cfg, the SMBIOS table and the initrd into\n"
	"          /run/credentials/@system, by systemd's rules\n"
	"  exec    run a program that sees these credentials only, in\n"
	"          $CREDENTIALS_DIRECTORY\n"
	"  serve   answer LoadCredential=CREDENTIAL:/run/vmcred/socket of a unit with the\n"
	"          host's current value; vmcred-guest.socket starts it\n"
	"  verify  compare the credentials of the boot with the host's manifest, and\n"
	"          report the result to the host\n"
	"  watch   restart or reload the units that got an older value from `serve` than\n"
	"          the host has now\n"
	"\n"
	"      --initrd     only pass the initrd's credentials on to systemd 254 or later\n"
	"      --user USER  run the program as this user of /etc/passwd\n"
	"      --host FILE  connect to this Unix socket instead of the host's vsock port\n"
	"      --help       print this help\n"
	"      --version    print the version\n"
	"\n"
	"See also vmcred-guest(1). Exit codes: 0 success, 1 failure, 2 usage error,\n"
	"3 a credential, the user or the program does not exist, 4 a credential did not\n"
	"arrive whole.\n";

static const struct option options[] = {
	{"initrd", no_argument, NULL, 'i'},     {"user", required_argument, NULL, 'u'},
	{"host", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},    {0},
};

static void line_print(const struct report *report, enum report_level level, const char *text)
{
	(void)report;
	fprintf(stderr, "vmcred: %s%s\n", level == REPORT_WARNING ? "warning: " : "", text);
}

static int usage_error(struct error *err, const char *problem, const char *argument)
{
	error_set(err, VMCRED_USAGE, "%s%s", problem, argument);
	return error_hint(err, "see `vmcred-guest --help`");
}

/* `arguments` start after the options. */
static int exec_run(const char *user, char **arguments, struct error *err)
{
	struct guest_exec exec = {.user = user, .names = arguments};

	while (*arguments && strcmp(*arguments, "--") != 0)
		arguments++;
	if (!arguments[0] || !arguments[1])
		return usage_error(err, "no program given: it follows \"--\"", "");
	*arguments = NULL;
	exec.argv = arguments + 1;
	return guest_exec(&exec, err);
}

/* Without systemd's socket, standard input is the connection of one unit. */
static int serve_run(const char *host, const struct report *report, struct error *err)
{
	const int r = getenv("LISTEN_FDS") ? guest_listen(host, report, err)
					   : guest_serve(STDIN_FILENO, host, report, err);

	return r < 0 ? error_wrap(err, "serve") : 0;
}

static int run(int argc, char **argv, struct error *err)
{
	const struct report report = {.level = REPORT_INFO, .line = line_print};
	const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL, *user = NULL,
		   *host = NULL;
	const bool is_exec = command && strcmp(command, "exec") == 0,
		   is_import = command && strcmp(command, "import") == 0,
		   is_serve = command && strcmp(command, "serve") == 0,
		   is_verify = command && strcmp(command, "verify") == 0,
		   is_watch = command && strcmp(command, "watch") == 0;
	enum guest_import kind = GUEST_IMPORT_ALL;
	int first, letter;

	/* Only the command's own options: its arguments may look like options, too. */
	optind = command ? 2 : 1;
	while ((letter = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		const bool is_value =
			(letter == 'u' || letter == 'o') && optarg == argv[optind - 1];

		if (letter == 'h')
			return fputs(help, stdout) < 0 ? error_set_errno(err, errno, "writing") : 0;
		if (letter == 'v') {
			printf("vmcred-guest %s\n", vmcred_version());
			return 0;
		}
		if (letter == ':')
			return usage_error(err, "no value for ", argv[optind - 1]);
		if (letter == 'u' && is_exec)
			user = optarg;
		else if (letter == 'o' && (is_serve || is_verify || is_watch))
			host = optarg;
		else if (letter == 'i' && is_import)
			kind = GUEST_IMPORT_INITRD;
		else
			return usage_error(err, "unknown option ", argv[optind - 1 - is_value]);
	}
	/* getopt_long() skips a "--" that ends the options. */
	first = optind > 1 && strcmp(argv[optind - 1], "--") == 0 ? optind - 1 : optind;
	if (!command)
		return usage_error(err, "no command given", "");
	/* No core file and no ptrace(2) by others; execve(2) resets it. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "making the process not dumpable");
	if (is_exec)
		return exec_run(user, argv + first, err) < 0 ? error_wrap(err, "exec") : 0;
	if (!is_import && !is_serve && !is_verify && !is_watch)
		return usage_error(err, "unknown command ", command);
	if (first < argc) {
		_cleanup_free_ char *problem = text_format("%s takes no arguments: ", command);

		return usage_error(err, problem ? problem : "", argv[first]);
	}
	if (is_serve)
		return serve_run(host, &report, err);
	if (is_verify)
		return guest_verify(host, &report, err) < 0 ? error_wrap(err, "verify") : 0;
	if (is_watch)
		return guest_watch(host, &report);
	return guest_import(kind, &report, err) < 0 ? error_wrap(err, "import") : 0;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *line = NULL;
	int r = run(argc, argv, &err);

	if (r == 0)
		return fflush(stdout) == 0 ? 0 : VMCRED_FAILED;
	line = error_line(&err);
	fprintf(stderr, "vmcred: %s\n", line ? line : "out of memory");
	return -r;
}
