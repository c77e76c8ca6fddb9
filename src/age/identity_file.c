/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity files as age-keygen(1) writes them. They hold the keys to everything, so one that others
 * can read is refused, not warned about; and no error quotes a line.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "age/age.h"
#include "age/keys.h"
#include "base/cleanup.h"
#include "base/io.h"

#define IDENTITY_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024) /* age's own limit */
#define OTHERS_MODE            (S_IRWXG | S_IRWXO)

/* Takes a line, without its end, off the text. */
static struct span line_take(struct span *text)
{
	const uint8_t *end = memchr(text->data, '\n', text->size);
	struct span line = span_of(text->data, end ? (size_t)(end - text->data) : text->size);
	size_t taken = end ? line.size + 1 : line.size;

	*text = span_of(text->data + taken, text->size - taken);
	if (line.size > 0 && line.data[line.size - 1] == '\r')
		line.size--;
	return line;
}

int age_identities_parse(struct span text, const char *what, struct age_identities *identities,
			 struct error *err)
{
	size_t before = identities->count, number = 0;

	while (text.size > 0) {
		struct span line = line_take(&text);

		number++;
		if (line.size == 0 || line.data[0] == '#')
			continue;
		if (age_identities_add(identities, line, err) < 0)
			return error_wrap(err, "%s: line %zu", what, number);
	}
	if (identities->count == before) {
		error_set(err, VMCRED_FAILED, "%s: there is no secret key in it", what);
		return error_hint(err, "make one with `vmcred keygen --output FILE`");
	}
	return 0;
}

static int mode_check(int fd, const char *path, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (S_ISFIFO(status.st_mode))
		return 0;
	if (!S_ISREG(status.st_mode))
		return error_set(err, VMCRED_FAILED, "%s: it is not a regular file", path);
	if ((status.st_mode & OTHERS_MODE) == 0)
		return 0;
	error_set(err, VMCRED_FAILED,
		  "%s: its mode %04o gives others access to the secret key in it", path,
		  status.st_mode & ALLPERMS);
	return error_hint(err, "chmod 600 %s", path);
}

static int file_read(int dirfd, const char *path, struct secret *text, struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0) {
		int reason = errno;

		error_set_errno(err, reason, "%s", path);
		if (reason == EACCES)
			return error_hint(err, "run as the user that owns it");
		if (reason == ENOENT)
			return error_hint(err, "make one with `vmcred keygen --output %s`", path);
		return -(int)err->code;
	}
	r = mode_check(fd, path, err);
	if (r < 0)
		return r;
	return secret_read(text, fd, IDENTITY_FILE_SIZE_MAX, path, err);
}

int age_identity_file_load(int dirfd, const char *path, struct age_identities *identities,
			   struct error *err)
{
	_cleanup_secret_ struct secret text = {0};

	if (file_read(dirfd, path, &text, err) < 0 ||
	    age_identities_parse(secret_span(&text), path, identities, err) < 0)
		return error_wrap(err, "reading the identity file");
	return 0;
}

int age_identity_file_format(const struct age_identity *identity, time_t created,
			     struct secret *text, struct error *err)
{
	char when[sizeof("2006-01-02T15:04:05Z")], comments[256];
	struct tm utc;
	int r;

	if (!gmtime_r(&created, &utc) || strftime(when, sizeof(when), "%FT%TZ", &utc) == 0)
		return error_set(err, VMCRED_FAILED, "the system's clock shows no date");
	snprintf(comments, sizeof(comments), "# created: %s\n# public key: %s\n", when,
		 age_identity_recipient(identity));
	r = secret_append_text(text, comments, err);
	if (r == 0)
		r = identity->ops->encode(identity, text, err);
	if (r == 0)
		r = secret_append_text(text, "\n", err);
	return r;
}
