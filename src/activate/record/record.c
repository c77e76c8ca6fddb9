/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/record/record.h"

#include "base/array.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void activation_record_release(struct activation_record *record)
{
	for (size_t i = 0; i < record->secret_count; i++)
		free(record->secrets[i].name);
	for (size_t i = 0; i < record->failure_count; i++) {
		free(record->failures[i].name);
		free(record->failures[i].reason);
	}
	for (size_t i = 0; i < record->pending_count; i++)
		free(record->pending[i].unit);
	free(record->machine);
	free(record->secrets);
	free(record->by_name);
	free(record->failures);
	free(record->pending);
	*record = (struct activation_record){0};
}

struct activation_time activation_time_now(void)
{
	struct timespec realtime, monotonic;

	clock_gettime(CLOCK_REALTIME, &realtime);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return (struct activation_time){
		.realtime = realtime.tv_sec,
		.monotonic = (int64_t)monotonic.tv_sec * 1000000 + monotonic.tv_nsec / 1000,
	};
}

int activation_record_secret_add(struct activation_record *record, const char *name,
				 struct activation_time changed, struct error *err)
{
	struct activation_secret *secret;

	if (array_extend(&record->secrets, record->secret_count, sizeof(*secret), err) < 0)
		return -(int)err->code;
	secret = &record->secrets[record->secret_count++];
	*secret = (struct activation_secret){strdup(name), changed};
	return secret->name ? 0 : error_no_memory(err);
}

int activation_record_failure_add(struct activation_record *record, const char *name,
				  const char *reason, struct error *err)
{
	struct activation_failure *failure;

	if (array_extend(&record->failures, record->failure_count, sizeof(*failure), err) < 0)
		return -(int)err->code;
	failure = &record->failures[record->failure_count++];
	*failure = (struct activation_failure){strdup(name), strdup(reason)};
	return failure->name && failure->reason ? 0 : error_no_memory(err);
}

int activation_record_pending_add(struct activation_record *record, const char *unit,
				  enum activation_action action, struct activation_time since,
				  struct error *err)
{
	struct activation_pending *pending;

	for (size_t i = 0; i < record->pending_count; i++) {
		pending = &record->pending[i];
		if (strcmp(pending->unit, unit) != 0)
			continue;
		pending->since = since;
		if (action == ACTIVATION_RESTART)
			pending->action = action;
		return 0;
	}
	if (array_extend(&record->pending, record->pending_count, sizeof(*pending), err) < 0)
		return -(int)err->code;
	pending = &record->pending[record->pending_count++];
	*pending = (struct activation_pending){strdup(unit), action, since, false};
	return pending->unit ? 0 : error_no_memory(err);
}

int activation_record_sort(struct activation_record *record, struct error *err)
{
	record->by_name = calloc(record->secret_count + 1, sizeof(*record->by_name));
	if (!record->by_name)
		return error_no_memory(err);
	for (size_t i = 0; i < record->secret_count; i++)
		record->by_name[i] = (struct config_name){record->secrets[i].name, i};
	qsort(record->by_name, record->secret_count, sizeof(*record->by_name), texts_compare);
	return 0;
}

void activation_record_pending_remove(struct activation_record *record, size_t index)
{
	free(record->pending[index].unit);
	record->pending_count--;
	memmove(&record->pending[index], &record->pending[index + 1],
		(record->pending_count - index) * sizeof(*record->pending));
}

bool activation_pending_is_done(const struct activation_pending *pending, const char *active_state,
				bool has_job, int64_t started_us)
{
	const bool has_failed = strcmp(active_state, "failed") == 0;

	if (!*active_state)
		return false;
	/* Between the two halves of a restart it is inactive, too. */
	if (strcmp(active_state, "inactive") == 0)
		return !has_job;
	/* A unit that failed by itself is not ours to start; one that failed after our restart is.
	 */
	if (has_failed && !pending->attempted)
		return true;
	if (pending->attempted && (has_failed || strcmp(active_state, "activating") == 0))
		return false;
	return started_us >= pending->since.monotonic;
}

const struct activation_secret *activation_record_secret_find(
	const struct activation_record *record, const char *name)
{
	const struct config_name key = {.name = name};
	const struct config_name *found =
		record->by_name ? bsearch(&key, record->by_name, record->secret_count,
					  sizeof(*record->by_name), texts_compare)
				: NULL;

	return found ? &record->secrets[found->index] : NULL;
}

const struct activation_pending *activation_record_pending_find(
	const struct activation_record *record, const char *unit)
{
	for (size_t i = 0; i < record->pending_count; i++) {
		if (strcmp(record->pending[i].unit, unit) == 0)
			return &record->pending[i];
	}
	return NULL;
}
