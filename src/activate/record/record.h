/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the last activation of a phase did, and the units that have not loaded its result yet:
 *
 *     <root>/run/vmcred/activation/<phase>.json
 *
 * Everybody can read it: it contains names and times, never a value or a digest of one. It is
 * replaced atomically, and disappears with the secrets at a reboot. Times are also monotonic, to
 * be compared with systemd's properties such as InactiveExitTimestampMonotonic.
 *
 * A record is trusted if only root and this process's user could write it.
 */
#ifndef VMCRED_ACTIVATE_RECORD_RECORD_H
#define VMCRED_ACTIVATE_RECORD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"

struct activation_time {
	int64_t realtime;  /* seconds, for people */
	int64_t monotonic; /* microseconds */
};

/* A secret GENERATOR/FILE of the current generation. */
struct activation_secret {
	char *name;                     /* owned */
	struct activation_time changed; /* when its value last changed */
};

/* A secret that could not be activated. */
struct activation_failure {
	char *name;   /* owned; GENERATOR/FILE */
	char *reason; /* owned; one line */
};

/* Restarting also reloads. */
enum activation_action {
	ACTIVATION_RELOAD,
	ACTIVATION_RESTART,
};

/* A unit that may still use old values. */
struct activation_pending {
	char *unit; /* owned */
	enum activation_action action;
	struct activation_time since; /* what starts later has the new values */
	bool attempted;               /* vmcred asked systemd to restart it, at any time */
};

/* Starts as {0}. */
struct activation_record {
	char *machine; /* owned */
	enum config_needed_for phase;
	unsigned generation;
	struct activation_time activated;  /* the last time, whether anything changed or not */
	struct activation_secret *secrets; /* owned, as are the others */
	size_t secret_count;
	struct config_name *by_name; /* sorted; of a record that was read */
	struct activation_failure *failures;
	size_t failure_count;
	struct activation_pending *pending;
	size_t pending_count;
};

#define _cleanup_activation_record_ __attribute__((cleanup(activation_record_release)))

void activation_record_release(struct activation_record *record);

struct activation_time activation_time_now(void);

/* Sorts the secrets for activation_record_secret_find(); none is added after it. */
int activation_record_sort(struct activation_record *record, struct error *err);

/* These copy the names. A unit that is already pending gets the new time, and is restarted if
 * either time asks for that. */
int activation_record_secret_add(struct activation_record *record, const char *name,
				 struct activation_time changed, struct error *err);
int activation_record_failure_add(struct activation_record *record, const char *name,
				  const char *reason, struct error *err);
int activation_record_pending_add(struct activation_record *record, const char *unit,
				  enum activation_action action, struct activation_time since,
				  struct error *err);

void activation_record_pending_remove(struct activation_record *record, size_t index);

/*
 * Whether the unit needs nothing more: it started after the change, or does not run. A unit that
 * vmcred asked systemd to restart must also have become active. `active_state` is systemd's
 * ActiveState, "" if unknown, `has_job` whether there is a Job, and `started_us` is
 * InactiveExitTimestampMonotonic.
 */
bool activation_pending_is_done(const struct activation_pending *pending, const char *active_state,
				bool has_job, int64_t started_us);

/* The entry of that name in a record that was read, or NULL. */
const struct activation_secret *activation_record_secret_find(
	const struct activation_record *record, const char *name);
const struct activation_pending *activation_record_pending_find(
	const struct activation_record *record, const char *unit);

/* The name of an action in the record: "restart" or "reload". */
const char *activation_action_name(enum activation_action action);

/*
 * Reads the record of a phase below `root` (NULL: "/"). Needs no privilege and no lock.
 * VMCRED_MISSING: the phase was not activated since the boot. VMCRED_FAILED: it is invalid, or
 * another user could have written it. The caller releases `*record` in any case.
 */
int activation_record_read(const char *root, enum config_needed_for phase,
			   struct activation_record *record, struct error *err);

/*
 * Opens the directory of the records below `root` (NULL: "/") for writing, creating it. Returns its
 * descriptor. From reading a record to writing it, the caller locks the directory (base/lock.h).
 */
int activation_record_directory_open(const char *root, struct error *err);

/* Replaces the record of its phase. */
int activation_record_write(int dirfd, const struct activation_record *record, struct error *err);

#endif
