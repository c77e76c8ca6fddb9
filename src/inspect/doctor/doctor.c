/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/doctor/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"

const char *const doctor_names[] = {
	"private-key-in-work-tree",
	"private-key-in-history",
	"plaintext-in-history",
	"vm-declaration",
	"secret-in-oem-strings",
	"credential-not-loaded",
	"store-missing",
	"store-outdated",
	"store-readers",
	"store-expired",
	"store-overdue",
	"store-no-key",
	"store-no-name",
	"store-unreadable",
	"store-orphan",
	"in-nix-store",
	"identity-mode",
	"identity-owner",
	"socket-mode",
	"credential-in-log",
	"credential-in-snapshot",
	"guest-kernel",
	"proc-visible",
	"vm-stale",
	"vm-missing",
	"unit-core",
	"core-pattern",
	"unit-swap",
	"old-version",
	"clock-jumped",
	NULL,
};

bool doctor_wants(const struct doctor *doctor, const char *name)
{
	for (size_t i = 0; i < doctor->ignored_count; i++) {
		if (strcmp(doctor->ignored[i], name) == 0)
			return false;
	}
	return true;
}

int doctor_add(struct doctor *doctor, const char *name, enum doctor_severity severity,
	       const char *chmod_path, char *message, char *fix, struct error *err)
{
	struct doctor_finding finding = {
		.name = name,
		.severity = severity,
		.message = message,
		.fix = fix,
		.chmod_path = chmod_path ? strdup(chmod_path) : NULL,
	};

	if (message && fix && !doctor_wants(doctor, name)) {
		free(message);
		free(fix);
		free(finding.chmod_path);
		return 0;
	}
	if (!message || !fix || (chmod_path && !finding.chmod_path) ||
	    array_grow(&doctor->findings, doctor->count, &doctor->capacity, sizeof(finding), err) <
		    0) {
		free(message);
		free(fix);
		free(finding.chmod_path);
		return error_no_memory(err);
	}
	doctor->findings[doctor->count++] = finding;
	return 0;
}

void doctor_release(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->count; i++) {
		free(doctor->findings[i].message);
		free(doctor->findings[i].fix);
		free(doctor->findings[i].chmod_path);
	}
	free(doctor->findings);
	*doctor = (struct doctor){0};
}

int doctor_fix(struct doctor_finding *finding, struct error *err)
{
	/* The file that was found, not what a link leads to by now. */
	_cleanup_close_ int fd =
		open(finding->chmod_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 ||
	    fchmod(fd, status.st_mode & (S_IRUSR | S_IWUSR)) < 0)
		return error_set_errno(err, errno, "fixing the mode of %s", finding->chmod_path);
	finding->is_fixed = true;
	return 0;
}

const char *doctor_severity_name(enum doctor_severity severity)
{
	return severity == DOCTOR_ERROR ? "error" : "warning";
}

char *doctor_file_text(const char *path, size_t size_max)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	_cleanup_error_ struct error ignored = {0};
	struct stat status;
	char *text = NULL;
	size_t size;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return NULL;
	return fd_read_bytes(fd, size_max, path, &text, &size, &ignored) == 0 ? text : NULL;
}
