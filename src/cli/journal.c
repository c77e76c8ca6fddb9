/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/journal.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

static const char *const ids[] = {
	[CLI_JOURNAL_DELIVERED] = "9feaf9372b704ff88339d8abbbd342c2",
	[CLI_JOURNAL_REFUSED] = "f3c6921f2a4d45e0a089c0cc3b36f133",
	[CLI_JOURNAL_ACTIVATED] = "2866fc0b533146d39e8c7728b7815feb",
	[CLI_JOURNAL_NOT_ACTIVATED] = "a2a4287c731841e58be13ed216ae417b",
	[CLI_JOURNAL_LAUNCHED] = "e5c51eb123a44056888d789ddadc5e1a",
	[CLI_JOURNAL_REPORTED] = "66b1986a2a694eb08324b83a11332781",
};

const char *cli_journal_id(enum cli_journal_event event)
{
	return ids[event];
}

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
		"MESSAGE_ID=%s\nSYSLOG_IDENTIFIER=vmcred\nPRIORITY=%d\nVMCRED_RESULT=%s\n%s",
		ids[entry->event], priorities[entry->level], entry->result,
		entry->more ? entry->more : "");
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
