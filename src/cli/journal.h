/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: priorities of lines, and entries with fields (systemd.journal-fields(7)), which tell
 * who got which credential. Fields never have values of secrets. The catalog (units/vmcred.catalog)
 * explains the events, and vmcred-activate(1) lists their fields.
 *
 * Entries are sent in the journal's native protocol, which is a datagram of a few lines: libsystemd
 * would be a dependency of vmcred-run, which starts every VM.
 */
#ifndef VMCRED_CLI_JOURNAL_H
#define VMCRED_CLI_JOURNAL_H

#include <stdbool.h>

#include "base/report.h"

/* Whether standard error is a stream to the journal (systemd.exec(5), $JOURNAL_STREAM). The
 * variable can be inherited by a process whose standard error is something else. */
bool cli_journal_is_stderr(void);

/* A report's `line`: the journal reads the priority of a line from its prefix: sd-daemon(3). */
void cli_journal_line(const struct report *report, enum report_level level, const char *text);

/* What happened: each has a MESSAGE_ID. */
enum cli_journal_event {
	CLI_JOURNAL_DELIVERED,     /* `serve` answered a unit */
	CLI_JOURNAL_REFUSED,       /* `serve` did not */
	CLI_JOURNAL_ACTIVATED,     /* secrets were activated */
	CLI_JOURNAL_NOT_ACTIVATED, /* a secret that a VM's unit loads was not */
	CLI_JOURNAL_LAUNCHED,      /* a hypervisor starts with credentials */
	CLI_JOURNAL_REPORTED,      /* a guest reported whether its credentials arrived */
};

/* In hexadecimal, as the fields have it. */
const char *cli_journal_id(enum cli_journal_event event);

struct cli_journal_entry {
	enum cli_journal_event event;
	enum report_level level;
	const char *line;
	const char *result;     /* VMCRED_RESULT= */
	const char *unit;       /* NULL: unknown, or this process's */
	const char *credential; /* NULL: unknown */
	const char *more;       /* further fields, each "NAME=VALUE\n"; or NULL */
};

/* Sends an entry in one datagram. `systemctl status` of its unit shows it as well, because of
 * OBJECT_SYSTEMD_UNIT=. Returns whether it was sent. */
bool cli_journal_send(const struct cli_journal_entry *entry);

#endif
