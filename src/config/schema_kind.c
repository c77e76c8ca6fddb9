/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kind: { FILE: { KIND: OPTIONS } }`: how each of a generator's files is made. A kind's options
 * are a mapping; most kinds have one that can stand alone, `{base64: 32}`, `{ssh-key: ed25519}`,
 * and those that need none can be a word, `uuid`.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "config/schema.h"

/* systemd takes no larger credential: systemd.exec(5), LoadCredential=. */
#define SECRET_SIZE_MAX ((size_t)1024 * 1024)

#define DAYS_MAX 36600 /* a hundred years */

static const char *const algorithm_words[] = {
	[CONFIG_ALGORITHM_DEFAULT] = "default", [CONFIG_ALGORITHM_ED25519] = "ed25519",
	[CONFIG_ALGORITHM_RSA] = "rsa",         [CONFIG_ALGORITHM_YESCRYPT] = "yescrypt",
	[CONFIG_ALGORITHM_SHA512] = "sha-512",  [CONFIG_ALGORITHM_HS256] = "HS256",
	[CONFIG_ALGORITHM_EDDSA] = "EdDSA",     NULL,
};

/* One row a kind; what it takes beside `size` and an algorithm is in `keys`. */
struct kind_row {
	const char *name;
	enum config_kind_type type;
	size_t size_min, size_max;           /* 0: it has no size */
	size_t size_default;                 /* 0: the size must be given */
	enum config_algorithm algorithms[2]; /* the first is the default */
	const char *lone;                    /* the option that a scalar stands for, or NULL */
	const struct reader_key *keys;
};

static int read_days(struct reader *reader, struct fy_node *value, void *target)
{
	return reader_number(reader, value, 1, DAYS_MAX, target);
}

/* Checked against the row's limits by size_check(). */
static int read_size(struct reader *reader, struct fy_node *value, void *target)
{
	return reader_number(reader, value, 1, SECRET_SIZE_MAX, target);
}

/* Checked against the method's limits later. */
static int read_rounds(struct reader *reader, struct fy_node *value, void *target)
{
	return reader_number(reader, value, 1, UINT32_MAX, target);
}

static int read_algorithm(struct reader *reader, struct fy_node *value, void *target)
{
	int word;
	int r = reader_word(reader, value, algorithm_words, &word);

	if (r == 0)
		*(enum config_algorithm *)target = (enum config_algorithm)word;
	return r;
}

#define KEY(name, read, member)                                  \
	{                                                        \
		name, read, offsetof(struct config_kind, member) \
	}

static const struct reader_key bytes_keys[] = {KEY("bytes", read_size, size), {0}};
static const struct reader_key length_keys[] = {KEY("length", read_size, size), {0}};
static const struct reader_key passphrase_keys[] = {
	KEY("words", read_size, size),
	KEY("list", reader_string, list),
	KEY("separator", reader_string, separator),
	{0},
};
static const struct reader_key password_hash_keys[] = {
	KEY("of", reader_string, source),
	KEY("method", read_algorithm, algorithm),
	KEY("rounds", read_rounds, size),
	{0},
};
static const struct reader_key ssh_keys[] = {
	KEY("type", read_algorithm, algorithm),
	KEY("bits", read_size, size),
	KEY("comment", reader_string, comment),
	KEY("public", reader_string, public_file),
	{0},
};
static const struct reader_key pair_keys[] = {KEY("public", reader_string, public_file), {0}};
static const struct reader_key tls_keys[] = {
	KEY("certificate", reader_string, public_file),
	KEY("subject", reader_string, subject),
	KEY("names", reader_strings, names),
	KEY("ca", reader_bool, authority),
	KEY("issuer", reader_string, issuer),
	KEY("days", read_days, days),
	{0},
};
static const struct reader_key jwt_keys[] = {
	KEY("algorithm", read_algorithm, algorithm),
	KEY("public", reader_string, public_file),
	{0},
};
static const struct reader_key no_keys[] = {{0}};

/* RSA: what OpenSSH takes (2048) to what still ends in seconds. */
static const struct kind_row rows[] = {
	{"age-key", CONFIG_KIND_AGE_KEY, 0, 0, 0, {0}, "public", pair_keys},
	{"alphanumeric",
	 CONFIG_KIND_ALPHANUMERIC,
	 1,
	 SECRET_SIZE_MAX,
	 0,
	 {0},
	 "length",
	 length_keys},
	{"base64", CONFIG_KIND_BASE64, 1, SECRET_SIZE_MAX / 2, 0, {0}, "bytes", bytes_keys},
	{"base64url", CONFIG_KIND_BASE64URL, 1, SECRET_SIZE_MAX / 2, 0, {0}, "bytes", bytes_keys},
	{"hex", CONFIG_KIND_HEX, 1, SECRET_SIZE_MAX / 2, 0, {0}, "bytes", bytes_keys},
	{"jwt",
	 CONFIG_KIND_JWT,
	 0,
	 0,
	 0,
	 {CONFIG_ALGORITHM_HS256, CONFIG_ALGORITHM_EDDSA},
	 "algorithm",
	 jwt_keys},
	{"machine-id", CONFIG_KIND_MACHINE_ID, 0, 0, 0, {0}, NULL, no_keys},
	{"passphrase", CONFIG_KIND_PASSPHRASE, 1, 64, 6, {0}, "list", passphrase_keys},
	{"password-hash",
	 CONFIG_KIND_PASSWORD_HASH,
	 0,
	 0,
	 0,
	 {CONFIG_ALGORITHM_YESCRYPT, CONFIG_ALGORITHM_SHA512},
	 "of",
	 password_hash_keys},
	{"pin", CONFIG_KIND_PIN, 1, 1024, 0, {0}, "length", length_keys},
	{"ssh-key",
	 CONFIG_KIND_SSH_KEY,
	 2048,
	 8192,
	 4096,
	 {CONFIG_ALGORITHM_ED25519, CONFIG_ALGORITHM_RSA},
	 "type",
	 ssh_keys},
	{"tls", CONFIG_KIND_TLS, 0, 0, 0, {0}, "certificate", tls_keys},
	{"uuid", CONFIG_KIND_UUID, 0, 0, 0, {0}, NULL, no_keys},
	{"wireguard", CONFIG_KIND_WIREGUARD, 0, 0, 0, {0}, "public", pair_keys},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

void schema_kind_release(struct config_kind *kind)
{
	free(kind->public_file);
	free(kind->list);
	free(kind->separator);
	free(kind->source);
	free(kind->comment);
	free(kind->subject);
	config_texts_free(kind->names);
	free(kind->issuer);
}

/* The kinds are read after the files that they belong to, whatever the order in the file. */
struct kind_entry {
	char *file;
	struct config_kind kind;
	const struct kind_row *row;
	struct fy_node *key, *node; /* the file's name, the kind's */
};

static const struct kind_row *row_find(struct reader *reader, struct fy_node *node,
				       const char *name)
{
	const char *names[ROW_COUNT + 1] = {NULL};

	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
		names[i] = rows[i].name;
	}
	reader_reject(reader, node, "unknown kind \"%s\"", name);
	schema_hint_nearest(reader, name_nearest(name, names));
	return NULL;
}

static int options_read(struct reader *reader, const struct kind_row *row, struct fy_node *value,
			struct config_kind *kind)
{
	value = reader_resolve(value);
	if (!row->lone || !value || !fy_node_is_scalar(value) || fy_node_is_null(value))
		return reader_mapping(reader, value, row->keys, kind);
	for (const struct reader_key *key = row->keys; key->name; key++) {
		if (strcmp(key->name, row->lone) == 0)
			return key->read(reader, value, (char *)kind + key->offset);
	}
	return 0;
}

static int algorithm_check(struct reader *reader, const struct kind_row *row, struct fy_node *node,
			   struct config_kind *kind)
{
	const enum config_algorithm *algorithms = row->algorithms;

	if (kind->algorithm == CONFIG_ALGORITHM_DEFAULT)
		kind->algorithm = algorithms[0];
	if (kind->algorithm == algorithms[0] || kind->algorithm == algorithms[1])
		return 0;
	return reader_reject(reader, node, "%s can be %s or %s, not %s", row->name,
			     algorithm_words[algorithms[0]], algorithm_words[algorithms[1]],
			     algorithm_words[kind->algorithm]);
}

static int size_check(struct reader *reader, const struct kind_row *row, struct fy_node *node,
		      struct config_kind *kind)
{
	if (kind->size == 0)
		kind->size = row->size_default;
	if (row->size_min > 0 && (kind->size < row->size_min || kind->size > row->size_max))
		return reader_reject(reader, node, "%s needs a size from %zu to %zu", row->name,
				     row->size_min, row->size_max);
	return 0;
}

static int read_kind(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry)
{
	struct kind_entry *into = entry;
	struct fy_node *word = reader_resolve(value), *options = NULL;
	_cleanup_free_ char *kind = NULL;
	const struct kind_row *row;
	int r;

	into->file = strdup(name);
	into->key = key;
	into->kind.line = reader_line(key);
	if (!into->file)
		return error_no_memory(reader->err);
	if (word && fy_node_is_mapping(word) && fy_node_mapping_item_count(word) == 1) {
		struct fy_node_pair *pair = fy_node_mapping_get_by_index(word, 0);

		word = fy_node_pair_key(pair);
		options = fy_node_pair_value(pair);
	} else if (!word || !fy_node_is_scalar(word)) {
		return reader_reject(reader, key,
				     "must be one kind with its options, such as {base64: 32}");
	}
	r = reader_string(reader, word, &kind);
	if (r < 0)
		return r;
	row = row_find(reader, word, kind);
	if (!row)
		return -(int)reader->err->code;
	into->kind.type = row->type;
	into->row = row;
	into->node = word;
	r = options ? options_read(reader, row, options, &into->kind) : 0;
	return r == 0 ? algorithm_check(reader, row, word, &into->kind) : r;
}

static struct config_file *file_find(struct reader *reader, struct config_generator *generator,
				     const char *name, struct fy_node *node)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (strcmp(generator->files[i].name, name) == 0)
			return &generator->files[i];
	}
	reader_reject(reader, node, "there is no file \"%s\"", name);
	schema_hint_nearest(reader,
			    schema_entry_nearest(name, generator->files, generator->file_count,
						 sizeof(struct config_file),
						 offsetof(struct config_file, name)));
	return NULL;
}

static int public_half_assign(struct reader *reader, struct config_generator *generator,
			      const struct config_file *file, struct fy_node *key)
{
	struct config_file *public_file = file_find(reader, generator, file->kind.public_file, key);

	if (!public_file)
		return -(int)reader->err->code;
	if (public_file == file || public_file->derived)
		return reader_reject(reader, key, "\"%s\" is made by two kinds", public_file->name);
	public_file->derived = true;
	return 0;
}

/* Gives a kind to its file, and marks the file of its public half. */
static int kind_assign(struct reader *reader, struct config_generator *generator,
		       struct kind_entry *entry)
{
	struct config_file *file = file_find(reader, generator, entry->file, entry->key);
	int r;

	if (!file)
		return -(int)reader->err->code;
	r = schema_kind_check(reader, entry->node, &entry->kind, generator->name);
	if (r == 0)
		r = size_check(reader, entry->row, entry->node, &entry->kind);
	if (r < 0)
		return r;
	file->kind = entry->kind;
	entry->kind = (struct config_kind){0};
	return file->kind.public_file ? public_half_assign(reader, generator, file, entry->key) : 0;
}

static int made_once_check(struct reader *reader, struct config_generator *generator,
			   struct kind_entry *entry)
{
	const struct config_file *file = config_file_find(generator, entry->file);

	return file->derived ? reader_reject(reader, entry->key, "\"%s\" is made by two kinds",
					     file->name)
			     : 0;
}

static int kinds_assign(struct reader *reader, struct config_generator *generator,
			struct kind_entry *entries, size_t count)
{
	static int (*const steps[])(struct reader * reader, struct config_generator * generator,
				    struct kind_entry * entry) = {kind_assign, made_once_check};
	int r = 0;

	for (size_t i = 0; i < count * 2 && r == 0; i++) {
		struct kind_entry *entry = &entries[i % count];
		char *previous = reader_enter(reader, entry->file);

		if (!previous)
			return -(int)reader->err->code;
		r = steps[i / count](reader, generator, entry);
		reader_leave(reader, previous);
	}
	return r == 0 ? schema_prompts_check(reader, generator) : r;
}

int schema_kinds(struct reader *reader, struct config_generator *generator, struct fy_node *node)
{
	struct kind_entry *entries = NULL;
	void *array = NULL;
	size_t count = 0;
	int r = reader_entries(reader, node, sizeof(struct kind_entry), read_kind, &array, &count);

	entries = array;
	if (r == 0)
		r = kinds_assign(reader, generator, entries, count);
	for (size_t i = 0; i < count; i++) {
		free(entries[i].file);
		schema_kind_release(&entries[i].kind);
	}
	free(entries);
	return r;
}
