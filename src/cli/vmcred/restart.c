/* SPDX-License-Identifier: Apache-2.0 */
/* Restarting the units that use old values, and finding out which still do. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activate/record/record.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/program.h"
#include "cli/vmcred/commands.h"
#include "inspect/inspect.h"

int cli_systemctl(const char *verb, bool waits, const struct strings *units, struct error *err)
{
	_cleanup_strings_ struct strings argv = {0};
	/* Its output must not be part of ours. */
	struct program program = {.file = "systemctl",
				  .fds = {STDIN_FILENO, STDERR_FILENO, STDERR_FILENO}};
	int r;

	if (units && units->count == 0)
		return 0;
	r = strings_add(&argv, program.file, err);
	if (r == 0 && !waits)
		r = strings_add(&argv, "--no-block", err);
	if (r == 0)
		r = strings_add(&argv, verb, err);
	if (r == 0 && units)
		r = strings_add_all(&argv, units->items, err);
	if (r < 0)
		return r;
	program.argv = argv.items;
	return program_run(&program, program.file, err) < 0 ? error_wrap(err, "%s", verb) : 0;
}

/* The record on disk, locked to change it. */
struct pending {
	struct activation_record *record; /* borrowed */
	int dirfd;                        /* owned */
	struct lock lock;
};

#define _cleanup_pending_ __attribute__((cleanup(pending_close)))

static void pending_close(struct pending *pending)
{
	lock_release(&pending->lock);
	cleanup_close_fd(&pending->dirfd);
}

/* Reads the record of a phase again. If it was not activated, there is nothing pending. */
static int pending_open(struct pending *pending, struct activation_record *record,
			struct error *err)
{
	const enum config_needed_for phase = record->phase;
	_cleanup_error_ struct error missing = {0};
	int r;

	*pending = (struct pending){.record = record, .lock = LOCK_NONE};
	pending->dirfd = activation_record_directory_open(NULL, err);
	if (pending->dirfd < 0)
		return pending->dirfd;
	r = lock_take(&pending->lock, pending->dirfd, true, "the activation records", err);
	if (r < 0)
		return r;
	activation_record_release(record);
	r = activation_record_read(NULL, phase, record, &missing);
	return r < 0 && r != -(int)VMCRED_MISSING ? error_move(err, &missing) : 0;
}

/* Removes the units that need nothing more. `states`, which may be NULL, gets the state of the
 * others; the caller frees it. */
static int record_settle(struct activation_record *record, struct inspect_unit **states,
			 struct error *err)
{
	const size_t count = record->pending_count;
	_cleanup_free_ struct inspect_unit *units = calloc(count + 1, sizeof(*units));
	_cleanup_strings_ struct strings names = {0};
	size_t left = 0;
	int r = units ? 0 : error_no_memory(err);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = strings_add(&names, record->pending[i].unit, err);
	if (r == 0)
		r = units_read((const char *const *)names.items, count, units, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		units[left] = units[i];
		if (activation_pending_is_done(&record->pending[left], units[left].active,
					       units[left].has_job, units[left].started_us))
			activation_record_pending_remove(record, left);
		else
			left++;
	}
	if (r == 0 && states)
		*states = pointer_release(&units);
	return r;
}

int cli_pending_look(struct activation_record *record, bool dry, struct error *err)
{
	_cleanup_pending_ struct pending pending = {.dirfd = -1, .lock = LOCK_NONE};
	_cleanup_error_ struct error unknown = {0};
	const size_t count = record->pending_count;
	int r;

	if (dry)
		(void)record_settle(record, NULL, &unknown);
	if (dry || count == 0)
		return 0;
	r = pending_open(&pending, record, err);
	if (r < 0 || record_settle(record, NULL, &unknown) < 0 || record->pending_count == count)
		return r;
	return activation_record_write(pending.dirfd, record, err);
}

/* What systemctl is called with. */
struct requests {
	struct strings restart; /* those that run */
	struct strings start;   /* those that a former restart stopped */
	struct strings reload;
};

static void requests_release(struct requests *requests)
{
	strings_destroy(&requests->restart);
	strings_destroy(&requests->start);
	strings_destroy(&requests->reload);
}

/* Whether a former request will still give it the new values. */
static bool is_underway(const struct activation_pending *pending, const struct inspect_unit *unit)
{
	return pending->attempted && (strcmp(unit->active, "deactivating") == 0 ||
				      strcmp(unit->active, "inactive") == 0 ||
				      (strcmp(unit->active, "activating") == 0 &&
				       unit->started_us >= pending->since.monotonic));
}

static int requests_choose(struct activation_record *record, const struct inspect_unit *units,
			   bool waits, struct requests *requests, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < record->pending_count; i++) {
		struct activation_pending *pending = &record->pending[i];
		const bool is_started = is_underway(pending, &units[i]);

		if (pending->action == ACTIVATION_RELOAD) {
			r = strings_add(&requests->reload, pending->unit, err);
			continue;
		}
		if (is_started && !waits)
			continue;
		/* To start what is starting is to wait for it. */
		r = strings_add(is_started || strcmp(units[i].active, "failed") == 0
					? &requests->start
					: &requests->restart,
				pending->unit, err);
		pending->attempted = true;
	}
	return r;
}

/* Reads the record, chooses what to do, and remembers that it is attempted. */
static int requests_begin(struct activation_record *record, bool waits, struct requests *requests,
			  struct error *err)
{
	_cleanup_pending_ struct pending pending = {.dirfd = -1, .lock = LOCK_NONE};
	_cleanup_free_ struct inspect_unit *units = NULL;
	int r = pending_open(&pending, record, err);

	if (r == 0)
		r = record_settle(record, &units, err);
	if (r == 0)
		r = requests_choose(record, units, waits, requests, err);
	return r < 0 || !record->machine ? r : activation_record_write(pending.dirfd, record, err);
}

/* Reloads units one by one: systemd does not say which of several failed. */
static int units_reload(const struct strings *units, bool waits, struct strings *reloaded,
			struct error *failed, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < units->count; i++) {
		_cleanup_strings_ struct strings unit = {0};

		r = strings_add(&unit, units->items[i], err);
		if (r == 0 && cli_systemctl("try-reload-or-restart", waits, &unit, failed) == 0)
			r = strings_add(reloaded, units->items[i], err);
	}
	return r;
}

/* Reads the record again, and removes what is done. The locks were released, because a unit may
 * need an activation to start: so secrets may have changed again. */
static int requests_end(const struct activation_record *before, struct activation_record *record,
			const struct strings *reloaded, struct error *err)
{
	_cleanup_pending_ struct pending pending = {.dirfd = -1, .lock = LOCK_NONE};
	int r = pending_open(&pending, record, err);

	if (r == 0)
		r = record_settle(record, NULL, err);
	for (size_t i = 0; r == 0 && i < before->pending_count; i++) {
		const struct activation_pending *old = &before->pending[i];
		const struct activation_pending *now =
			activation_record_pending_find(record, old->unit);

		if (now && now->action == ACTIVATION_RELOAD &&
		    now->since.monotonic == old->since.monotonic &&
		    strings_contain(reloaded, old->unit))
			activation_record_pending_remove(record, (size_t)(now - record->pending));
	}
	return r < 0 || !record->machine ? r : activation_record_write(pending.dirfd, record, err);
}

void cli_restarted_release(struct cli_restarted *result)
{
	strings_destroy(&result->restarted);
	strings_destroy(&result->reloaded);
	strings_destroy(&result->failed);
}

/* Adds the units that are done, or with `is_request` all. */
static int done_add(struct strings *done, const struct strings *units, bool is_request,
		    const struct activation_record *record, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < units->count; i++) {
		if (is_request || !activation_record_pending_find(record, units->items[i]))
			r = strings_add(done, units->items[i], err);
	}
	return r;
}

int cli_pending_restart(struct activation_record *record, bool waits, struct cli_restarted *result,
			struct error *err)
{
	__attribute__((cleanup(requests_release))) struct requests requests = {0};
	_cleanup_activation_record_ struct activation_record before = {.phase = record->phase};
	_cleanup_strings_ struct strings reloaded = {0};
	_cleanup_error_ struct error failed = {0};
	int r = requests_begin(&before, waits, &requests, err);

	/* Units that do not run are not started, unless a former restart stopped them. */
	if (r == 0) {
		(void)cli_systemctl("try-restart", waits, &requests.restart, &failed);
		(void)cli_systemctl("start", waits, &requests.start, &failed);
		r = units_reload(&requests.reload, waits, &reloaded, &failed, err);
	}
	if (r == 0)
		r = requests_end(&before, record, &reloaded, err);
	/* After waiting, the units' states say more than the exit status of systemctl. */
	if (r == 0 && !waits && failed.text)
		r = error_move(err, &failed);
	if (r == 0)
		r = done_add(&result->restarted, &requests.restart, !waits, record, err);
	if (r == 0)
		r = done_add(&result->restarted, &requests.start, !waits, record, err);
	if (r == 0)
		r = done_add(&result->reloaded, &reloaded, !waits, record, err);
	for (size_t i = 0; r == 0 && waits && i < before.pending_count; i++) {
		if (activation_record_pending_find(record, before.pending[i].unit))
			r = strings_add(&result->failed, before.pending[i].unit, err);
	}
	return r < 0 ? error_wrap(err, "restarting units") : 0;
}
