/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/secret_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"

void secret_state_destroy(struct secret_state *state)
{
	if (state->dirfd >= 0)
		close(state->dirfd);
	free(state->path);
	free(state->astray);
	sops_document_destroy(&state->document);
	access_destroy(&state->is);
	access_destroy(&state->wanted);
	access_keys_destroy(&state->keys);
}

int secret_state_open(int store_dirfd, const struct vars_location *location, bool make,
		      struct secret_state *state, struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	char *slash;

	state->path = vars_location_path(location);
	folder = state->path ? strdup(state->path) : NULL;
	slash = folder ? strrchr(folder, '/') : NULL;
	if (!slash)
		return error_no_memory(err);
	*slash = '\0';
	if (make) {
		state->dirfd = dir_make(store_dirfd, folder, 0755, err);
		return state->dirfd < 0 ? state->dirfd : 0;
	}
	state->dirfd = beneath_open(store_dirfd, folder, O_RDONLY | O_DIRECTORY);
	if (state->dirfd < 0 && errno == ENOENT)
		return error_set(err, VMCRED_MISSING, "there is no %s", state->path);
	if (state->dirfd < 0)
		beneath_error(err, errno, "opening", folder);
	if (state->dirfd < 0 && errno == ENOTDIR)
		error_hint(err, "a file is where a folder has to be: move it away");
	return state->dirfd < 0 ? -(int)err->code : 0;
}

int secret_state_document_read(struct secret_state *state, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = file_read_secret(state->dirfd, "secret", VARS_DOCUMENT_SIZE_MAX, &text, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return error_set(err, VMCRED_MISSING, "there is no %s", state->path);
	}
	if (r < 0)
		return error_wrap(err, "%s", state->path);
	return sops_document_read(sops_store_named("binary"), &text, state->path, &state->document,
				  err);
}

/* The machines that the location is for, if it is deployed. `own` is room for the only one. */
static char *const *location_machines(const struct config *config,
				      const struct vars_location *location, char *own[2])
{
	if (!location->generator || !location->file->deploy)
		return NULL;
	if (!location->machine)
		return config_generator_machines(config, location->generator);
	own[0] = (char *)location->machine; /* read, and no more */
	own[1] = NULL;
	return own;
}

static int access_want(const struct config *config, struct roster *roster,
		       const struct vars_location *location, const char *writer,
		       struct secret_state *state, struct error *err)
{
	_cleanup_access_ struct access declared = {0};
	char *own[2];
	int r;

	/* What no generator makes and no machine is set up with is for whom it was given to. */
	if (!location->generator && !location->machine)
		r = access_keep(&state->is, VARS_MACHINE, roster, &state->wanted, err);
	else
		r = access_declared(config, roster, location_machines(config, location, own),
				    writer, &declared, err);
	for (int kind = 0; r == 0 && kind < VARS_MEMBER_TYPES; kind++)
		r = access_keep(&declared, (enum vars_member_type)kind, roster, &state->wanted,
				err);
	/* Users and groups that it was given to besides. Machines are the declaration's alone. */
	if (r == 0)
		r = access_keep(&state->is, VARS_USER, roster, &state->wanted, err);
	return r < 0 ? r : access_keep(&state->is, VARS_GROUP, roster, &state->wanted, err);
}

int secret_state_readers_find(const struct config *config, struct roster *roster,
			      const struct vars_location *location, const char *writer,
			      struct secret_state *state, struct error *err)
{
	int r = access_read(state->dirfd, &state->is, err);

	if (r < 0)
		error_wrap(err, "who may read %s", state->path);
	if (r == 0)
		r = access_want(config, roster, location, writer, state, err);
	if (r == 0)
		r = access_links_check(state->dirfd, store_up(location), &state->is, &state->wanted,
				       &state->astray, err);
	return r < 0 ? r : access_keys(&state->wanted, roster, &state->keys, err);
}

/* A key, to be sorted. */
struct sorted_key {
	const struct sops_key *key;
};

static int key_compare(const void *a, const void *b)
{
	return sops_key_compare(((const struct sorted_key *)a)->key,
				((const struct sorted_key *)b)->key);
}

/* Adds the keys of the types that are used here, and counts them. */
static size_t keys_gather(const struct sops_key_group *group, struct sorted_key *keys)
{
	size_t count = 0;

	for (size_t i = 0; i < group->count; i++) {
		if (sops_key_type_is_supported(group->keys[i].type))
			keys[count++].key = &group->keys[i];
	}
	return count;
}

static size_t keys_count(const struct sops_policy *policy)
{
	size_t count = 0;

	for (size_t i = 0; i < policy->group_count; i++)
		count += policy->groups[i].count;
	return count;
}

/* How many of the sorted keys `a` are not among `b`; a key that is there twice counts once. */
static size_t keys_lacking(const struct sorted_key *a, size_t a_count, const struct sorted_key *b,
			   size_t b_count)
{
	size_t lacking = 0, j = 0;

	for (size_t i = 0; i < a_count; i++) {
		if (i > 0 && key_compare(&a[i - 1], &a[i]) == 0)
			continue;
		while (j < b_count && key_compare(&b[j], &a[i]) < 0)
			j++;
		lacking += j == b_count || key_compare(&b[j], &a[i]) != 0;
	}
	return lacking;
}

int secret_state_compare(const struct secret_state *state, struct secret_difference *difference,
			 struct error *err)
{
	const struct sops_policy *policy = sops_document_policy(state->document);
	_cleanup_free_ struct sorted_key *there = calloc(keys_count(policy) + 1, sizeof(*there));
	_cleanup_free_ struct sorted_key *wanted = calloc(state->keys.count + 1, sizeof(*wanted));
	size_t there_count = 0, wanted_count;

	if (!there || !wanted)
		return error_no_memory(err);
	for (size_t i = 0; i < policy->group_count; i++)
		there_count += keys_gather(&policy->groups[i], there + there_count);
	wanted_count = keys_gather(&state->keys, wanted);
	qsort(there, there_count, sizeof(*there), key_compare);
	qsort(wanted, wanted_count, sizeof(*wanted), key_compare);
	difference->lacking = keys_lacking(wanted, wanted_count, there, there_count);
	difference->excess = keys_lacking(there, there_count, wanted, wanted_count);
	difference->astray = state->astray;
	difference->links = state->astray || !access_equal(&state->is, &state->wanted);
	/* With several groups of keys, each holds a share, and nobody opens it alone. */
	if (policy->group_count > 1)
		difference->lacking = wanted_count;
	return 0;
}

bool secret_difference_is_some(const struct secret_difference *difference)
{
	return difference->lacking > 0 || difference->excess > 0 || difference->links;
}

static char *links_text(const char *astray)
{
	char *text = NULL;

	if (!astray)
		return strdup("links only");
	return asprintf(&text, "links only: %s leads elsewhere", astray) < 0 ? NULL : text;
}

char *secret_difference_text(const struct secret_difference *difference)
{
	char *text = NULL;

	if (difference->lacking == 0 && difference->excess == 0)
		return links_text(difference->astray);
	if (asprintf(&text, "%zu recipient%s to add, %zu to remove", difference->lacking,
		     difference->lacking == 1 ? "" : "s", difference->excess) < 0)
		return NULL;
	return text;
}
