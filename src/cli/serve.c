/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activate/activate.h"
#include "base/process.h"
#include "cli/cli.h"
#include "cli/identity.h"

#define IDLE_DEFAULT "30"

/* sd-daemon(3): the journal takes the number in front of a line for its priority. */
static void journal_line(const struct report *report, enum report_level level, const char *text)
{
	static const int priorities[] = {
		[REPORT_WARNING] = 4,
		[REPORT_INFO] = 6,
		[REPORT_DEBUG] = 7,
	};

	(void)report;
	fprintf(stderr, "<%d>%s\n", priorities[level], text);
}

static int seconds_parse(const char *text, int64_t *milliseconds, struct error *err)
{
	char *end;
	long seconds;

	errno = 0;
	seconds = strtol(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end || seconds > 86400)
		return error_set(err, VMCRED_USAGE,
				 "--idle-timeout needs a number of seconds up to 86400, not \"%s\"",
				 text);
	*milliseconds = seconds * 1000;
	return 0;
}

int command_serve(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *identity = NULL, *idle = IDLE_DEFAULT;
	struct serve_options options = {0};
	const struct cli_option rows[] = {
		{"machine", "NAME", "whose secrets (default: the only machine declared)",
		 &options.machine},
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity},
		{"idle-timeout", "SECONDS",
		 "end after that time without a request (default: " IDLE_DEFAULT "; 0: never)",
		 &idle},
		{0},
	};
	const struct cli_usage usage = {
		.command = "serve",
		.words = "",
		.about = "Answer LoadCredential=CREDENTIAL:/run/vmcred/socket of the VMs' units "
			 "from "
			 "the store, with\n"
			 "no file in between. systemd starts it, with vmcred.socket, when a unit "
			 "asks.",
		.options = rows,
	};
	_cleanup_age_identities_ struct age_identities identities = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = seconds_parse(idle, &options.idle_ms, err);
	if (r < 0)
		return r;
	options.listen_fd = serve_socket_inherited(err);
	if (options.listen_fd < 0)
		return options.listen_fd;
	/* Who got what is said at any level, to the journal if it listens. */
	if (cli->report.level < REPORT_INFO)
		cli->report.level = REPORT_INFO;
	if (getenv("JOURNAL_STREAM"))
		cli->report.line = journal_line;
	r = process_harden(CLI_LOCK_BYTES, &cli->report, err);
	if (r == 0)
		r = cli_identities_load(identity, &identities, err);
	if (r < 0)
		return r;
	options.config = cli->config;
	options.identities = &identities;
	return serve_run(&options, &cli->report, err);
}
