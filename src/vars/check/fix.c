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
#include "vars/check/check.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* Its number in the batch, which names its document in the staging directory. */
#define STAGED_NAME_SIZE 24

/* What to change in a secret, and the result. */
struct change {
	enum {
		CHANGE_NOTHING,
		CHANGE_LINKS,
		CHANGE_DOCUMENT,
	} what;
	struct stored_secret stored; /* owned; closed between the steps */
	bool bind;                   /* the document gets its name, */
	bool only_bind;              /* and nothing else changes */
	bool has_pgp;                /* the document has PGP recipients */
	bool is_staged;              /* the new document is in the staging directory */
	char *detail;                /* owned, or NULL */
	struct error err;            /* owned */
};

struct fixing {
	const struct config *config;
	int store_dirfd;
	const struct vars_fix_options *options;
	struct member_cache *cache;
	struct opener opener;
	const struct report *report;
	const struct vars_location *locations; /* of this batch */
	struct change *changes;
	bool is_together;   /* the batch is synced as a whole */
	char *staging_name; /* owned; of the directory for its new documents */
	int staging_dirfd;  /* owned */
	size_t done, total; /* files of the run: before the batch, and all */
};

static int secret_load(const struct fixing *fixing, const struct vars_location *location,
		       struct stored_secret *stored, struct error *err)
{
	int r = stored_secret_open(fixing->store_dirfd, location, false, stored, err);

	return r < 0 ? r : stored_secret_read(stored, err);
}

static int bind_plan(struct change *change, struct error *err)
{
	char *both = text_format("%s%sbound to its name", change->detail ? change->detail : "",
				 change->detail ? "; " : "");

	change->only_bind = !change->detail;
	free(change->detail);
	change->detail = both;
	change->bind = true;
	return both ? 0 : error_no_memory(err);
}

static int secret_plan(const struct fixing *fixing, const struct vars_location *location,
		       struct change *change, struct error *err)
{
	struct stored_secret *stored = &change->stored;
	int r = secret_load(fixing, location, stored, err);

	/* `generate` creates a missing one. */
	if (r == -(int)VMCRED_MISSING && !stored->document) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = stored_secret_find_readers(fixing->config, fixing->cache, location, NULL,
					       stored, err);
	if (r == 0)
		r = stored_secret_compare(stored, fixing->cache, &change->detail, err);
	if (r == 0 && fixing->options->bind && !sops_binary_has_name(stored->document))
		r = bind_plan(change, err);
	if (r < 0 || !change->detail)
		return r;
	change->what = change->bind || stored->missing_keys > 0 || stored->extra_keys > 0
			       ? CHANGE_DOCUMENT
			       : CHANGE_LINKS;
	change->has_pgp = stored_secret_has_pgp(stored);
	if (stored->keys.count == 0) {
		error_set(err, VMCRED_USAGE, "%s: no recipients", stored->path);
		return error_hint(err, "register a user first: `vmcred user add`");
	}
	return readers_gpg_check(&stored->correct, fixing->cache, err) < 0
		       ? error_wrap(err, "%s", stored->path)
		       : 0;
}

static void file_plan(void *context, size_t index)
{
	const struct fixing *fixing = context;
	const struct vars_location *location = &fixing->locations[index];
	struct change *change = &fixing->changes[index];

	change->stored = (struct stored_secret)STORED_SECRET_NONE;
	if (location->generator && !location->file->secret)
		return;
	if (secret_plan(fixing, location, change, &change->err) < 0)
		change->what = CHANGE_NOTHING;
	stored_secret_close(&change->stored);
}

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

static int secret_fix(const struct fixing *fixing, size_t index, struct error *err)
{
	const struct vars_location *location = &fixing->locations[index];
	struct change *change = &fixing->changes[index];
	struct stored_secret *stored = &change->stored;
	_cleanup_secret_ struct secret document = {0};
	int r = secret_load(fixing, location, stored, err);

	if (r == 0 && change->bind)
		r = sops_binary_bind(stored->document, stored->path, &fixing->opener.keyring, err);
	/* Somebody who can read it will bind it. */
	if (r == -(int)VMCRED_MISSING && change->only_bind) {
		error_clear(err);
		change->what = CHANGE_NOTHING;
		return 0;
	}
	if (r == 0 && change->what == CHANGE_DOCUMENT)
		r = document_rewrite(fixing, stored, &document, err);
	if (r < 0)
		return r;
	return fixing->is_together ? secret_stage(fixing, index, store_links_up(location),
						  secret_span(&document), err)
				   : secret_write(fixing->store_dirfd, stored->dirfd, stored->path,
						  store_links_up(location), &stored->correct,
						  secret_span(&document), err);
}

static void file_fix(void *context, size_t index)
{
	struct fixing *fixing = context;
	struct change *change = &fixing->changes[index];

	if (change->what == CHANGE_NOTHING)
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

static int batch_apply(struct fixing *fixing, size_t count, bool opens, struct error *err)
{
	int r = batch_begin(fixing, count, err);

	if (r < 0)
		return r;
	opener_run(&fixing->opener, opens, count, file_fix, files_watch, fixing);
	return fixing->is_together ? batch_place(fixing, count, err) : 0;
}

/* Reports the planned changes and applies them. If no identity can be loaded, the changes before
 * the first document are still made. */
static int batch_fix(struct fixing *fixing, size_t count, struct error *err)
{
	const struct vars_fix_options *options = fixing->options;
	_cleanup_error_ struct error unloaded = {0};
	size_t first = 0;
	int r;

	while (first < count && fixing->changes[first].what != CHANGE_DOCUMENT)
		first++;
	if (first < count &&
	    opener_load(&fixing->opener, fixing->changes[first].has_pgp, &unloaded) < 0)
		count = first;
	/* Before anything is encrypted to a recipient that the user does not know. */
	for (size_t i = 0; i < count; i++) {
		const struct change *change = &fixing->changes[i];

		if (change->what != CHANGE_NOTHING && !change->only_bind)
			options->fixing(&fixing->locations[i], change->detail, options->data);
	}
	r = batch_apply(fixing, count, first < count, err);
	for (size_t i = 0; i < count; i++) {
		const struct change *change = &fixing->changes[i];

		if (change->err.text)
			options->failed(&fixing->locations[i], &change->err, options->data);
		else if (r == 0 && change->what != CHANGE_NOTHING && change->only_bind)
			options->fixing(&fixing->locations[i], change->detail, options->data);
	}
	return r == 0 && unloaded.text ? error_move(err, &unloaded) : r;
}

static int files_fix(struct fixing *fixing, const struct store_files *files, struct error *err)
{
	int r = 0;

	fixing->total = files->count;
	for (size_t at = 0; r == 0 && at < files->count; at += STORE_BATCH) {
		const size_t left = files->count - at;
		const size_t count = left < STORE_BATCH ? left : STORE_BATCH;

		report_progress(fixing->report, at, files->count);
		fixing->locations = &files->locations[at];
		fixing->done = at;
		memset(fixing->changes, 0, count * sizeof(*fixing->changes));
		pool_run(count, file_plan, fixing);
		r = batch_fix(fixing, count, err);
		for (size_t i = 0; i < count; i++) {
			stored_secret_destroy(&fixing->changes[i].stored);
			free(fixing->changes[i].detail);
			error_clear(&fixing->changes[i].err);
		}
	}
	report_progress(fixing->report, files->count, files->count);
	return r;
}

int vars_fix(const struct config *config, int store_dirfd, const struct vars_fix_options *options,
	     const struct report *report, struct error *err)
{
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	_cleanup_store_files_ struct store_files files = {0};
	_cleanup_free_ struct change *changes = calloc(STORE_BATCH, sizeof(*changes));
	struct fixing fixing = {
		.config = config,
		.store_dirfd = store_dirfd,
		.options = options,
		.report = report,
		.opener = {.identities = options->identities,
			   .data = options->data,
			   .keyring = {.gpg = sops_gpg()}},
		.changes = changes,
		.staging_dirfd = -1,
	};
	int r = changes ? member_cache_create(store_dirfd, &options->exclude, &cache, err)
			: error_no_memory(err);

	fixing.cache = cache;
	if (r == 0)
		r = store_files_list(config, store_dirfd, options->machines, &files, err);
	if (r == 0)
		r = files_fix(&fixing, &files, err);
	if (fixing.staging_name)
		store_directory_discard(store_dirfd, fixing.staging_name);
	free(fixing.staging_name);
	cleanup_close_fd(&fixing.staging_dirfd);
	return r;
}
