/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a secret comes to be encrypted to those who may read it. As `sops updatekeys` does, its data
 * key is wrapped anew for all of them, and its value is not touched. Where a run is killed in the
 * middle of it, `check` tells the difference, and the next run does the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/pool.h"
#include "vars/placing.h"
#include "vars/secret_state.h"
#include "vars/walk.h"

/* What is to be done with a secret, and what came of it. */
struct mending {
	enum {
		MEND_NOTHING,
		MEND_LINKS,
		MEND_DOCUMENT,
	} what;
	bool had_pgp;     /* the document was for a PGP key */
	char *detail;     /* owned, or NULL */
	struct error err; /* owned */
};

struct fixing {
	const struct config *config;
	int store_dirfd;
	const struct vars_fix_options *options;
	struct roster *roster;
	struct sops_keyring keyring;
	bool is_loaded;  /* the keyring */
	bool is_open;    /* it has opened a document */
	bool has_plugin; /* it holds a key of a plugin of age */
	const struct report *report;
	const struct vars_location *locations; /* of this batch */
	struct mending *mendings;
	size_t rest;        /* what is left of the batch for all threads begins here */
	size_t done, total; /* of the whole run: before the batch, and all */
};

static int state_read(const struct fixing *fixing, const struct vars_location *location,
		      struct secret_state *state, struct error *err)
{
	int r = secret_state_open(fixing->store_dirfd, location, false, state, err);

	if (r == 0)
		r = secret_state_document_read(state, err);
	return r < 0 ? r
		     : secret_state_readers_find(fixing->config, fixing->roster, location, NULL,
						 state, err);
}

/* Whether it would be for somebody, and can be encrypted to them. */
static int readers_check(const struct fixing *fixing, const struct secret_state *state,
			 struct error *err)
{
	if (state->keys.count == 0) {
		error_set(err, VMCRED_USAGE, "%s would be for nobody", state->path);
		return error_hint(err, "register a user first: `vmcred user add`");
	}
	return access_gpg_check(&state->wanted, fixing->roster, err) < 0
		       ? error_wrap(err, "%s", state->path)
		       : 0;
}

static int secret_decide(const struct fixing *fixing, const struct vars_location *location,
			 struct mending *mending, struct error *err)
{
	_cleanup_secret_state_ struct secret_state state = SECRET_STATE_NONE;
	struct secret_difference difference = {0};
	int r = state_read(fixing, location, &state, err);

	/* What is not there is generate's business. */
	if (r == -(int)VMCRED_MISSING && !state.document) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = secret_state_compare(&state, &difference, err);
	if (r < 0 || !secret_difference_is_some(&difference))
		return r;
	mending->what =
		difference.lacking > 0 || difference.excess > 0 ? MEND_DOCUMENT : MEND_LINKS;
	mending->had_pgp = store_document_has_pgp(state.document);
	mending->detail = secret_difference_text(&difference);
	if (!mending->detail)
		return error_no_memory(err);
	return readers_check(fixing, &state, err);
}

static void file_decide(void *context, size_t index)
{
	const struct fixing *fixing = context;
	const struct vars_location *location = &fixing->locations[index];
	struct mending *mending = &fixing->mendings[index];

	if (location->generator && !location->file->secret)
		return;
	if (secret_decide(fixing, location, mending, &mending->err) < 0)
		mending->what = MEND_NOTHING;
}

/* Keys of types that cannot be used here stay in the document. */
static int unsupported_add(const struct sops_policy *before, struct sops_key_group *group,
			   struct error *err)
{
	int r = 0;

	for (size_t i = 0; before->group_count == 1 && i < before->groups[0].count; i++) {
		const struct sops_key *key = &before->groups[0].keys[i];

		if (r == 0 && !sops_key_type_is_supported(key->type))
			r = sops_key_group_add(group, key->type, span_of_text(key->text), err);
	}
	return r;
}

static int policy_make(const struct secret_state *state, struct sops_policy *policy,
		       struct error *err)
{
	struct sops_key_group *group = sops_policy_group_add(policy, err);
	int r = group ? 0 : -(int)err->code;

	for (size_t i = 0; r == 0 && i < state->keys.count; i++)
		r = sops_key_group_add(group, state->keys.keys[i].type,
				       span_of_text(state->keys.keys[i].text), err);
	return r < 0 ? r : unsupported_add(sops_document_policy(state->document), group, err);
}

static int document_rewrite(const struct fixing *fixing, const struct secret_state *state,
			    struct secret *document, struct error *err)
{
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	int r = policy_make(state, &policy, err);

	if (r == 0)
		r = sops_document_keys_update(state->document, &policy, 0, &fixing->keyring, err);
	return r < 0 ? r
		     : sops_document_write(state->document, sops_store_named("binary"), NULL,
					   document, err);
}

static int secret_mend(const struct fixing *fixing, const struct vars_location *location,
		       const struct mending *mending, struct error *err)
{
	_cleanup_secret_state_ struct secret_state state = SECRET_STATE_NONE;
	_cleanup_secret_ struct secret document = {0};
	int r = state_read(fixing, location, &state, err);

	if (r == 0 && mending->what == MEND_DOCUMENT)
		r = document_rewrite(fixing, &state, &document, err);
	return r < 0 ? r
		     : access_place(fixing->store_dirfd, state.dirfd, state.path,
				    store_up(location), &state.wanted, secret_span(&document), err);
}

static void file_mend(void *context, size_t index)
{
	const struct fixing *fixing = context;
	struct mending *mending = &fixing->mendings[index];

	if (mending->what != MEND_NOTHING)
		(void)secret_mend(fixing, &fixing->locations[index], mending, &mending->err);
}

/* In order. */
static void mendings_tell(const struct fixing *fixing, size_t count)
{
	const struct vars_fix_options *options = fixing->options;

	for (size_t i = 0; i < count; i++) {
		const struct mending *mending = &fixing->mendings[i];

		if (mending->err.text)
			options->failed(&fixing->locations[i], &mending->err, options->data);
		else if (mending->what != MEND_NOTHING)
			options->fixed(&fixing->locations[i], mending->detail, options->data);
	}
}

/*
 * An identity may be locked with a passphrase, or gpg's: until a first document was opened, they
 * are opened one after the other, by the caller's thread, so that a person is asked once. Tokens
 * behind plugins of age are asked one after the other always. Returns what is left for all threads.
 */
static size_t one_by_one_mend(struct fixing *fixing, size_t count)
{
	size_t i = 0;

	for (; i < count && (!fixing->is_open || fixing->has_plugin); i++) {
		const struct mending *mending = &fixing->mendings[i];

		file_mend(fixing, i);
		if (mending->what == MEND_DOCUMENT && !mending->err.text)
			fixing->is_open = true;
	}
	return i;
}

/* Before the document at `index` is opened, which may be for a PGP key of this user alone. */
static int identities_load(struct fixing *fixing, size_t index, struct error *err)
{
	const struct vars_fix_options *options = fixing->options;
	const struct age_identities *loaded;
	int r = store_keyring_load(fixing->mendings[index].had_pgp, options->identities,
				   options->data, &fixing->keyring, err);

	if (r < 0)
		return r;
	fixing->is_loaded = true;
	loaded = fixing->keyring.identities;
	for (size_t i = 0; loaded && i < loaded->count; i++)
		fixing->has_plugin |= age_identity_is_plugin(loaded->items[i]);
	return 0;
}

static void rest_mend(void *context, size_t index)
{
	const struct fixing *fixing = context;

	file_mend(context, fixing->rest + index);
}

static void rest_watch(void *context, size_t done)
{
	const struct fixing *fixing = context;

	report_progress(fixing->report, fixing->done + fixing->rest + done, fixing->total);
}

/* What is before the first document that no identity could be loaded for is mended all the same, as
 * it would be one after the other. */
static int batch_mend(struct fixing *fixing, size_t count, struct error *err)
{
	size_t first = 0;
	int r = 0;

	while (first < count && fixing->mendings[first].what != MEND_DOCUMENT)
		first++;
	if (first < count && !fixing->is_loaded)
		r = identities_load(fixing, first, err);
	if (r < 0)
		count = first;
	fixing->rest = first < count || r < 0 ? one_by_one_mend(fixing, count) : 0;
	pool_run_watched(count - fixing->rest, rest_mend, rest_watch, fixing);
	mendings_tell(fixing, count);
	return r;
}

static void mendings_release(struct fixing *fixing)
{
	for (size_t i = 0; i < WALK_BATCH; i++) {
		free(fixing->mendings[i].detail);
		error_clear(&fixing->mendings[i].err);
	}
	memset(fixing->mendings, 0, WALK_BATCH * sizeof(*fixing->mendings));
}

static int walk_fix(struct fixing *fixing, const struct walk *walk, struct error *err)
{
	int r = 0;

	fixing->total = walk->count;
	for (size_t at = 0; r == 0 && at < walk->count; at += WALK_BATCH) {
		size_t left = walk->count - at, count = left < WALK_BATCH ? left : WALK_BATCH;

		report_progress(fixing->report, at, walk->count);
		fixing->locations = &walk->locations[at];
		fixing->done = at;
		pool_run(count, file_decide, fixing);
		r = batch_mend(fixing, count, err);
		mendings_release(fixing);
	}
	report_progress(fixing->report, walk->count, walk->count);
	return r;
}

int vars_fix(const struct config *config, int store_dirfd, const struct vars_fix_options *options,
	     const struct report *report, struct error *err)
{
	_cleanup_roster_ struct roster *roster = NULL;
	_cleanup_walk_ struct walk walk = {0};
	_cleanup_free_ struct mending *mendings = calloc(WALK_BATCH, sizeof(*mendings));
	struct fixing fixing = {
		.config = config,
		.store_dirfd = store_dirfd,
		.options = options,
		.report = report,
		.keyring = {.gpg = sops_gpg()},
		.mendings = mendings,
	};
	int r;

	if (!mendings)
		return error_no_memory(err);
	r = roster_create(store_dirfd, &options->exclude, &roster, err);
	fixing.roster = roster;
	if (r == 0)
		r = walk_plan(config, store_dirfd, options->machines, &walk, err);
	return r < 0 ? r : walk_fix(&fixing, &walk, err);
}

int vars_set(const struct config *config, int store_dirfd, const struct vars_location *location,
	     const char *writer, struct span plaintext, struct error *err)
{
	_cleanup_secret_state_ struct secret_state state = SECRET_STATE_NONE;
	_cleanup_roster_ struct roster *roster = NULL;
	const struct sops_keyring keyring = {.gpg = sops_gpg()};
	_cleanup_secret_ struct secret document = {0};
	int r = secret_state_open(store_dirfd, location, true, &state, err);

	if (r < 0)
		return r;
	if (!location->file->secret)
		return placing_file(store_dirfd, state.dirfd, "value", state.path, plaintext, err);
	r = roster_create(store_dirfd, NULL, &roster, err);
	if (r == 0)
		r = secret_state_readers_find(config, roster, location, writer, &state, err);
	if (r == 0 && state.keys.count == 0)
		r = error_set(err, VMCRED_USAGE, "%s would be for nobody", state.path);
	if (r == 0 && access_gpg_check(&state.wanted, roster, err) < 0)
		r = error_wrap(err, "%s", state.path);
	if (r == 0)
		r = sops_binary_encrypt(plaintext, &state.keys, &keyring, &document, err);
	return r < 0 ? r
		     : access_place(store_dirfd, state.dirfd, state.path, store_up(location),
				    &state.wanted, secret_span(&document), err);
}
