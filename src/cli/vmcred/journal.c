/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's native protocol, which needs no libsystemd. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/vmcred/commands.h"

/* `journalctl MESSAGE_ID=...` finds everything about the credentials of units. */
#define MESSAGE_ID "9feaf9372b704ff88339d8abbbd342c2"

/* syslog(3) */
static const int priorities[] = {
	[REPORT_WARNING] = 4,
	[REPORT_INFO] = 6,
	[REPORT_DEBUG] = 7,
};

bool cli_journal_is_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	_cleanup_free_ char *ours = NULL;
	struct stat status;

	if (!stream || fstat(STDERR_FILENO, &status) < 0)
		return false;
	ours = text_format("%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	return ours && strcmp(stream, ours) == 0;
}

void cli_journal_line(const struct report *report, enum report_level level, const char *text)
{
	(void)report;
	fprintf(stderr, "<%d>%s\n", priorities[level], text);
}

/* Writes a field: "NAME=VALUE", or with a size where the value has several lines. */
static void field_print(FILE *stream, const char *name, const char *value)
{
	const uint64_t size = htole64(strlen(value));

	if (!strchr(value, '\n')) {
		fprintf(stream, "%s=%s\n", name, value);
		return;
	}
	fprintf(stream, "%s\n", name);
	fwrite(&size, sizeof(size), 1, stream);
	fprintf(stream, "%s\n", value);
}

bool cli_journal_send(const struct cli_journal_entry *entry)
{
	static const struct sockaddr_un journal = {
		.sun_family = AF_UNIX,
		.sun_path = "/run/systemd/journal/socket",
	};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	if (fd >= 0)
		stream = open_memstream(&text, &size);
	if (!stream)
		return false;
	field_print(stream, "MESSAGE", entry->line);
	fprintf(stream,
		"MESSAGE_ID=" MESSAGE_ID "\nSYSLOG_IDENTIFIER=vmcred\nPRIORITY=%d\n"
		"VMCRED_RESULT=%s\n%s",
		priorities[entry->level], entry->result, entry->more ? entry->more : "");
	if (entry->unit)
		fprintf(stream, "VMCRED_UNIT=%s\nOBJECT_SYSTEMD_UNIT=%s\n", entry->unit,
			entry->unit);
	if (entry->credential)
		fprintf(stream, "VMCRED_CREDENTIAL=%s\n", entry->credential);
	if (fflush(stream) != 0 || ferror(stream))
		return false;
	return sendto(fd, text, size, MSG_NOSIGNAL, (const struct sockaddr *)&journal,
		      sizeof(journal)) == (ssize_t)size;
}
