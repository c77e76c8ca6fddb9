/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/check/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* The result for one file. */
struct result {
	enum vars_fault fault;
	enum vars_opening opening;
	char *detail;     /* owned, or NULL */
	struct error err; /* owned; set if the file could not be checked */
	bool exists;
	int64_t modified, not_after;
	struct strings readers; /* owned */
};

struct checking {
	const struct config *config;
	int store_dirfd;
	const struct vars_check_options *options;
	const struct report *report;
	struct member_cache *cache;
	struct opener opener;
	struct error unloaded;                 /* owned; there are no keys to open secrets */
	const struct vars_location *locations; /* of this batch */
	struct result *results;
	size_t done, total; /* files of the run: before the batch, and all */
};

static int validation_check(const struct checking *checking, const struct vars_location *location,
			    struct result *result, struct error *err)
{
	int r = location->generator ? validation_changed(checking->store_dirfd, location->machine,
							 location->generator, err)
				    : 0;

	if (r > 0)
		result->fault = VARS_FAULT_OUTDATED;
	return r < 0 ? r : 0;
}

/* Who can read the document now, whatever its links say. */
static int readers_describe(const struct checking *checking, const struct stored_secret *stored,
			    struct strings *readers, struct error *err)
{
	const struct sops_policy *policy = sops_document_policy(stored->document);
	int r = 0;

	for (size_t i = 0; r == 0 && i < policy->group_count; i++) {
		for (size_t j = 0; r == 0 && j < policy->groups[i].count; j++) {
			const struct sops_key *key = &policy->groups[i].keys[j];
			enum vars_member_type type = VARS_USER;
			_cleanup_free_ char *text = NULL;
			const char *name = NULL;

			r = member_cache_owner(checking->cache, key, &type, &name, err);
			if (r < 0)
				break;
			text = name ? text_format("%s %s", vars_member_type_name(type), name)
				    : text_visible(span_of_text(key->text), false);
			if (!text)
				return error_no_memory(err);
			/* A person may have several keys. */
			if (!strings_contain(readers, text))
				r = strings_add(readers, text, err);
		}
	}
	return r;
}

static int readers_compare(const struct checking *checking, const struct vars_location *location,
			   struct stored_secret *stored, struct result *result, struct error *err)
{
	int r;

	/* A part does not say who else reads a secret. */
	if (checking->config->part)
		return 0;
	r = stored_secret_find_readers(checking->config, checking->cache, location, NULL, stored,
				       err);
	return r < 0 ? r : stored_secret_compare(stored, checking->cache, &result->detail, err);
}

static int secret_compare(const struct checking *checking, const struct vars_location *location,
			  struct stored_secret *stored, struct result *result, struct error *err)
{
	int r = validation_check(checking, location, result, err);

	if (r == 0)
		r = readers_compare(checking, location, stored, result, err);
	/* The detail then says who will read the next value: nobody can hide a new reader by making
	 * the old value outdated. */
	if (r < 0 || result->fault != VARS_FAULT_NONE)
		return r;
	if (result->detail)
		result->fault = VARS_FAULT_READERS;
	else if (r == 0 && location->generator)
		r = rotation_check(location->generator, stored->document, &result->detail, err);
	if (r == 1)
		result->fault = VARS_FAULT_OVERDUE;
	else if (r == 0 && !result->detail && !sops_binary_has_name(stored->document))
		result->fault = VARS_FAULT_NO_NAME;
	return r < 0 ? r : 0;
}

/* Whether no key opens the document because it is not encrypted to any of them, rather than because
 * of its own damage or a wrong passphrase. */
static bool is_closed(const struct opener *opener, const struct sops_document *document)
{
	const struct sops_policy *policy = sops_document_policy(document);
	const struct age_identities *identities = opener->keyring.identities;

	for (size_t i = 0; identities && i < policy->group_count; i++) {
		if (keys_include_identity(&policy->groups[i], identities))
			return false;
	}
	return sops_document_failure(document) == SOPS_FAILED_KEY;
}

static int secret_open(struct checking *checking, const struct vars_location *location,
		       struct stored_secret *stored, struct result *result, struct error *err)
{
	struct opener *opener = &checking->opener;
	struct span value = {0};
	int r = opener_load(opener, stored_secret_has_pgp(stored), &checking->unloaded);

	if (r < 0)
		return r;
	r = sops_binary_open(stored->document, stored->path, &opener->keyring, &value, err);
	if (r == -(int)VMCRED_MISSING && is_closed(opener, stored->document)) {
		error_clear(err);
		result->opening = VARS_CLOSED;
		return 0;
	}
	if (r < 0)
		return r;
	result->opening = VARS_OPENED;
	/* Not by several threads: opener_run(). */
	if (!opener->is_open)
		opener->is_open = true;
	checking->options->opened(location, value, checking->options->data);
	return 0;
}

/* Nor can anybody hide a new reader by removing or damaging the document. */
static int secret_unread(const struct checking *checking, const struct vars_location *location,
			 struct stored_secret *stored, struct result *result, struct error *err)
{
	const bool is_missing = err->code == VMCRED_MISSING;
	_cleanup_error_ struct error ignored = {0};
	int r = 0;

	result->exists = !is_missing;
	if (is_missing) {
		error_clear(err);
		result->fault = VARS_FAULT_MISSING;
	}
	if (stored->dirfd >= 0)
		r = readers_compare(checking, location, stored, result,
				    is_missing ? err : &ignored);
	return is_missing ? r : -(int)err->code;
}

static int secret_check(struct checking *checking, const struct vars_location *location,
			struct result *result, struct error *err)
{
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	int r = stored_secret_open(checking->store_dirfd, location, false, &stored, err);

	if (r == 0)
		r = stored_secret_read(&stored, err);
	if (r < 0)
		return secret_unread(checking, location, &stored, result, err);
	result->exists = true;
	result->modified = sops_document_modified(stored.document);
	if (checking->options->describes)
		r = readers_describe(checking, &stored, &result->readers, err);
	if (r == 0)
		r = secret_compare(checking, location, &stored, result, err);
	return r < 0 || !checking->options->identities
		       ? r
		       : secret_open(checking, location, &stored, result, err);
}

static int value_check(const struct checking *checking, const struct vars_location *location,
		       struct result *result, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	int r = vars_store_has(checking->store_dirfd, location, err);

	if (r == 0)
		result->fault = VARS_FAULT_MISSING;
	if (r <= 0)
		return r;
	result->exists = true;
	/* It can be read, and has no conflict markers. */
	r = vars_store_read(checking->store_dirfd, location, NULL, &value, err);
	if (r == 0 && checking->options->describes)
		result->not_after = certificate_end(secret_span(&value));
	if (r == 0 && checking->options->identities)
		checking->options->opened(location, secret_span(&value), checking->options->data);
	if (r == 0)
		r = validation_check(checking, location, result, err);
	if (r < 0 || result->fault != VARS_FAULT_NONE)
		return r;
	r = certificate_check(checking->config, checking->store_dirfd, location, &result->detail,
			      err);
	if (r == 1)
		result->fault = VARS_FAULT_EXPIRED;
	return r < 0 ? r : 0;
}

static void file_check(void *context, size_t index)
{
	struct checking *checking = context;
	const struct vars_location *location = &checking->locations[index];
	struct result *result = &checking->results[index];

	if (checking->unloaded.text)
		return;
	if (location->generator && !location->file->secret)
		(void)value_check(checking, location, result, &result->err);
	else
		(void)secret_check(checking, location, result, &result->err);
}

static void files_watch(void *context, size_t done)
{
	const struct checking *checking = context;

	report_progress(checking->report, checking->done + done, checking->total);
}

static bool has_deployed_secret(const struct config_generator *generator)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (generator->files[i].secret && generator->files[i].deploy)
			return true;
	}
	return false;
}

static bool machine_needs_key(const struct config *config, const struct config_machine *machine)
{
	for (size_t i = 0; i < machine->generator_count; i++) {
		if (has_deployed_secret(&config->generators[machine->generators[i]]))
			return true;
	}
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		if (generator->share && config_generator_is_for(generator, machine->name) &&
		    has_deployed_secret(generator))
			return true;
	}
	return false;
}

/* Without a key, the machine's secrets are still correct for all other readers. A directory without
 * key.json is an error, which is found elsewhere. */
static int machine_check(const struct checking *checking, const struct config_machine *machine,
			 struct error *err)
{
	const struct vars_location location = {.machine = machine->name};
	_cleanup_error_ struct error no_key = {0};
	int r = checking->config->part
			? 1
			: member_cache_has(checking->cache, VARS_MACHINE, machine->name, err);

	if (r != 0 || !machine_needs_key(checking->config, machine))
		return r < 0 ? r : 0;
	member_no_key(VARS_MACHINE, machine->name, &no_key);
	checking->options->checked(
		&location,
		&(struct vars_finding){.fault = VARS_FAULT_NO_KEY, .detail = no_key.text},
		checking->options->data);
	return 0;
}

static int machines_check(const struct checking *checking, char *const *names, struct error *err)
{
	const struct config *config = checking->config;
	int r = 0;

	for (size_t i = 0; r == 0 && !names && i < config->machine_count; i++)
		r = machine_check(checking, &config->machines[i], err);
	for (; r == 0 && names && *names; names++)
		r = machine_check(checking, config_machine_find(config, *names), err);
	return r;
}

static void batch_check(struct checking *checking, const struct vars_location *locations,
			size_t count)
{
	const struct vars_check_options *options = checking->options;

	checking->locations = locations;
	memset(checking->results, 0, count * sizeof(*checking->results));
	opener_run(&checking->opener, options->identities, count, file_check, files_watch,
		   checking);
	for (size_t i = 0; i < count; i++) {
		struct result *result = &checking->results[i];
		const struct vars_finding finding = {
			.fault = result->fault,
			.detail = result->detail,
			.opening = result->opening,
			.failure = result->err.text ? &result->err : NULL,
			.exists = result->exists,
			.modified = result->modified,
			.readers = &result->readers,
			.not_after = result->not_after,
		};

		if (!checking->unloaded.text)
			options->checked(&locations[i], &finding, options->data);
		free(result->detail);
		strings_destroy(&result->readers);
		error_clear(&result->err);
	}
}

static int files_check(struct checking *checking, const struct store_files *files,
		       struct error *err)
{
	checking->total = files->count;
	for (; checking->done < files->count; checking->done += STORE_BATCH) {
		const size_t left = files->count - checking->done;

		batch_check(checking, &files->locations[checking->done],
			    left < STORE_BATCH ? left : STORE_BATCH);
		if (checking->unloaded.text)
			return error_move(err, &checking->unloaded);
	}
	report_progress(checking->report, files->count, files->count);
	return 0;
}

int vars_check(const struct config *config, int store_dirfd,
	       const struct vars_check_options *options, const struct report *report,
	       struct error *err)
{
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	_cleanup_store_files_ struct store_files files = {0};
	_cleanup_free_ struct result *results = calloc(STORE_BATCH, sizeof(*results));
	struct checking checking = {
		.config = config,
		.store_dirfd = store_dirfd,
		.options = options,
		.report = report,
		.opener = {.identities = options->identities, .data = options->data},
		.results = results,
	};
	int r = results ? member_cache_create(store_dirfd, NULL, 0, &cache, err)
			: error_no_memory(err);

	checking.cache = cache;
	if (r == 0)
		r = store_files_list(config, store_dirfd, options->machines, &files, err);
	if (r == 0)
		r = machines_check(&checking, options->machines, err);
	return r < 0 ? r : files_check(&checking, &files, err);
}
