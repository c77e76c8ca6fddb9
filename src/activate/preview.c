/* SPDX-License-Identifier: Apache-2.0 */
/* What an activation would change. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "activate/activation.h"
#include "base/cleanup.h"
#include "base/trusted/trusted.h"

/* Lists what differs from the current generation, links aside. */
static int changes_list(const struct activation *activation, struct activate_result *result,
			struct error *err)
{
	const struct activation_record *previous = &activation->previous;
	int r = 0;

	for (size_t i = 0; r == 0 && i < activation->secret_count; i++) {
		const struct generation_file *file = &activation->files.items[i];

		if (file->changed)
			r = strings_add(
				&result->changes[file->exists ? ACTIVATE_MODIFIED : ACTIVATE_ADDED],
				result->record.secrets[i].name, err);
	}
	for (size_t i = 0; r == 0 && i < previous->secret_count; i++) {
		if (!activation_record_secret_find(&result->record, previous->secrets[i].name))
			r = strings_add(&result->changes[ACTIVATE_REMOVED],
					previous->secrets[i].name, err);
	}
	for (size_t i = 0; r == 0 && i < ACTIVATE_CHANGES; i++) {
		if (result->changes[i].count > 0)
			qsort(result->changes[i].items, result->changes[i].count, sizeof(char *),
			      texts_compare);
	}
	return r;
}

/* Opens what exists. */
static int place_open(const char *path, struct generation_place *place, struct error *err)
{
	place->link_dirfd = trusted_parent_open(path, 0, &place->link_name, NULL, err);
	if (place->link_dirfd < 0)
		return place->link_dirfd;
	place->dirfd = openat(place->link_dirfd, place->target,
			      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return place->dirfd < 0 && errno != ENOENT
		       ? error_set_errno(err, errno, "opening %s", place->target)
		       : 0;
}

static void place_close(struct generation_place *place)
{
	cleanup_close_fd(&place->dirfd);
	cleanup_close_fd(&place->link_dirfd);
}

int activation_preview(struct activation *activation, const char *path, const char *directory,
		       const struct report *report, struct activate_result *result,
		       struct error *err)
{
	__attribute__((cleanup(place_close))) struct generation_place place = {
		.dirfd = -1, .link_dirfd = -1, .target = directory};
	_cleanup_error_ struct error missing = {0};
	int r = activation_previous_read(activation, report, err), differs = 1;

	if (r < 0)
		return r;
	if (place_open(path, &place, &missing) == 0) {
		activation->generation_before = generation_current(&place);
		r = activation_failures_settle(activation, &place, err);
		if (r < 0)
			return r;
		differs = generation_compare(&place, &activation->files, err);
	} else if (missing.code != VMCRED_MISSING) {
		return error_move(err, &missing);
	} else if (activation_failures_settle(activation, &place, err) < 0) {
		return -(int)err->code;
	}
	if (differs < 0)
		return differs;
	/* Without "/run" there is nothing to compare with. */
	for (size_t i = 0; place.link_dirfd < 0 && i < activation->files.count; i++)
		activation->files.items[i].changed = true;
	result->changed = differs > 0;
	result->generation = activation->generation_before + (result->changed ? 1 : 0);
	result->secret_count = activation->secret_count;
	r = activation_record_make(activation, result->generation, &result->record, err);
	return r < 0 ? r : changes_list(activation, result, err);
}
