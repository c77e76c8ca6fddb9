/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypting secrets to their readers: the data key is wrapped again for all of them. The value is
 * not touched, unless the secret must be bound to its name. If a run is killed, `check` shows what
 * is left and the next run does it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/pool.h"
#include "vars/check/fixing.h"

/* A removal plans, prepares and writes all files; other runs do it at once. */
#define REMOVAL_STEPS 3

/* Its number in the batch, which names its document in the staging directory. */
#define STAGED_NAME_SIZE 24

/* The document for the correct readers; keys of unsupported types remain. */
static int document_rewrite(const struct fixing *fixing, const struct stored_secret *stored,
			    struct secret *document, struct error *err)
{
	const struct sops_policy *before = sops_document_policy(stored->document);
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	struct sops_key_group *group = sops_policy_group_add(&policy, err);
	int r = group ? 0 : -(int)err->code;

	for (size_t i = 0; r == 0 && i < stored->keys.count; i++)
		r = sops_key_group_add(group, stored->keys.keys[i].type,
				       span_of_text(stored->keys.keys[i].text), err);
	for (size_t i = 0; before->group_count == 1 && i < before->groups[0].count; i++) {
		const struct sops_key *key = &before->groups[0].keys[i];

		if (r == 0 && !sops_key_type_is_supported(key->type))
			r = sops_key_group_add(group, key->type, span_of_text(key->text), err);
	}
	if (r == 0)
		r = sops_document_keys_update(stored->document, &policy, 0, &fixing->opener.keyring,
					      err);
	return r < 0 ? r
		     : sops_document_write(stored->document, sops_store_named("binary"), NULL,
					   document, err);
}

/*
 * Many secrets are synced together, in the order of secret_write(): new links and staged documents,
 * a sync, the documents moved into place, a sync, old links removed.
 */
static int secret_stage(const struct fixing *fixing, size_t index, const char *up,
			struct span document, struct error *err)
{
	struct change *change = &fixing->changes[index];
	const struct stored_secret *stored = &change->stored;
	char name[STAGED_NAME_SIZE];
	int r = links_add(stored->dirfd, up, &stored->correct,
			  stored->wrong_link ? NULL : &stored->actual, false, err);

	snprintf(name, sizeof(name), "%zu", index);
	if (r == 0 && document.size > 0)
		r = file_write_unsynced(fixing->staging_dirfd, name, document, 0644, err);
	change->is_staged = r == 0 && document.size > 0;
	return r < 0 ? error_wrap(err, "%s", stored->path) : 0;
}

/* Makes the new document, or in a dry run only finds out whether the old one can be opened. */
static int secret_prepare(const struct fixing *fixing, struct change *change,
			  struct secret *document, struct error *err)
{
	const struct stored_secret *stored = &change->stored;
	struct span value;
	int r = 0;

	if (change->bind)
		r = sops_binary_bind(stored->document, stored->path, &fixing->opener.keyring, err);
	/* Somebody who can read it will bind it. */
	if (r == -(int)VMCRED_MISSING && change->only_bind) {
		error_clear(err);
		change->what = CHANGE_NOTHING;
		return 0;
	}
	if (r < 0 || change->what != CHANGE_DOCUMENT)
		return r;
	if (!fixing->options->dry_run)
		r = document_rewrite(fixing, stored, document, err);
	/* New readers must not get another secret that was copied here. */
	return r < 0 ? r
		     : sops_binary_open(stored->document, stored->path, &fixing->opener.keyring,
					&value, err);
}

/* Until all documents of a removal are prepared. */
static int document_keep(const struct secret *document, struct change *change, struct error *err)
{
	const struct span text = secret_span(document);

	change->document = malloc(text.size + 1);
	if (!change->document)
		return error_no_memory(err);
	memcpy(change->document, text.data, text.size);
	change->document_size = text.size;
	return 0;
}

static int secret_fix(const struct fixing *fixing, size_t index, struct error *err)
{
	const struct vars_location *location = &fixing->locations[index];
	struct change *change = &fixing->changes[index];
	struct stored_secret *stored = &change->stored;
	_cleanup_secret_ struct secret document = {0};
	struct span text;
	int r = fixing->prepares
			? secret_load(fixing, location, stored, err)
			: stored_secret_open(fixing->store_dirfd, location, false, stored, err);

	if (r == 0 && fixing->prepares)
		r = secret_prepare(fixing, change, &document, err);
	if (r == 0 && !fixing->writes && document.size > 0)
		r = document_keep(&document, change, err);
	if (r < 0 || !fixing->writes || change->what == CHANGE_NOTHING)
		return r;
	text = fixing->prepares ? secret_span(&document)
				: span_of(change->document, change->document_size);
	return fixing->is_together
		       ? secret_stage(fixing, index, store_links_up(location), text, err)
		       : secret_write(fixing->store_dirfd, stored->dirfd, stored->path,
				      store_links_up(location), &stored->correct, text, err);
}

static void file_fix(void *context, size_t index)
{
	struct fixing *fixing = context;
	struct change *change = &fixing->changes[index];

	if (change->what == CHANGE_NOTHING || change->err.text)
		return;
	(void)secret_fix(fixing, index, &change->err);
	stored_secret_close(&change->stored);
	/* Not by several threads: opener_run(). */
	if (change->what == CHANGE_DOCUMENT && !change->err.text && !fixing->opener.is_open)
		fixing->opener.is_open = true;
}

static void files_watch(void *context, size_t done)
{
	const struct fixing *fixing = context;

	report_progress(fixing->report, fixing->done + done, fixing->total);
}

static void staged_place(void *context, size_t index)
{
	const struct fixing *fixing = context;
	struct change *change = &fixing->changes[index];
	struct stored_secret *stored = &change->stored;
	char name[STAGED_NAME_SIZE];

	if (!change->is_staged)
		return;
	snprintf(name, sizeof(name), "%zu", index);
	if (stored_secret_open(fixing->store_dirfd, &fixing->locations[index], false, stored,
			       &change->err) == 0 &&
	    renameat(fixing->staging_dirfd, name, stored->dirfd, "secret") < 0)
		error_set_errno(&change->err, errno, "replacing %s", stored->path);
	stored_secret_close(stored);
}

static void old_links_remove(void *context, size_t index)
{
	const struct fixing *fixing = context;
	struct change *change = &fixing->changes[index];
	struct stored_secret *stored = &change->stored;

	if (change->what == CHANGE_NOTHING || change->err.text ||
	    readers_are_within(&stored->actual, &stored->correct))
		return;
	if (stored_secret_open(fixing->store_dirfd, &fixing->locations[index], false, stored,
			       &change->err) == 0)
		(void)links_remove(stored->dirfd, &stored->correct, &change->err);
	stored_secret_close(stored);
}

static int batch_place(struct fixing *fixing, size_t count, struct error *err)
{
	int r = store_sync(fixing->staging_dirfd, err);

	if (r < 0)
		return r;
	pool_run(count, staged_place, fixing);
	r = store_sync(fixing->staging_dirfd, err);
	if (r == 0)
		pool_run(count, old_links_remove, fixing);
	return r;
}

/* Decides how the batch is synced. Work with a plugin is never repeated: it may need a person. */
static int batch_begin(struct fixing *fixing, size_t count, struct error *err)
{
	size_t changes = 0;

	for (size_t i = 0; i < count; i++)
		changes += fixing->changes[i].what != CHANGE_NOTHING;
	fixing->is_together =
		!fixing->opener.has_plugin && store_syncs_together(fixing->store_dirfd, changes);
	if (!fixing->is_together || fixing->staging_dirfd >= 0)
		return 0;
	fixing->staging_dirfd = store_directory_begin(fixing->store_dirfd, "the staging directory",
						      &fixing->staging_name, err);
	return fixing->staging_dirfd < 0 ? fixing->staging_dirfd : 0;
}

static size_t document_find(const struct fixing *fixing, size_t count)
{
	size_t i = 0;

	while (i < count && fixing->changes[i].what != CHANGE_DOCUMENT)
		i++;
	return i;
}

/* Prepares or writes the changes of the batch, or both. */
static int batch_apply(struct fixing *fixing, size_t count, struct error *err)
{
	const bool opens = fixing->prepares && document_find(fixing, count) < count;
	int r = fixing->writes ? batch_begin(fixing, count, err) : 0;

	if (r < 0)
		return r;
	opener_run(&fixing->opener, opens, count, file_fix, files_watch, fixing);
	return fixing->writes && fixing->is_together ? batch_place(fixing, count, err) : 0;
}

/* Before anything is encrypted to a recipient that the user does not know. */
static void changes_report(const struct fixing *fixing, size_t count, bool only_bind)
{
	for (size_t i = 0; i < count; i++) {
		const struct change *change = &fixing->changes[i];
		const struct vars_fix_change reported = {&fixing->locations[i], change->detail,
							 &change->stored.added,
							 &change->stored.removed};

		if (change->what != CHANGE_NOTHING && change->only_bind == only_bind &&
		    !(only_bind && change->err.text))
			fixing->options->fixing(&reported, fixing->options->data);
	}
}

static void failures_report(const struct fixing *fixing, size_t count)
{
	const struct vars_fix_options *options = fixing->options;

	for (size_t i = 0; i < count; i++) {
		const struct change *change = &fixing->changes[i];

		if (change->err.text)
			options->failed(&fixing->locations[i], &change->err, options->data);
	}
}

/* Reports the planned changes and makes them. If no identity can be loaded, the changes before the
 * first document are still made. */
static int batch_fix(struct fixing *fixing, size_t count, struct error *err)
{
	const size_t first = document_find(fixing, count);
	_cleanup_error_ struct error unloaded = {0};
	int r;

	if (first < count &&
	    opener_load(&fixing->opener, fixing->changes[first].has_pgp, &unloaded) < 0)
		count = first;
	changes_report(fixing, count, false);
	r = batch_apply(fixing, count, err);
	failures_report(fixing, count);
	if (r == 0)
		changes_report(fixing, count, true);
	return r == 0 && unloaded.text ? error_move(err, &unloaded) : r;
}

/* The batch that starts at a file; `before` steps are done for all files. Returns its size. */
static size_t batch_set(struct fixing *fixing, size_t at, size_t before)
{
	const size_t left = fixing->files.count - at;

	fixing->locations = &fixing->files.locations[at];
	fixing->changes = &fixing->all[at];
	fixing->done = before * fixing->files.count + at;
	report_progress(fixing->report, fixing->done, fixing->total);
	return left < STORE_BATCH ? left : STORE_BATCH;
}

static int commit(const struct fixing *fixing, size_t linked, struct error *err)
{
	const struct vars_fix_options *options = fixing->options;

	return options->commit ? options->commit(linked, options->data, err) : 0;
}

static int files_fix(struct fixing *fixing, struct error *err)
{
	int r = commit(fixing, 0, err);

	fixing->prepares = true;
	fixing->writes = !fixing->options->dry_run;
	for (size_t at = 0; r == 0 && at < fixing->files.count; at += STORE_BATCH) {
		const size_t count = batch_set(fixing, at, 0);

		pool_run(count, file_plan, fixing);
		r = batch_fix(fixing, count, err);
		for (size_t i = 0; i < count; i++)
			change_destroy(&fixing->changes[i]);
	}
	return r;
}

/* Returns how many changed secrets link to a removed member. If it is gone already, and none does,
 * there is nothing to continue. */
static size_t removal_plan(struct fixing *fixing)
{
	size_t linked = 0;

	for (size_t at = 0; at < fixing->files.count; at += STORE_BATCH) {
		const size_t count = batch_set(fixing, at, 0);

		pool_run(count, file_plan, fixing);
	}
	for (size_t i = 0; i < fixing->files.count; i++)
		linked += fixing->all[i].is_linked;
	for (size_t i = 0; linked == 0 && fixing->has_unknown && i < fixing->files.count; i++)
		change_destroy(&fixing->all[i]);
	return linked;
}

static int removal_prepare(struct fixing *fixing, struct error *err)
{
	int r = 0;

	fixing->prepares = true;
	for (size_t at = 0; r == 0 && at < fixing->files.count; at += STORE_BATCH) {
		const size_t count = batch_set(fixing, at, 1), first = document_find(fixing, count);

		if (first < count)
			r = opener_load(&fixing->opener, fixing->changes[first].has_pgp, err);
		if (r == 0)
			r = batch_apply(fixing, count, err);
	}
	return r < 0 ? r : removal_failure(fixing, err);
}

static int removal_write(struct fixing *fixing, struct error *err)
{
	int r = 0;

	fixing->prepares = false;
	fixing->writes = true;
	for (size_t at = 0; r == 0 && at < fixing->files.count; at += STORE_BATCH) {
		const size_t count = batch_set(fixing, at, 2);

		r = batch_apply(fixing, count, err);
		failures_report(fixing, count);
	}
	return r;
}

/* All documents are made before the member is removed, and written after that: then an interrupted
 * run has not left the member in the store, and `fix` does the rest. */
static int removal_fix(struct fixing *fixing, struct error *err)
{
	const size_t linked = removal_plan(fixing);
	int r = removal_check(fixing, err);

	if (r == 0)
		r = removal_failure(fixing, err);
	if (r == 0)
		r = removal_prepare(fixing, err);
	if (r == 0)
		r = commit(fixing, linked, err);
	if (r < 0)
		return r;
	for (size_t at = 0; at < fixing->files.count; at += STORE_BATCH)
		changes_report(fixing, batch_set(fixing, at, 2), false);
	return fixing->options->dry_run ? 0 : removal_write(fixing, err);
}

static void fixing_destroy(struct fixing *fixing)
{
	for (size_t i = 0; fixing->all && i < fixing->files.count; i++)
		change_destroy(&fixing->all[i]);
	free(fixing->all);
	sops_key_group_destroy(&fixing->lost_keys);
	strings_destroy(&fixing->lost_groups);
	store_files_destroy(&fixing->files);
	member_cache_destroy(&fixing->cache);
	if (fixing->staging_name)
		store_directory_discard(fixing->store_dirfd, fixing->staging_name);
	free(fixing->staging_name);
	cleanup_close_fd(&fixing->staging_dirfd);
}

int vars_fix(const struct config *config, int store_dirfd, const struct vars_fix_options *options,
	     const struct report *report, struct error *err)
{
	__attribute__((cleanup(fixing_destroy))) struct fixing fixing = {
		.config = config,
		.store_dirfd = store_dirfd,
		.options = options,
		.report = report,
		.opener = {.identities = options->identities,
			   .data = options->data,
			   .keyring = {.gpg = sops_gpg()}},
		.staging_dirfd = -1,
	};
	int r = member_cache_create(store_dirfd, options->members, options->member_count,
				    &fixing.cache, err);

	if (r == 0)
		r = store_files_list(config, store_dirfd, options->machines, &fixing.files, err);
	if (r == 0)
		r = removal_find(&fixing, err);
	if (r < 0)
		return r;
	fixing.all = calloc(fixing.files.count + 1, sizeof(*fixing.all));
	if (!fixing.all)
		return error_no_memory(err);
	for (size_t i = 0; i < fixing.files.count; i++)
		fixing.all[i].stored = (struct stored_secret)STORED_SECRET_NONE;
	fixing.total = fixing.removes ? REMOVAL_STEPS * fixing.files.count : fixing.files.count;
	r = fixing.removes ? removal_fix(&fixing, err) : files_fix(&fixing, err);
	report_progress(report, fixing.total, fixing.total);
	return r;
}
