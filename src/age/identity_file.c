/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity files in all forms that age takes. They hold the keys to everything, so one that others
 * can read is refused, not warned about; and no error quotes a line.
 */
#include <errno.h>
#include <stdio.h>

#include "age/age.h"
#include "age/identity_access.h"
#include "age/keys.h"
#include "base/cleanup.h"
#include "base/file.h"

#define IDENTITY_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024) /* age's own limit */
#define PUBLIC_FILE_SIZE_MAX   8192                       /* a line of sshd's own limit */

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

int age_identities_parse_lines(struct span text, const char *what,
			       struct age_identities *identities, struct error *err)
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

/* Makes the one identity that a whole file is; `public_text` is the text of the file beside it. */
static int file_parse(struct span text, struct span public_text, const char *what,
		      struct age_identities *identities, struct error *err)
{
	struct age_identity *identity = NULL;
	int r;

	if (span_starts_with(text, span_of_text("age-encryption.org/")) ||
	    span_starts_with(text, span_of_text("-----BEGIN AGE ENCRYPTED FILE")))
		r = age_encrypted_identity_create(text, what, &identity, err);
	else if (span_starts_with(text, span_of_text("-----BEGIN ")))
		r = age_ssh_identity_parse(text, public_text, what, &identity, err);
	else
		return age_identities_parse_lines(text, what, identities, err);
	if (r < 0)
		return error_wrap(err, "%s", what);
	return age_identities_take(identities, identity, err);
}

int age_identities_parse(struct span text, const char *what, struct age_identities *identities,
			 struct error *err)
{
	return file_parse(text, span_of(NULL, 0), what, identities, err);
}

int age_recipients_parse(struct span text, const char *what, struct age_recipients *recipients,
			 struct error *err)
{
	size_t before = recipients->count, number = 0;

	while (text.size > 0) {
		struct span line = line_take(&text);
		_cleanup_error_ struct error reason = {0};
		int r;

		number++;
		if (line.size == 0 || line.data[0] == '#')
			continue;
		r = age_recipients_add(recipients, line, &reason);
		/* The reason quotes the line, and the file may be any file. */
		if (r == -(int)VMCRED_USAGE)
			return error_set(err, VMCRED_USAGE, "%s: line %zu is not an age public key",
					 what, number);
		if (r < 0) {
			*err = reason;
			reason = (struct error){0};
			return error_wrap(err, "%s: line %zu", what, number);
		}
	}
	if (recipients->count == before)
		return error_set(err, VMCRED_USAGE, "%s: there is no public key in it", what);
	return 0;
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
	r = age_identity_access_check(fd, path, err);
	if (r < 0)
		return r;
	return secret_read(text, fd, IDENTITY_FILE_SIZE_MAX, path, err);
}

/* The file beside it whose name ends with .pub, if there is one that can be read. */
static void public_file_read(int dirfd, const char *path, struct secret *text)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_free_ char *public_path = NULL;

	if (asprintf(&public_path, "%s.pub", path) < 0) {
		public_path = NULL;
		return;
	}
	if (file_read_secret(dirfd, public_path, PUBLIC_FILE_SIZE_MAX, text, &reason) < 0)
		secret_destroy(text);
}

int age_identity_file_load(int dirfd, const char *path, struct age_identities *identities,
			   struct error *err)
{
	_cleanup_secret_ struct secret text = {0}, public_text = {0};
	int r = file_read(dirfd, path, &text, err);

	/* Only keys in PEM, which may be encrypted, ever need it. */
	if (r == 0 && span_starts_with(secret_span(&text), span_of_text("-----BEGIN RSA ")))
		public_file_read(dirfd, path, &public_text);
	if (r == 0)
		r = file_parse(secret_span(&text), secret_span(&public_text), path, identities,
			       err);
	if (r < 0)
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
	if (!identity->ops->encode)
		return error_set(err, VMCRED_FAILED, "this identity has no form of one line");
	r = secret_append_text(text, comments, err);
	if (r == 0)
		r = identity->ops->encode(identity, text, err);
	if (r == 0)
		r = secret_append_text(text, "\n", err);
	return r;
}
