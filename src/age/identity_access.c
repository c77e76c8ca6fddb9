/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mode of a file tells who has access to it, unless it has an access control list: then the
 * mode's group bits are the list's mask (acl(5)). systemd gives a unit with User= its credentials
 * that way: the file is root's and has an entry for the unit's user, and its mode reads 0440,
 * although no group may read it.
 */
#include "age/identity_access.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ACL_NAME        "system.posix_acl_access"
#define ACL_ENTRIES_MAX 64 /* more is no credential's */

/* Whether an entry lets in nobody but the file's owner and us, and us not to write. */
static bool entry_is_harmless(const struct posix_acl_xattr_entry *entry)
{
	uint16_t tag = le16toh(entry->e_tag), permissions = le16toh(entry->e_perm);

	/* The mask only takes away. */
	if (tag == ACL_USER_OBJ || tag == ACL_MASK || permissions == 0)
		return true;
	return tag == ACL_USER && le32toh(entry->e_id) == geteuid() &&
	       (permissions & ~ACL_READ) == 0;
}

/* Whether there is a list, and it lets nobody in but the file's owner and us. */
static bool list_is_harmless(int fd)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[ACL_ENTRIES_MAX];
	} list;
	ssize_t size = fgetxattr(fd, ACL_NAME, &list, sizeof(list));
	size_t count;

	if (size < (ssize_t)sizeof(list.header) ||
	    le32toh(list.header.a_version) != POSIX_ACL_XATTR_VERSION)
		return false;
	count = ((size_t)size - sizeof(list.header)) / sizeof(list.entries[0]);
	for (size_t i = 0; i < count; i++) {
		if (!entry_is_harmless(&list.entries[i]))
			return false;
	}
	return count > 0;
}

int age_identity_access_check(int fd, const char *path, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (S_ISFIFO(status.st_mode))
		return 0;
	if (!S_ISREG(status.st_mode))
		return error_set(err, VMCRED_FAILED, "%s: it is not a regular file", path);
	if ((status.st_mode & (S_IRWXG | S_IRWXO)) == 0 || list_is_harmless(fd))
		return 0;
	error_set(err, VMCRED_FAILED,
		  "%s: its mode %04o gives others access to the secret key in it", path,
		  status.st_mode & ALLPERMS);
	return error_hint(err, "chmod 600 %s", path);
}
