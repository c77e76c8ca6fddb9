/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/journal.h"

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

static const struct sockaddr_un journal = {
	.sun_family = AF_UNIX,
	.sun_path = "/run/systemd/journal/socket",
};

bool journal_is_stderr(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	_cleanup_free_ char *stream = NULL;
	struct stat file;

	/* Device and inode of the stream: it may have been inherited by one who writes elsewhere.
	 */
	if (!text || fstat(STDERR_FILENO, &file) < 0 ||
	    asprintf(&stream, "%ju:%ju", (uintmax_t)file.st_dev, (uintmax_t)file.st_ino) < 0) {
		stream = NULL;
		return false;
	}
	return strcmp(text, stream) == 0;
}

/* "NAME=VALUE", or with a size in front where the value has several lines. */
static void field_print(FILE *stream, const struct journal_field *field)
{
	uint64_t size = htole64(strlen(field->value));

	if (!strchr(field->value, '\n')) {
		fprintf(stream, "%s=%s\n", field->name, field->value);
		return;
	}
	fprintf(stream, "%s\n", field->name);
	fwrite(&size, sizeof(size), 1, stream);
	fprintf(stream, "%s\n", field->value);
}

bool journal_send(const struct journal_field *fields)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_free_ char *entry = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	if (fd >= 0)
		stream = open_memstream(&entry, &size);
	if (!stream)
		return false;
	for (const struct journal_field *field = fields; field->name; field++) {
		if (field->value)
			field_print(stream, field);
	}
	if (fflush(stream) != 0 || ferror(stream))
		return false;
	return sendto(fd, entry, size, MSG_NOSIGNAL, (const struct sockaddr *)&journal,
		      sizeof(journal)) == (ssize_t)size;
}
