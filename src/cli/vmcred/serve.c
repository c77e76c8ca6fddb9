/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "activate/activate.h"
#include "base/cleanup.h"
#include "base/harden.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/identity.h"
#include "cli/vmcred/journal.h"

#define IDLE_DEFAULT "30"

/* Connections at a time; more than that come from nobody who wants a credential. */
#define ANSWERS_MAX 16384
#define ANSWERS_MIN 256
#define OTHER_FILES 64

/* `journalctl MESSAGE_ID=…` finds all requests. Random, once. */
#define REQUEST_MESSAGE_ID "9feaf9372b704ff88339d8abbbd342c2"

/* sd-daemon(3): the journal takes the number in front of a line for its priority. */
static void line_print(const struct report *report, enum report_level level, const char *text)
{
	static const int priorities[] = {
		[REPORT_WARNING] = 4,
		[REPORT_INFO] = 6,
		[REPORT_DEBUG] = 7,
	};

	(void)report;
	fprintf(stderr, "<%d>%s\n", priorities[level], text);
}

/* How a request ended: the field that a script reads, and what a person does. */
static const struct result {
	const char *word, *before, *between;
	enum report_level level;
} results[SERVE_RESULTS] = {
	[SERVE_GAVE] = {"gave", "gave ", " to ", REPORT_INFO},
	[SERVE_LEFT_OUT] = {"left-out", "left out ", " of ", REPORT_WARNING},
	[SERVE_REFUSED] = {"refused", "refused ", " to ", REPORT_WARNING},
	[SERVE_HUNG_UP] = {"hung-up", "giving ", " to ", REPORT_WARNING},
	[SERVE_TURNED_AWAY] = {"turned-away", "hung up on ", "", REPORT_WARNING},
};

/* "gave host-key to microvm@a.service (process 12)"; NULL without memory. The caller frees it. */
static char *event_line(const struct serve_event *event)
{
	const struct result *result = &results[event->result];
	_cleanup_free_ char *reason = event->reason ? error_line(event->reason) : NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	stream = open_memstream(&text, &size);
	if (!stream)
		return NULL;
	if (event->unit)
		fprintf(stream, "%s%s%s%s%s (process %d)", result->before, event->credential,
			event->is_cut ? "..." : "", result->between, event->unit,
			(int)event->process);
	else
		fprintf(stream, "%sprocess %d", result->before, (int)event->process);
	if (reason)
		fprintf(stream, ": %s", reason);
	if (fflush(stream) != 0 || ferror(stream))
		return NULL;
	fclose(stream);
	stream = NULL;
	return pointer_release(&text);
}

/* OBJECT_SYSTEMD_UNIT: `systemctl status UNIT` and `journalctl --unit=UNIT` show it as well. */
static bool event_journal(const struct serve_event *event, const char *line)
{
	bool is_warning = results[event->result].level == REPORT_WARNING;
	char process[16], user[16], code[16];
	const struct journal_field fields[] = {
		{"MESSAGE", line},
		{"MESSAGE_ID", REQUEST_MESSAGE_ID},
		{"PRIORITY", is_warning ? "4" : "6"},
		{"SYSLOG_IDENTIFIER", "vmcred"},
		{"VMCRED_RESULT", results[event->result].word},
		{"VMCRED_UNIT", event->unit},
		{"VMCRED_CREDENTIAL", event->is_cut ? NULL : event->credential},
		{"VMCRED_PEER_PID", process},
		{"VMCRED_PEER_UID", user},
		{"VMCRED_CODE", code},
		{"OBJECT_SYSTEMD_UNIT", event->unit},
		{0},
	};

	(void)snprintf(process, sizeof(process), "%d", (int)event->process);
	(void)snprintf(user, sizeof(user), "%u", (unsigned int)event->user);
	(void)snprintf(code, sizeof(code), "%d", event->reason ? (int)event->reason->code : 0);
	return journal_send(fields);
}

static void event_told(const struct serve_options *options, const struct serve_event *event)
{
	const struct report *report = options->context;
	_cleanup_free_ char *line = event_line(event);

	if (report->line == line_print && event_journal(event, line ? line : "out of memory"))
		return;
	report_message(report, results[event->result].level, "%s", line ? line : "out of memory");
}

/* As many descriptors as the unit may have, without those for all else. */
static size_t answers_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return ANSWERS_MIN;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return ANSWERS_MIN;
	if (limit.rlim_cur < ANSWERS_MIN + OTHER_FILES)
		return ANSWERS_MIN;
	return limit.rlim_cur < ANSWERS_MAX + OTHER_FILES ? limit.rlim_cur - OTHER_FILES
							  : ANSWERS_MAX;
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
		{"identity", "FILE", CLI_MACHINE_IDENTITY_HELP, &identity},
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
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = seconds_parse(idle, &options.idle_ms, err);
	if (r < 0)
		return r;
	options.listen_fd = serve_socket_inherited(&options.kept_count, err);
	if (options.listen_fd < 0)
		return options.listen_fd;
	/* Who got what is said at any level, to the journal if it listens. */
	if (cli->report.level < REPORT_INFO)
		cli->report.level = REPORT_INFO;
	if (journal_is_stderr())
		cli->report.line = line_print;
	r = process_harden(CLI_LOCK_BYTES, &cli->report, err);
	if (r < 0)
		return r;
	options.config = cli->config;
	options.identity = cli_machine_identity_path(identity);
	options.answers_max = answers_max();
	options.told = event_told;
	options.context = &cli->report;
	return serve_run(&options, &cli->report, err);
}
