/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The versions of the store in a git repository: one stream of git-fast-export(1), which has each
 * document once, before the commits that contain it. A library for repositories would add more code
 * to a program that decrypts secrets than the few lines of this format.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/git/git.h"
#include "vars/access/access.h"
#include "vars/members/members.h"

/* A SHA-256 in hexadecimal. */
#define COMMIT_SIZE 65

/* A document or the public keys of a member, by its mark in the stream. */
struct blob {
	unsigned long long mark;
	struct sops_key_group keys; /* owned */
	char *ciphertext_end;       /* owned; NULL: public keys */
};

/* A version of a secret in a commit. */
struct version {
	struct access_secret *secret;
	size_t blob;
	char commit[COMMIT_SIZE];
	int64_t time;
};

/* A registered key. Later commits replace earlier ones. */
struct old_owner {
	char *key; /* borrowed from a blob */
	enum vars_member_type type;
	char *name; /* owned */
};

struct history {
	struct access *access;
	struct access_secret **by_path; /* owned; sorted */
	char *prefix;                   /* owned; of the store in the repository */
	FILE *stream;                   /* owned */
	char *line;                     /* owned */
	size_t line_size;
	struct blob *blobs; /* owned; by ascending marks */
	size_t blob_count, blob_capacity;
	struct version *versions; /* owned */
	size_t version_count, version_capacity;
	struct old_owner *old_owners; /* owned */
	size_t old_owner_count, old_owner_capacity;
	bool is_commit; /* what the lines are about, */
	unsigned long long mark;
	char commit[COMMIT_SIZE];
	int64_t time;
};

static void history_destroy(struct history *history)
{
	for (size_t i = 0; i < history->blob_count; i++) {
		sops_key_group_destroy(&history->blobs[i].keys);
		free(history->blobs[i].ciphertext_end);
	}
	for (size_t i = 0; i < history->old_owner_count; i++)
		free(history->old_owners[i].name);
	free(history->by_path);
	free(history->prefix);
	free(history->line);
	free(history->blobs);
	free(history->versions);
	free(history->old_owners);
	if (history->stream)
		fclose(history->stream);
}

static int git_start(const char *const *arguments, int store_dirfd, FILE **output, pid_t *pid,
		     struct error *err)
{
	_cleanup_free_ char *directory = text_format("/proc/self/fd/%d", store_dirfd);

	return directory ? git_start_reading(&(struct program){.directory = directory,
							       .fds = {-1, -1, STDERR_FILENO}},
					     arguments, output, pid, err)
			 : error_no_memory(err);
}

/* Reads a line without its end. Returns 0 at the end of the stream. */
static bool line_read(struct history *history)
{
	ssize_t size = getline(&history->line, &history->line_size, history->stream);

	if (size > 0 && history->line[size - 1] == '\n')
		history->line[size - 1] = '\0';
	return size > 0;
}

/* The rest of the line after `start`, or NULL. */
static const char *line_after(const struct history *history, const char *start)
{
	const size_t length = strlen(start);

	return strncmp(history->line, start, length) == 0 ? history->line + length : NULL;
}

/* Where in the repository the store is. */
static int repository_find(struct history *history, int store_dirfd, bool *is_shallow,
			   struct error *err)
{
	static const char *const arguments[] = {"rev-parse", "--show-prefix",
						"--is-shallow-repository", NULL};
	pid_t pid = 0;
	int r = git_start(arguments, store_dirfd, &history->stream, &pid, err);

	if (r < 0)
		return r;
	history->prefix = strdup(line_read(history) ? history->line : "");
	*is_shallow = line_read(history) && strcmp(history->line, "true") == 0;
	r = program_end_reading(&history->stream, pid, "git", err);
	if (r < 0)
		return error_hint(err, "the history is that of the git repository with the store");
	return history->prefix ? 0 : error_no_memory(err);
}

static int path_compare(const void *a, const void *b)
{
	return strcmp((*(struct access_secret *const *)a)->path,
		      (*(struct access_secret *const *)b)->path);
}

static struct access_secret *secret_find(const struct history *history, const char *path)
{
	const struct access_secret wanted = {.path = (char *)path}, *key = &wanted;
	struct access_secret **found = bsearch(&key, history->by_path, history->access->count,
					       sizeof(void *), path_compare);

	return found ? *found : NULL;
}

/* Reverses the quotes of C. */
static void path_unquote(char *path)
{
	static const char escapes[] = "a\ab\bf\fn\nr\rt\tv\v";
	char *to = path;

	for (const char *from = path + 1; *from && *from != '"'; to++) {
		const char *known;

		if (*from != '\\' || !from[1]) {
			*to = *from++;
			continue;
		}
		if (from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			const char digits[] = {from[1], from[2], from[3], '\0'};

			*to = (char)strtoul(digits, NULL, 8);
			from += 4;
			continue;
		}
		known = strchr(escapes, from[1]);
		*to = from[1];
		if (known)
			*to = known[1];
		from += 2;
	}
	*to = '\0';
}

static const struct blob *blob_find(const struct history *history, unsigned long long mark)
{
	size_t low = 0, high = history->blob_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (history->blobs[middle].mark < mark)
			low = middle + 1;
		else
			high = middle;
	}
	return low < history->blob_count && history->blobs[low].mark == mark ? &history->blobs[low]
									     : NULL;
}

/* A version of a secret in the commit. */
static int version_add(struct history *history, const struct blob *blob,
		       struct access_secret *secret, struct error *err)
{
	struct version version = {
		.secret = secret, .blob = (size_t)(blob - history->blobs), .time = history->time};

	if (array_grow(&history->versions, history->version_count, &history->version_capacity,
		       sizeof(version), err) < 0)
		return -(int)err->code;
	memcpy(version.commit, history->commit, sizeof(version.commit));
	history->versions[history->version_count++] = version;
	return 0;
}

static struct old_owner *old_owner_find(const struct history *history, const char *key)
{
	for (size_t i = 0; i < history->old_owner_count; i++) {
		if (strcmp(history->old_owners[i].key, key) == 0)
			return &history->old_owners[i];
	}
	return NULL;
}

/* A version of "sops/users/NAME/key.json" in the commit, or of a machine's. */
static int keys_take(struct history *history, const struct blob *blob, const char *path,
		     struct error *err)
{
	enum vars_member_type type = VARS_USER;
	const char *name = NULL;
	int r = 0;

	if (strncmp(path, "sops/users/", 11) == 0) {
		name = path + 11;
	} else if (strncmp(path, "sops/machines/", 14) == 0) {
		name = path + 14;
		type = VARS_MACHINE;
	}
	for (size_t i = 0; r == 0 && name && i < blob->keys.count; i++) {
		struct old_owner *owner = old_owner_find(history, blob->keys.keys[i].text);

		if (!owner) {
			r = array_grow(&history->old_owners, history->old_owner_count,
				       &history->old_owner_capacity, sizeof(*owner), err);
			if (r < 0)
				break;
			owner = &history->old_owners[history->old_owner_count++];
			*owner = (struct old_owner){.key = blob->keys.keys[i].text};
		}
		free(owner->name);
		owner->type = type;
		owner->name = strndup(name, strcspn(name, "/"));
		r = owner->name ? 0 : error_no_memory(err);
	}
	return r;
}

/* "M 100644 :MARK PATH" */
static int change_take(struct history *history, char *line, struct error *err)
{
	const size_t prefix_size = strlen(history->prefix);
	const struct blob *blob;
	struct access_secret *secret;
	char *path, *mark = strstr(line, " :");

	path = mark ? strchr(mark + 2, ' ') : NULL;
	blob = path ? blob_find(history, strtoull(mark + 2, NULL, 10)) : NULL;
	if (!blob)
		return 0;
	path++;
	if (*path == '"')
		path_unquote(path);
	if (strncmp(path, history->prefix, prefix_size) != 0)
		return 0;
	path += prefix_size;
	if (!blob->ciphertext_end)
		return keys_take(history, blob, path, err);
	secret = secret_find(history, path);
	return secret ? version_add(history, blob, secret, err) : 0;
}

static int document_keys_add(const struct sops_document *document, struct blob *blob,
			     struct error *err)
{
	const struct sops_policy *policy = sops_document_policy(document);
	int r = 0;

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; r == 0 && j < policy->groups[i].count; j++)
			r = sops_key_group_add(&blob->keys, policy->groups[i].keys[j].type,
					       span_of_text(policy->groups[i].keys[j].text), err);
	}
	blob->ciphertext_end = access_ciphertext_end(document);
	return r < 0 || blob->ciphertext_end ? r : error_no_memory(err);
}

/* Neither a document nor keys, such as one with merge conflicts: nobody could read it. */
static int blob_parse(struct secret *text, struct blob *blob, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_error_ struct error ignored = {0};

	if (text->size > 0 && text->data[0] == '[')
		return member_keys_parse(secret_span(text), "key.json", &blob->keys, &ignored) == 0;
	if (sops_document_read(sops_store_named("binary"), text, "secret", &document, &ignored) < 0)
		return 0;
	return document_keys_add(document, blob, err) < 0 ? -(int)err->code : 1;
}

static int blob_take(struct history *history, size_t size, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	struct blob blob = {.mark = history->mark};
	int r = secret_reserve(&text, size, err);

	if (r < 0)
		return r;
	text.size = fread(text.data, 1, size, history->stream);
	r = blob_parse(&text, &blob, err);
	if (r > 0 && array_grow(&history->blobs, history->blob_count, &history->blob_capacity,
				sizeof(blob), err) < 0)
		r = -(int)err->code;
	if (r > 0) {
		history->blobs[history->blob_count++] = blob;
		return 0;
	}
	sops_key_group_destroy(&blob.keys);
	free(blob.ciphertext_end);
	return r;
}

/* "data SIZE": a document, or a commit's message. */
static int data_take(struct history *history, const char *size_text, struct error *err)
{
	const unsigned long long size = strtoull(size_text, NULL, 10);

	if (!history->is_commit && size > 0 && size <= VARS_DOCUMENT_SIZE_MAX)
		return blob_take(history, (size_t)size, err);
	for (unsigned long long i = 0; i < size; i++) {
		if (getc(history->stream) == EOF)
			break;
	}
	return 0;
}

static int line_take(struct history *history, struct error *err)
{
	const char *rest;

	if (strcmp(history->line, "blob") == 0)
		history->is_commit = false;
	else if (line_after(history, "commit ") || line_after(history, "tag "))
		history->is_commit = true;
	else if ((rest = line_after(history, "mark :")))
		history->mark = strtoull(rest, NULL, 10);
	else if ((rest = line_after(history, "original-oid ")))
		snprintf(history->commit, sizeof(history->commit), "%s", rest);
	else if (line_after(history, "committer ") && (rest = strrchr(history->line, '>')))
		history->time = strtoll(rest + 1, NULL, 10);
	else if ((rest = line_after(history, "data ")))
		return data_take(history, rest, err);
	else if (history->is_commit && line_after(history, "M "))
		return change_take(history, history->line, err);
	return 0;
}

static int commits_read(struct history *history, int store_dirfd, struct error *err)
{
	/* All versions, also of branches whose changes a merge dropped. */
	static const char *const arguments[] = {"fast-export",
						"--all",
						"--full-history",
						"--show-original-ids",
						"--signed-tags=strip",
						"--tag-of-filtered-object=drop",
						"--reencode=no",
						"--",
						":(glob)vars/**/secret",
						":(glob)sops/secrets/*/secret",
						":(glob)sops/*/*/key.json",
						NULL};
	_cleanup_error_ struct error ignored = {0};
	pid_t pid = 0;
	int r = git_start(arguments, store_dirfd, &history->stream, &pid, err);

	if (r < 0)
		return r;
	while (r == 0 && line_read(history))
		r = line_take(history, err);
	if (r == 0)
		return program_end_reading(&history->stream, pid, "git", err);
	(void)program_end_reading(&history->stream, pid, "git", &ignored);
	return r;
}

static bool is_reader(const struct access_secret *secret, const char *key)
{
	for (size_t i = 0; i < secret->reader_count; i++) {
		const struct access_reader *reader = &secret->readers[i];

		for (size_t j = 0; j < reader->key_count; j++) {
			if (reader->keys[j].is_recipient && strcmp(reader->keys[j].text, key) == 0)
				return true;
		}
	}
	return false;
}

/* The newest commit counts. */
static int former_set(struct access_reader *reader, const char *commit, int64_t commit_time,
		      bool has_current_value, struct error *err)
{
	reader->has_current_value |= has_current_value;
	if (reader->commit && commit_time < reader->commit_time)
		return 0;
	free(reader->commit);
	reader->commit = strdup(commit);
	reader->commit_time = commit_time;
	return reader->commit ? 0 : error_no_memory(err);
}

/* The owner of a former key: the present one, or else the last one. */
static const char *owner_find(const struct history *history, const struct key_owners *owners,
			      const struct sops_key *key, enum vars_member_type *type)
{
	const struct old_owner *old = old_owner_find(history, key->text);
	const char *name = key_owners_find(owners, key, type);

	if (name || !old)
		return name;
	*type = old->type;
	return old->name;
}

static int version_take(const struct history *history, const struct key_owners *owners,
			const struct version *version, struct error *err)
{
	const struct blob *blob = &history->blobs[version->blob];
	struct access_secret *secret = version->secret;
	const bool is_current = secret->ciphertext_end && secret->ciphertext_end[0] &&
				strcmp(secret->ciphertext_end, blob->ciphertext_end) == 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < blob->keys.count; i++) {
		const struct sops_key *key = &blob->keys.keys[i];
		enum vars_member_type type = VARS_USER;
		struct access_reader *reader;
		const char *name;

		if (is_reader(secret, key->text))
			continue;
		name = owner_find(history, owners, key, &type);
		reader = access_reader_get(secret, type, name, key->text, true, err);
		r = reader ? access_key_add(reader, key->text, false, err) : -(int)err->code;
		if (r == 0)
			r = former_set(reader, version->commit, version->time, is_current, err);
	}
	return r;
}

int access_read_history(struct access *access, int store_dirfd, bool *is_shallow, struct error *err)
{
	__attribute__((cleanup(history_destroy))) struct history history = {.access = access};
	__attribute__((cleanup(key_owners_destroy))) struct key_owners *owners = NULL;
	int r;

	history.by_path = calloc(access->count + 1, sizeof(void *));
	if (!history.by_path)
		return error_no_memory(err);
	for (size_t i = 0; i < access->count; i++)
		history.by_path[i] = &access->secrets[i];
	qsort(history.by_path, access->count, sizeof(void *), path_compare);
	r = repository_find(&history, store_dirfd, is_shallow, err);
	if (r == 0)
		r = commits_read(&history, store_dirfd, err);
	if (r == 0)
		r = key_owners_read(store_dirfd, &owners, err);
	for (size_t i = 0; r == 0 && i < history.version_count; i++)
		r = version_take(&history, owners, &history.versions[i], err);
	return r < 0 ? error_wrap(err, "reading the history") : 0;
}
