/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/harden.h"
#include "base/text.h"
#include "cli/journal.h"
#include "cli/vmcred/commands.h"

#define IDLE_DEFAULT     "30"
#define IDLE_SECONDS_MAX 86400

/* Connections at a time. More than the maximum would not be requests for credentials. */
#define ANSWERS_MAX 16384
#define ANSWERS_MIN 256
#define OTHER_FILES 64

/* The field of the journal, the beginning of the line, and its word before the unit. */
static const struct {
	const char *field, *verb, *preposition;
	enum report_level level;
	enum cli_journal_event event;
} results[SERVE_RESULTS] = {
	[SERVE_GAVE] = {"gave", "gave", "to", REPORT_INFO, CLI_JOURNAL_DELIVERED},
	[SERVE_LEFT_OUT] = {"left-out", "left out", "for", REPORT_WARNING, CLI_JOURNAL_DELIVERED},
	[SERVE_REFUSED] = {"refused", "refused", "to", REPORT_WARNING, CLI_JOURNAL_REFUSED},
	[SERVE_HUNG_UP] = {"hung-up", "did not finish", "for", REPORT_WARNING, CLI_JOURNAL_REFUSED},
	[SERVE_TURNED_AWAY] = {"turned-away", "turned away", "", REPORT_WARNING,
			       CLI_JOURNAL_REFUSED},
	[SERVE_CONFIRMED] = {"confirmed", "delivery confirmed by", "", REPORT_INFO,
			     CLI_JOURNAL_REPORTED},
	[SERVE_REJECTED] = {"rejected", "delivery rejected by", "", REPORT_WARNING,
			    CLI_JOURNAL_REPORTED},
};

static bool journal_send(const struct serve_event *event, const char *line)
{
	_cleanup_free_ char *cid = event->cid > 0 ? text_format("%u", event->cid) : NULL;
	_cleanup_free_ char *more =
		text_format("VMCRED_PEER_PID=%d\nVMCRED_PEER_UID=%u\nVMCRED_CODE=%d\n%s%s%s%s",
			    (int)event->process, (unsigned)event->user,
			    event->reason ? (int)event->reason->code : 0,
			    event->is_guest ? "VMCRED_GUEST=1\n" : "",
			    cid ? "VMCRED_PEER_CID=" : "", cid ? cid : "", cid ? "\n" : "");

	return more && cli_journal_send(&(struct cli_journal_entry){
			       .event = results[event->result].event,
			       .level = results[event->result].level,
			       .line = line,
			       .result = results[event->result].field,
			       .unit = event->unit,
			       .credential = event->is_cut ? NULL : event->credential,
			       .more = more,
		       });
}

static char *guest_name(const struct serve_event *event)
{
	char cid[32] = "";

	if (event->cid > 0)
		snprintf(cid, sizeof(cid), " (CID %u)", event->cid);
	return event->unit ? text_format("the guest of %s%s", event->unit, cid)
			   : text_format("an unknown guest%s", cid);
}

static void event_report(const struct serve_options *options, const struct serve_event *event)
{
	const struct report *report = options->data;
	const char *verb = results[event->result].verb;
	_cleanup_free_ char *reason = event->reason ? error_line(event->reason) : NULL;
	_cleanup_free_ char *guest = event->is_guest ? guest_name(event) : NULL;
	_cleanup_free_ char *text = NULL;
	const char *line;

	if (event->is_guest && event->credential)
		text = text_format("%s %s %s %s%s%s", verb, event->credential,
				   results[event->result].preposition, guest ? guest : "a guest",
				   reason ? ": " : "", reason ? reason : "");
	else if (event->is_guest)
		text = text_format("%s %s%s%s", verb, guest ? guest : "a guest", reason ? ": " : "",
				   reason ? reason : "");
	else if (event->unit)
		text = text_format("%s %s%s %s %s (process %d)%s%s", verb, event->credential,
				   event->is_cut ? "..." : "", results[event->result].preposition,
				   event->unit, (int)event->process, reason ? ": " : "",
				   reason ? reason : "");
	else
		text = text_format("%s process %d%s%s", verb, (int)event->process,
				   reason ? ": " : "", reason ? reason : "");
	line = text ? text : "out of memory";
	if (report->line != cli_journal_line || !journal_send(event, line))
		report_message(report, results[event->result].level, "%s", line);
}

/* As many as the limit for descriptors permits. */
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

int command_serve(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *identity = NULL, *idle = IDLE_DEFAULT;
	struct serve_options options = {.on_event = event_report, .data = &cli->report};
	const struct cli_option rows[] = {
		{"machine", "MACHINE", CLI_MACHINE_HELP, &options.machine},
		{"identity", "FILE", CLI_MACHINE_IDENTITY_HELP, &identity},
		{"idle-timeout", "SECONDS",
		 "exit after that time without a request (default: " IDLE_DEFAULT "; 0: never)",
		 &idle},
		{0},
	};
	const struct cli_usage usage = {
		.command = "serve",
		.arguments = "",
		.about = "Answer LoadCredential=CREDENTIAL:/run/vmcred/socket of the VMs' units "
			 "from the store, without files. systemd starts this command through "
			 "vmcred.socket when a unit asks.",
		.options = rows,
	};
	char *end;
	long seconds;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	errno = 0;
	seconds = strtol(idle, &end, 10);
	if (errno != 0 || *idle < '0' || *idle > '9' || *end || seconds > IDLE_SECONDS_MAX)
		return error_set(err, VMCRED_USAGE,
				 "--idle-timeout must be 0 to %d seconds, not \"%s\"",
				 IDLE_SECONDS_MAX, idle);
	options.idle_ms = (int64_t)seconds * 1000;
	r = load_sockets_inherited("vmcred.socket", &options.sockets, err);
	if (r < 0)
		return r;
	options.runtime = getenv("RUNTIME_DIRECTORY");
	/* Answers are reported at any level. */
	if (cli->report.level < REPORT_INFO)
		cli->report.level = REPORT_INFO;
	if (cli_journal_is_stderr())
		cli->report.line = cli_journal_line;
	r = process_harden(CLI_LOCK_BYTES, &cli->report, err);
	if (r < 0)
		return r;
	options.config = cli->config;
	options.identity = cli_machine_identity_path(identity, &cli->report);
	options.answers_max = answers_max();
	return serve_run(&options, &cli->report, err);
}
