/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "inspect/stages.h"

/* The kernel's own limit for arguments is far below this. */
#define PROC_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

static bool bytes_contain(const struct secret *bytes, struct span value)
{
	return value.size > 0 && bytes->size >= value.size &&
	       memmem(bytes->data, bytes->size, value.data, value.size);
}

/* In plaintext or in Base64. The last group of Base64 depends on what follows, so it is not
 * compared. */
static bool value_is_in(const struct secret *bytes, struct span value)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error ignored = {0};

	while (value.size > 0 && value.data[value.size - 1] == '\n')
		value.size--;
	if (bytes_contain(bytes, value))
		return true;
	value.size = value.size / 3 * 3;
	return value.size > 0 &&
	       base64_encode_secret(value, BASE64_UNPADDED, &text, &ignored) == 0 &&
	       bytes_contain(bytes, secret_span(&text));
}

/* The name of a process's file that contains a secret; NULL if none does or the process is gone. */
static const char *process_leak(int process_dirfd, const struct inspection *inspection)
{
	static const char *const files[] = {"cmdline", "environ"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		_cleanup_secret_ struct secret content = {0};
		_cleanup_error_ struct error ignored = {0};

		if (file_read_secret(process_dirfd, files[i], PROC_FILE_SIZE_MAX, &content,
				     &ignored) < 0)
			continue;
		for (size_t j = 0; j < inspection->count; j++) {
			const struct inspected *credential = &inspection->credentials[j];

			if (value_is_in(&content, secret_span(&credential->value)) ||
			    value_is_in(&content, secret_span(&credential->stale)))
				return files[i];
		}
	}
	return NULL;
}

/* The cgroup's path in the next line, or NULL after the last one: cgroups(7). */
static const char *cgroup_next(char **lines)
{
	const char *line = strsep(lines, "\n"), *controllers = line ? strchr(line, ':') : NULL;
	const char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	return path ? path + 1 : line;
}

/* The cgroup of the system's manager: that of process 1 above init.scope. "" for the root, and
 * without systemd. The caller frees it. */
static char *manager_cgroup(int proc_dirfd)
{
	static const char scope[] = "/init.scope";
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *groups = NULL;
	char *rest;
	const char *path;

	if (file_read_text(proc_dirfd, "1/cgroup", PROC_FILE_SIZE_MAX, &groups, NULL, &ignored) < 0)
		return strdup("");
	rest = groups;
	while ((path = cgroup_next(&rest))) {
		size_t length = strlen(path);

		if (length >= strlen(scope) && strcmp(path + length - strlen(scope), scope) == 0)
			return strndup(path, length - strlen(scope));
	}
	return strdup("");
}

/* Whether only slices are between the manager's cgroup and the unit's, or one below it. A user's
 * manager and a container are in a service or a scope, and name the cgroups below it as they like.
 */
static bool cgroup_is_of(const char *path, const char *manager, const char *unit)
{
	static const char slice[] = ".slice";

	if (strncmp(path, manager, strlen(manager)) != 0)
		return false;
	path += strlen(manager);
	while (*path == '/') {
		size_t length = strcspn(++path, "/");

		if (length == strlen(unit) && strncmp(path, unit, length) == 0)
			return true;
		if (length < strlen(slice) ||
		    strncmp(path + length - strlen(slice), slice, strlen(slice)) != 0)
			return false;
		path += length;
	}
	return false;
}

/* Whether the process belongs to the unit: its cgroup is the unit's or below it. */
static bool process_is_of(int process_dirfd, const char *manager, const char *unit)
{
	_cleanup_free_ char *groups = NULL;
	_cleanup_error_ struct error ignored = {0};
	char *rest;
	const char *path;

	if (file_read_text(process_dirfd, "cgroup", PROC_FILE_SIZE_MAX, &groups, NULL, &ignored) <
	    0)
		return false;
	rest = groups;
	while ((path = cgroup_next(&rest))) {
		if (cgroup_is_of(path, manager, unit))
			return true;
	}
	return false;
}

void launch_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	const char *unit = inspection->vm->unit;
	_cleanup_close_dir_ DIR *proc = opendir("/proc");
	_cleanup_free_ char *manager = proc ? manager_cgroup(dirfd(proc)) : NULL;
	const struct dirent *entry;
	size_t processes = 0;

	if (!proc || !manager) {
		stage_set(stage, INSPECT_UNSEEN, "/proc cannot be read");
		return;
	}
	while ((entry = readdir(proc))) {
		_cleanup_close_ int process_dirfd = -1;
		const char *leak;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		process_dirfd =
			openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process_dirfd < 0 || !process_is_of(process_dirfd, manager, unit))
			continue;
		processes++;
		leak = process_leak(process_dirfd, inspection);
		if (leak) {
			stage_set(stage, INSPECT_WRONG, "process %s of %s has a secret in its %s",
				  entry->d_name, unit, leak);
			return;
		}
	}
	if (processes == 0)
		stage_set(stage, INSPECT_UNSEEN, "%s is not running", unit);
	else
		stage_set(stage, INSPECT_SEEN,
			  "%s is running, %zu process%s, no secret in cmdline or environ", unit,
			  processes, processes == 1 ? "" : "es");
}
