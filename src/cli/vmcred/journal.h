/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd's journal, for services that say more than a line: entries with fields, as
 * systemd.journal-fields(7) and "Native Journal Protocol" describe them. A datagram; libsystemd is
 * not needed for it.
 */
#ifndef VMCRED_CLI_VMCRED_JOURNAL_H
#define VMCRED_CLI_VMCRED_JOURNAL_H

#include <stdbool.h>

struct journal_field {
	const char *name;
	const char *value; /* NULL: the entry goes without it */
};

/* Whether standard error is a stream to the journal (systemd.exec(5), $JOURNAL_STREAM). */
bool journal_is_stderr(void);

/* Sends an entry of the fields up to the one without a name. Returns whether it could. */
bool journal_send(const struct journal_field *fields);

#endif
