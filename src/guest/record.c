/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"

static int record_write(const struct load_address *asked,
			const uint8_t version[CHANNEL_VALUE_VERSION_SIZE], struct error *err)
{
	_cleanup_close_ int dirfd = -1, unit = -1;

	if (asked->unit[0] == '.')
		return error_set(err, VMCRED_USAGE, "not the name of a unit");
	dirfd = dir_make(AT_FDCWD, RECORD_PATH, 0700, err);
	if (dirfd < 0)
		return dirfd;
	unit = dir_make(dirfd, asked->unit, 0700, err);
	if (unit < 0)
		return unit;
	return file_replace(unit, asked->credential, span_of(version, CHANNEL_VALUE_VERSION_SIZE),
			    S_IRUSR | S_IWUSR, err);
}

void record_keep(const struct load_address *unit, const uint8_t version[CHANNEL_VALUE_VERSION_SIZE],
		 const struct report *report)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *line = NULL;

	if (record_write(unit, version, &err) == 0)
		return;
	line = error_line(&err);
	report_message(report, REPORT_WARNING, "recording %s of %s: %s", unit->credential,
		       unit->unit, line ? line : "out of memory");
}

static bool record_read(int unit, const char *credential,
			uint8_t version[CHANNEL_VALUE_VERSION_SIZE])
{
	_cleanup_close_ int fd = openat(unit, credential, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 &&
	       read(fd, version, CHANNEL_VALUE_VERSION_SIZE) == CHANNEL_VALUE_VERSION_SIZE;
}

/* Whether the unit has an older version of a credential than the announced one. */
static bool is_stale(int unit, const struct channel_version *announced)
{
	uint8_t version[CHANNEL_VALUE_VERSION_SIZE];

	return record_read(unit, announced->credential, version) &&
	       memcmp(version, announced->version, sizeof(version)) != 0;
}

/* Whether the unit has not asked again since: each answer replaces the file, also by the same
 * version if the value has been changed back. */
static bool is_same_record(const struct stat *before, int unit, const char *credential)
{
	struct stat now;

	return fstatat(unit, credential, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       now.st_ino == before->st_ino && now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

static void unit_restart(int dirfd, const char *name, const struct channel_version *versions,
			 size_t count, const struct record_unit_ops *ops,
			 const struct report *report)
{
	_cleanup_close_ int unit =
		openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat before;

	/* The first restart makes a running unit ask for all of them again. */
	for (size_t i = 0; unit >= 0 && i < count; i++) {
		const char *credential = versions[i].credential;

		if (!is_stale(unit, &versions[i]) ||
		    fstatat(unit, credential, &before, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!ops->restart(name, report))
			return;
		/* The unit does not run, or no longer asks for it. */
		if (is_same_record(&before, unit, credential))
			(void)unlinkat(unit, credential, 0);
	}
}

/* Whether the unit runs or starts. */
static bool is_invoked(const char *unit)
{
	char path[sizeof(LOAD_INVOCATION) + LOAD_ADDRESS_MAX];
	struct stat link;

	snprintf(path, sizeof(path), LOAD_INVOCATION "%s", unit);
	return fstatat(AT_FDCWD, path, &link, AT_SYMLINK_NOFOLLOW) == 0;
}

static void unit_drop_inactive(int dirfd, const char *name, const struct record_unit_ops *ops)
{
	_cleanup_error_ struct error ignored = {0};

	/* Twice: it may start meanwhile. */
	if (!is_invoked(name) && ops->is_inactive(name) && !is_invoked(name))
		(void)dir_remove_tree(dirfd, name, false, &ignored);
}

int record_restart(const struct channel_version *versions, size_t count,
		   const struct record_unit_ops *ops, const struct report *report,
		   struct error *err)
{
	_cleanup_close_ int dirfd = open(RECORD_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_dir_ DIR *dir = NULL;
	const char *name;

	if (dirfd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "opening " RECORD_PATH);
	dir = dir_stream_open(dirfd, ".");
	if (!dir)
		return error_set_errno(err, errno, "reading " RECORD_PATH);
	while ((name = dir_stream_next(dir))) {
		unit_restart(dirfd, name, versions, count, ops, report);
		unit_drop_inactive(dirfd, name, ops);
	}
	return 0;
}
