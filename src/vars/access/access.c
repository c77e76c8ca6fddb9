/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/access/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/pool.h"
#include "vars/secrets/secrets.h"

/* The 32-byte nonce and the tag of AES-256-GCM in Base64, and what is around them. */
#define CIPHERTEXT_END_SIZE ((size_t)96)

struct reading {
	const struct config *config;
	int store_dirfd;
	const struct report *report;
	struct member_cache *cache;
	struct access *access;
};

static void reader_destroy(struct access_reader *reader)
{
	for (size_t i = 0; i < reader->key_count; i++)
		free(reader->keys[i].text);
	free(reader->keys);
	free(reader->whys);
	free(reader->name);
	free(reader->commit);
}

void access_destroy(struct access *access)
{
	for (size_t i = 0; i < access->count; i++) {
		struct access_secret *secret = &access->secrets[i];

		for (size_t j = 0; j < secret->reader_count; j++)
			reader_destroy(&secret->readers[j]);
		free(secret->readers);
		free(secret->path);
		free(secret->ciphertext_end);
		error_clear(&secret->unreadable);
	}
	for (size_t i = 0; i < access->group_count; i++) {
		free(access->groups[i].name);
		for (int type = 0; type < VARS_MEMBER_TYPES; type++)
			strings_destroy(&access->groups[i].members[type]);
	}
	free(access->secrets);
	free(access->groups);
	store_files_destroy(&access->files);
	*access = (struct access){0};
}

char *access_ciphertext_end(const struct sops_document *document)
{
	_cleanup_error_ struct error ignored = {0};
	struct span value = {0};
	size_t skipped;

	if (sops_document_string(document, "data", &value, &ignored) < 0)
		return strdup("");
	skipped = value.size > CIPHERTEXT_END_SIZE ? value.size - CIPHERTEXT_END_SIZE : 0;
	return strndup((const char *)value.data + skipped, value.size - skipped);
}

static bool has_key(const struct access_reader *reader, const char *text)
{
	for (size_t i = 0; i < reader->key_count; i++) {
		if (strcmp(reader->keys[i].text, text) == 0)
			return true;
	}
	return false;
}

struct access_reader *access_reader_get(struct access_secret *secret, enum vars_member_type type,
					const char *name, const char *key, bool is_former,
					struct error *err)
{
	struct access_reader *reader;

	for (size_t i = 0; i < secret->reader_count; i++) {
		reader = &secret->readers[i];
		if ((reader->state == ACCESS_FORMER) == is_former &&
		    (name ? reader->name && reader->type == type && strcmp(reader->name, name) == 0
			  : !reader->name && has_key(reader, key)))
			return reader;
	}
	if (array_grow(&secret->readers, secret->reader_count, &secret->reader_capacity,
		       sizeof(*reader), err) < 0)
		return NULL;
	reader = &secret->readers[secret->reader_count];
	*reader = (struct access_reader){
		.state = is_former ? ACCESS_FORMER : ACCESS_UNDECLARED,
		.type = type,
		.name = name ? strdup(name) : NULL,
	};
	if (name && !reader->name) {
		error_no_memory(err);
		return NULL;
	}
	secret->reader_count++;
	return reader;
}

int access_key_add(struct access_reader *reader, const char *text, bool is_recipient,
		   struct error *err)
{
	int r = has_key(reader, text)
			? 1
			: array_grow(&reader->keys, reader->key_count, &reader->key_capacity,
				     sizeof(*reader->keys), err);

	if (r != 0)
		return r < 0 ? r : 0;
	reader->keys[reader->key_count] = (struct access_key){strdup(text), is_recipient};
	return reader->keys[reader->key_count++].text ? 0 : error_no_memory(err);
}

static int why_add(struct access_secret *secret, enum vars_member_type type, const char *name,
		   struct access_why why, struct error *err)
{
	struct access_reader *reader = access_reader_get(secret, type, name, NULL, false, err);
	int r = reader ? array_grow(&reader->whys, reader->why_count, &reader->why_capacity,
				    sizeof(*reader->whys), err)
		       : -(int)err->code;

	if (r == 0)
		reader->whys[reader->why_count++] = why;
	return r;
}

static const struct access_group *group_find(const struct access *access, const char *name)
{
	for (size_t i = 0; i < access->group_count; i++) {
		if (strcmp(access->groups[i].name, name) == 0)
			return &access->groups[i];
	}
	return NULL;
}

static int group_add(const struct reading *reading, const char *name, enum access_reason reason,
		     struct access_secret *secret, struct error *err)
{
	const struct access_group *group = group_find(reading->access, name);
	int r = 0;

	for (int type = 0; group && type < VARS_MEMBER_TYPES; type++) {
		for (size_t i = 0; r == 0 && i < group->members[type].count; i++)
			r = why_add(secret, (enum vars_member_type)type,
				    group->members[type].items[i],
				    (struct access_why){reason, group->name}, err);
	}
	return r;
}

/* The reasons of those that should read it. */
static int whys_find(const struct reading *reading, const struct readers *correct,
		     struct access_secret *secret, struct error *err)
{
	const struct vars_location *location = secret->location;
	const bool is_declared = location->generator || location->machine;
	const struct strings *machines = &correct->names[VARS_MACHINE];
	const struct strings *users = &correct->names[VARS_USER];
	const struct strings *groups = &correct->names[VARS_GROUP];
	int r = 0;

	for (size_t i = 0; r == 0 && i < machines->count; i++)
		r = why_add(secret, VARS_MACHINE, machines->items[i],
			    (struct access_why){is_declared ? ACCESS_MACHINE : ACCESS_LINK, NULL},
			    err);
	for (size_t i = 0; r == 0 && i < users->count; i++)
		r = why_add(secret, VARS_USER, users->items[i],
			    (struct access_why){is_declared && !reading->config->default_groups
							? ACCESS_ALL_USERS
							: ACCESS_LINK,
						NULL},
			    err);
	for (size_t i = 0; r == 0 && i < groups->count; i++)
		r = group_add(reading, groups->items[i],
			      is_declared && texts_contain(reading->config->default_groups,
							   groups->items[i])
				      ? ACCESS_DEFAULT_GROUP
				      : ACCESS_GROUP,
			      secret, err);
	return r;
}

static bool is_recipient(const struct sops_policy *policy, const struct sops_key *key)
{
	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			if (sops_key_compare(&policy->groups[i].keys[j], key) == 0)
				return true;
		}
	}
	return false;
}

/* Compares the keys of a declared reader with those of the document. */
static int reader_compare(const struct reading *reading, const struct sops_policy *policy,
			  struct access_reader *reader, struct error *err)
{
	const struct sops_key_group *keys = NULL;
	size_t found = 0;
	int r = member_cache_keys(reading->cache, reader->type, reader->name, &keys, err);

	for (size_t i = 0; r == 0 && i < keys->count; i++) {
		const bool is_found = is_recipient(policy, &keys->keys[i]);

		found += is_found;
		r = access_key_add(reader, keys->keys[i].text, is_found, err);
	}
	reader->state = found == 0                   ? ACCESS_MISSING
			: found == reader->key_count ? ACCESS_CURRENT
						     : ACCESS_PARTIAL;
	return r;
}

/* Adds a recipient that is none of the declared readers' keys. */
static int recipient_add(const struct reading *reading, const struct sops_key *key,
			 struct access_secret *secret, struct error *err)
{
	enum vars_member_type type = VARS_USER;
	struct access_reader *reader;
	const char *name = NULL;
	int r;

	for (size_t i = 0; i < secret->reader_count; i++) {
		if (has_key(&secret->readers[i], key->text))
			return 0;
	}
	r = member_cache_owner(reading->cache, key, &type, &name, err);
	if (r < 0)
		return r;
	reader = access_reader_get(secret, type, name, key->text, false, err);
	return reader ? access_key_add(reader, key->text, true, err) : -(int)err->code;
}

static int secret_compare(const struct reading *reading, const struct sops_policy *policy,
			  struct access_secret *secret, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < secret->reader_count; i++)
		r = reader_compare(reading, policy, &secret->readers[i], err);
	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; r == 0 && j < policy->groups[i].count; j++)
			r = recipient_add(reading, &policy->groups[i].keys[j], secret, err);
	}
	secret->groups = policy->group_count;
	secret->groups_min =
		policy->shamir_threshold ? policy->shamir_threshold : policy->group_count;
	return r;
}

static int secret_read_readers(const struct reading *reading, struct access_secret *secret,
			       struct error *err)
{
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	int r = stored_secret_open(reading->store_dirfd, secret->location, false, &stored, err);

	if (r == 0)
		r = stored_secret_read(&stored, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	secret->exists = true;
	if (r == 0)
		r = stored_secret_find_readers(reading->config, reading->cache, secret->location,
					       NULL, &stored, err);
	if (r == 0)
		r = whys_find(reading, &stored.correct, secret, err);
	if (r == 0)
		r = secret_compare(reading, sops_document_policy(stored.document), secret, err);
	if (r < 0)
		return r;
	secret->changed = sops_document_modified(stored.document);
	secret->ciphertext_end = access_ciphertext_end(stored.document);
	return secret->ciphertext_end ? 0 : error_no_memory(err);
}

static void secret_work(void *context, size_t index)
{
	const struct reading *reading = context;
	struct access_secret *secret = &reading->access->secrets[index];

	(void)secret_read_readers(reading, secret, &secret->unreadable);
}

static void secrets_watch(void *context, size_t done)
{
	const struct reading *reading = context;

	report_progress(reading->report, done, reading->access->count);
}

/* Members that do not exist do not count: member_cache_keys(). */
static int group_read(const struct reading *reading, struct access_group *group, struct error *err)
{
	static const enum vars_member_type types[] = {VARS_MACHINE, VARS_USER};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++) {
		_cleanup_strings_ struct strings names = {0};

		r = vars_group_members(reading->store_dirfd, group->name, types[i], &names, err);
		for (size_t j = 0; r >= 0 && j < names.count; j++) {
			r = member_cache_has(reading->cache, types[i], names.items[j], err);
			if (r > 0)
				r = strings_add(&group->members[types[i]], names.items[j], err);
		}
	}
	return r < 0 ? r : 0;
}

static int groups_read(const struct reading *reading, struct error *err)
{
	struct access *access = reading->access;
	const struct strings *names = NULL;
	int r = member_cache_names(reading->cache, VARS_GROUP, &names, err);

	if (r < 0)
		return r;
	access->groups = calloc(names->count + 1, sizeof(*access->groups));
	for (size_t i = 0; access->groups && r == 0 && i < names->count; i++) {
		struct access_group *group = &access->groups[access->group_count++];

		group->name = strdup(names->items[i]);
		r = group->name ? group_read(reading, group, err) : error_no_memory(err);
	}
	return access->groups ? r : error_no_memory(err);
}

static int secrets_choose(const struct reading *reading,
			  bool (*wanted)(const struct vars_location *location, void *data),
			  void *data, struct error *err)
{
	struct access *access = reading->access;
	int r = store_files_list(reading->config, reading->store_dirfd, NULL, &access->files, err);

	if (r < 0)
		return r;
	access->secrets = calloc(access->files.count + 1, sizeof(*access->secrets));
	if (!access->secrets)
		return error_no_memory(err);
	for (size_t i = 0; i < access->files.count; i++) {
		const struct vars_location *location = &access->files.locations[i];
		const bool is_public = location->generator && !location->file->secret;
		struct access_secret *secret = &access->secrets[access->count];

		if (is_public || (wanted && !wanted(location, data)))
			continue;
		secret->location = location;
		secret->path = vars_location_path(location);
		access->count++;
		if (!secret->path)
			return error_no_memory(err);
	}
	return 0;
}

int access_read(const struct config *config, int store_dirfd,
		bool (*wanted)(const struct vars_location *location, void *data), void *data,
		const struct report *report, struct access *access, struct error *err)
{
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	struct reading reading = {config, store_dirfd, report, NULL, access};
	int r = member_cache_create(store_dirfd, NULL, 0, &cache, err);

	reading.cache = cache;
	if (r == 0)
		r = groups_read(&reading, err);
	if (r == 0)
		r = secrets_choose(&reading, wanted, data, err);
	if (r == 0)
		pool_run_watched(access->count, secret_work, secrets_watch, &reading);
	return r;
}
