/* SPDX-License-Identifier: Apache-2.0 */
/* The record as a file: a JSON object. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "activate/record/record.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/text.h"
#include "base/trusted/trusted.h"

#define RECORDS "run/vmcred/activation"

/* That of the declaration, whose names it contains. */
#define RECORD_SIZE_MAX ((size_t)64 * 1024 * 1024)

#define DIRECTORY_MODE 0755
#define RECORD_MODE    0644

static const char *const action_names[] = {
	[ACTIVATION_RELOAD] = "reload",
	[ACTIVATION_RESTART] = "restart",
};

const char *activation_action_name(enum activation_action action)
{
	return action_names[action];
}

static json_t *time_json(const struct activation_time *time)
{
	return json_pack("{s:I, s:I}", "realtime", (json_int_t)time->realtime, "monotonic",
			 (json_int_t)time->monotonic);
}

static json_t *pending_json(const struct activation_pending *pending)
{
	return json_pack("{s:s, s:o, s:b}", "action", action_names[pending->action], "since",
			 time_json(&pending->since), "attempted", pending->attempted);
}

/* NULL without memory. */
static json_t *record_json(const struct activation_record *record)
{
	json_t *secrets = json_object(), *failed = json_object(), *pending = json_object();
	bool out_of_memory = !secrets || !failed || !pending;

	for (size_t i = 0; !out_of_memory && i < record->secret_count; i++)
		out_of_memory = json_object_set_new(secrets, record->secrets[i].name,
						    time_json(&record->secrets[i].changed)) < 0;
	for (size_t i = 0; !out_of_memory && i < record->failure_count; i++)
		out_of_memory = json_object_set_new(failed, record->failures[i].name,
						    json_string(record->failures[i].reason)) < 0;
	for (size_t i = 0; !out_of_memory && i < record->pending_count; i++)
		out_of_memory = json_object_set_new(pending, record->pending[i].unit,
						    pending_json(&record->pending[i])) < 0;
	if (out_of_memory) {
		json_decref(secrets);
		json_decref(failed);
		json_decref(pending);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "machine", record->machine, "phase",
			 config_phase_get(record->phase)->name, "generation",
			 (json_int_t)record->generation, "activated", time_json(&record->activated),
			 "secrets", secrets, "failed", failed, "pending", pending);
}

/* The readers return 0, 1 for an invalid value, or a negative code. */

static int time_read(const json_t *value, struct activation_time *time)
{
	const json_t *realtime = json_object_get(value, "realtime");
	const json_t *monotonic = json_object_get(value, "monotonic");

	if (!json_is_integer(realtime) || !json_is_integer(monotonic))
		return 1;
	*time = (struct activation_time){json_integer_value(realtime),
					 json_integer_value(monotonic)};
	return 0;
}

static int secret_read_time(struct activation_record *record, const char *name, const json_t *value,
			    struct error *err)
{
	struct activation_time changed;

	if (time_read(value, &changed) != 0)
		return 1;
	return activation_record_secret_add(record, name, changed, err);
}

static int failure_read(struct activation_record *record, const char *name, const json_t *value,
			struct error *err)
{
	if (!json_is_string(value))
		return 1;
	return activation_record_failure_add(record, name, json_string_value(value), err);
}

static int pending_read(struct activation_record *record, const char *unit, const json_t *value,
			struct error *err)
{
	const char *action = json_string_value(json_object_get(value, "action"));
	struct activation_time since;
	enum activation_action known;
	int r;

	/* It becomes an argument of systemctl. */
	if (!config_is_unit(unit, "") || !action ||
	    time_read(json_object_get(value, "since"), &since) != 0)
		return 1;
	known = strcmp(action, action_names[ACTIVATION_RESTART]) == 0 ? ACTIVATION_RESTART
								      : ACTIVATION_RELOAD;
	if (strcmp(action, action_names[known]) != 0)
		return 1;
	r = activation_record_pending_add(record, unit, known, since, err);
	if (r == 0)
		record->pending[record->pending_count - 1].attempted =
			json_is_true(json_object_get(value, "attempted"));
	return r;
}

static int members_read(struct activation_record *record, json_t *members,
			int (*read_one)(struct activation_record *record, const char *name,
					const json_t *value, struct error *err),
			struct error *err)
{
	const char *name;
	json_t *value;
	int r = json_is_object(members) ? 0 : 1;

	json_object_foreach(members, name, value)
	{
		if (r == 0)
			r = read_one(record, name, value, err);
	}
	return r;
}

static int record_parse(struct activation_record *record, const json_t *value, struct error *err)
{
	const char *machine = json_string_value(json_object_get(value, "machine"));
	const char *phase = json_string_value(json_object_get(value, "phase"));
	const json_t *generation = json_object_get(value, "generation");
	int r;

	if (!machine || !phase || strcmp(phase, config_phase_get(record->phase)->name) != 0 ||
	    !json_is_integer(generation) || json_integer_value(generation) < 0 ||
	    json_integer_value(generation) > UINT32_MAX ||
	    time_read(json_object_get(value, "activated"), &record->activated) != 0)
		return 1;
	record->generation = (unsigned)json_integer_value(generation);
	record->machine = strdup(machine);
	if (!record->machine)
		return error_no_memory(err);
	r = members_read(record, json_object_get(value, "secrets"), secret_read_time, err);
	if (r == 0)
		r = members_read(record, json_object_get(value, "failed"), failure_read, err);
	if (r == 0)
		r = members_read(record, json_object_get(value, "pending"), pending_read, err);
	return r;
}

/* The file must belong to a trusted user too: a directory with the sticky bit may be everybody's.
 */
static int record_open(int dirfd, const char *name, const char *path, struct error *err)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "opening %s", path);
	if (!S_ISREG(status.st_mode) || !trusted_user_is_ours(status.st_uid) ||
	    (status.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(err, VMCRED_FAILED, "opening %s: other users can change it", path);
	return fd_release(&fd);
}

int activation_record_read(const char *root, enum config_needed_for phase,
			   struct activation_record *record, struct error *err)
{
	_cleanup_free_ char *directory = path_join(root ? root : "/", RECORDS);
	_cleanup_free_ char *name = text_format("%s.json", config_phase_get(phase)->name);
	_cleanup_free_ char *path = directory && name ? path_join(directory, name) : NULL;
	_cleanup_secret_ struct secret text = {0};
	_cleanup_json_ json_t *value = NULL;
	_cleanup_close_ int dirfd = -1, fd = -1;
	int r;

	*record = (struct activation_record){.phase = phase};
	if (!path)
		return error_no_memory(err);
	dirfd = trusted_directory_open(directory, err);
	if (dirfd < 0)
		return dirfd;
	fd = record_open(dirfd, name, path, err);
	if (fd < 0)
		return fd;
	r = secret_read(&text, fd, RECORD_SIZE_MAX, path, err);
	if (r == 0)
		r = json_parse(secret_span(&text), path, &value, err);
	if (r == 0)
		r = record_parse(record, value, err);
	if (r == 0)
		r = activation_record_sort(record, err);
	return r > 0 ? error_set(err, VMCRED_FAILED, "%s is not a record of an activation", path)
		     : r;
}

/* Independent of the umask. */
static int public_directory_make(int parent_dirfd, const char *name, struct error *err)
{
	_cleanup_close_ int fd = dir_make(parent_dirfd, name, DIRECTORY_MODE, err);
	struct stat status;

	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0 ||
	    ((status.st_mode & 07777) != DIRECTORY_MODE && fchmod(fd, DIRECTORY_MODE) < 0))
		return error_set_errno(err, errno, "setting the mode of %s", name);
	return fd_release(&fd);
}

int activation_record_directory_open(const char *root, struct error *err)
{
	_cleanup_free_ char *path = path_join(root ? root : "/", RECORDS);
	_cleanup_close_ int run_dirfd = -1, dirfd = -1;
	const char *name;

	if (!path)
		return error_no_memory(err);
	/* "<root>/run", which may be another user's; see trusted_parent_open(). */
	*strrchr(path, '/') = '\0';
	run_dirfd = trusted_parent_open(path, DIRECTORY_MODE, &name, NULL, err);
	if (run_dirfd < 0)
		return run_dirfd;
	dirfd = public_directory_make(run_dirfd, name, err);
	return dirfd < 0 ? dirfd : public_directory_make(dirfd, strrchr(RECORDS, '/') + 1, err);
}

int activation_record_write(int dirfd, const struct activation_record *record, struct error *err)
{
	_cleanup_free_ char *name = text_format("%s.json", config_phase_get(record->phase)->name);
	_cleanup_json_ json_t *value = record_json(record);
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (!name || !value)
		return error_no_memory(err);
	r = dir_remove_temporaries(dirfd, name, false, err);
	if (r == 0)
		r = json_append_value(&text, value, JSON_INDENT(2), err);
	if (r == 0)
		r = secret_append(&text, span_of("\n", 1), err);
	if (r == 0)
		r = file_replace(dirfd, name, secret_span(&text), RECORD_MODE, err);
	return r < 0 ? error_wrap(err, "writing the activation record") : 0;
}
