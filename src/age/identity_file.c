/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity files in all forms that age accepts. No error quotes a line.
 */
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "age/age.h"
#include "age/keys.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define IDENTITY_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024) /* age's limit */
#define PUBLIC_FILE_SIZE_MAX   8192                       /* sshd's limit for a line */

#define ACL_NAME        "system.posix_acl_access"
#define ACL_ENTRIES_MAX 64 /* more than any credential has */

/* `public_text` is the text of the file with the suffix .pub beside it. */
static int file_parse(struct span text, struct span public_text, const char *what,
		      struct age_identities *identities, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
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
		r = error_wrap(err, "%s", what);
	r = age_identities_take(identities, identity, r, err);
	/* A key that cannot be converted still opens files that are encrypted to itself. */
	if (r == 0 && identities->converts_ssh)
		(void)age_identities_add_converted(identities, text, what, &ignored);
	return r;
}

int age_identities_parse(struct span text, const char *what, struct age_identities *identities,
			 struct error *err)
{
	return file_parse(text, span_of(NULL, 0), what, identities, err);
}

/*
 * With an access control list, the group bits of a file's mode are only the list's mask (acl(5)).
 * systemd grants a unit with User= access to its credentials by an entry for that user: the mode is
 * then 0440 although no group can read the file.
 */

/* The permissions that an entry grants to others, or to us beyond reading. */
static unsigned entry_permissions(const struct posix_acl_xattr_entry *entry)
{
	const unsigned tag = le16toh(entry->e_tag), permissions = le16toh(entry->e_perm);

	/* The mask only removes permissions. */
	if (tag == ACL_USER_OBJ || tag == ACL_MASK)
		return 0;
	return tag == ACL_USER && le32toh(entry->e_id) == geteuid() ? permissions & ~ACL_READ
								    : permissions;
}

/* The permissions of others, as ACL_READ, ACL_WRITE and ACL_EXECUTE. */
static unsigned others_permissions(int fd, mode_t mode)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[ACL_ENTRIES_MAX];
	} list;
	ssize_t size;
	unsigned permissions = 0;

	if ((mode & (S_IRWXG | S_IRWXO)) == 0)
		return 0;
	size = fgetxattr(fd, ACL_NAME, &list, sizeof(list));
	if (size <= (ssize_t)sizeof(list.header) ||
	    le32toh(list.header.a_version) != POSIX_ACL_XATTR_VERSION)
		return (mode >> 3 | mode) & S_IRWXO;
	size = (size - (ssize_t)sizeof(list.header)) / (ssize_t)sizeof(list.entries[0]);
	for (ssize_t i = 0; i < size; i++)
		permissions |= entry_permissions(&list.entries[i]);
	return permissions;
}

int age_identity_fd_check(int fd, const char *path, const struct report *report, struct error *err)
{
	unsigned permissions;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(status.st_mode))
		return 0;
	permissions = others_permissions(fd, status.st_mode);
	if (permissions & ACL_WRITE) {
		error_set(err, VMCRED_FAILED, "%s: mode %04o lets other users change the key", path,
			  status.st_mode & ALLPERMS);
		return error_hint(err, "chmod 600 %s", path);
	}
	if (permissions)
		report_message(report, REPORT_WARNING,
			       "key file %s is accessible to other users: chmod 600 %s", path,
			       path);
	return 0;
}

static int file_read(int dirfd, const char *path, const struct report *report, struct secret *text,
		     struct error *err)
{
	struct stat status;
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0) {
		int reason = errno;

		if (reason == ENOENT && strncmp(path, "AGE-", strlen("AGE-")) == 0)
			return error_set(err, VMCRED_USAGE,
					 "secret key given instead of the name of its file");
		error_set_errno(err, reason, "%s", path);
		if (reason == EACCES)
			return error_hint(err, "run as the user that owns it");
		if (reason == ENOENT)
			return error_hint(err, "generate one with `vmcred keygen --output %s`",
					  path);
		return -(int)err->code;
	}
	if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
		return error_set(err, VMCRED_FAILED, "%s: not a regular file", path);
	r = age_identity_fd_check(fd, path, report, err);
	if (r < 0)
		return r;
	return secret_read(text, fd, IDENTITY_FILE_SIZE_MAX, path, err);
}

int age_identity_file_load(int dirfd, const char *path, struct age_identities *identities,
			   struct error *err)
{
	_cleanup_secret_ struct secret text = {0}, public_text = {0};
	int r = file_read(dirfd, path, identities->report, &text, err);

	/* An encrypted PEM file does not contain its public key, so read it from the .pub file. */
	if (r == 0 && span_starts_with(secret_span(&text), span_of_text("-----BEGIN RSA "))) {
		_cleanup_error_ struct error ignored = {0};
		_cleanup_free_ char *public_path = text_format("%s.pub", path);

		if (public_path && file_read_secret(dirfd, public_path, PUBLIC_FILE_SIZE_MAX,
						    &public_text, &ignored) < 0)
			secret_destroy(&public_text);
	}
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
	_cleanup_free_ char *comments = NULL;
	char when[TEXT_TIME_SIZE];
	int r;

	if (!text_time(created, when))
		return error_set(err, VMCRED_FAILED, "the system clock is invalid");
	if (!identity->ops->encode)
		return error_set(err, VMCRED_FAILED, "this identity has no one-line form");
	comments = text_format("# created: %s\n# public key: %s\n", when,
			       age_identity_recipient(identity));
	r = comments ? secret_append_text(text, comments, err) : error_no_memory(err);
	if (r == 0)
		r = identity->ops->encode(identity, text, err);
	if (r == 0)
		r = secret_append_text(text, "\n", err);
	return r;
}
