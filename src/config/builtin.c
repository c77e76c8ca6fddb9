/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kind: { FILE: { KIND: OPTIONS } }`: the built-in generators of files. The options are a mapping;
 * most kinds have a main option that can be given alone, `{base64: 32}`, `{ssh-key: ed25519}`. A
 * kind without options can be a word, `uuid`.
 */
#include <stdint.h>

#include "config/schema.h"

/* systemd's limit for a credential: systemd.exec(5), LoadCredential=. */
#define SECRET_SIZE_MAX ((size_t)1024 * 1024)

#define DAYS_MAX 36600 /* a hundred years */

/* In the order of the row's `algorithms`. */
static const char *const hash_words[] = {"yescrypt", "sha-512", NULL};
static const char *const ssh_words[] = {"ed25519", "rsa", NULL};
static const char *const jwt_words[] = {"HS256", "EdDSA", NULL};

#define KEY(name, read, member)    READER_KEY(name, read, struct config_builtin, member)
#define WORD(name, words, member)  READER_WORD(name, words, struct config_builtin, member)
#define NUMBER(name, most, member) READER_NUMBER(name, most, struct config_builtin, member)

/* The limits of the row, or of the method, are checked later. */
static const struct reader_key bytes_keys[] = {NUMBER("bytes", SECRET_SIZE_MAX / 2, size), {0}};
static const struct reader_key length_keys[] = {NUMBER("length", SECRET_SIZE_MAX, size), {0}};
static const struct reader_key passphrase_keys[] = {
	NUMBER("words", SECRET_SIZE_MAX, size),
	KEY("list", reader_string, list),
	KEY("separator", reader_string, separator),
	{0},
};
static const struct reader_key password_hash_keys[] = {
	KEY("of", reader_string, source),
	WORD("method", hash_words, algorithm),
	NUMBER("rounds", UINT32_MAX, size),
	{0},
};
static const struct reader_key ssh_keys[] = {
	WORD("type", ssh_words, algorithm),
	NUMBER("bits", SECRET_SIZE_MAX, size),
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
	NUMBER("days", DAYS_MAX, days),
	{0},
};
static const struct reader_key jwt_keys[] = {
	WORD("algorithm", jwt_words, algorithm),
	KEY("public", reader_string, public_file),
	{0},
};
static const struct reader_key no_keys[] = {{0}};

struct builtin_row {
	const char *name;
	enum config_builtin_type type;
	const struct reader_key *keys;
	const char *lone;                    /* the option that a scalar sets, or NULL */
	size_t size_min, size_max;           /* 0: no size */
	size_t size_default;                 /* 0: the size is required */
	enum config_algorithm algorithms[2]; /* the first is the default */
};

/* RSA: from OpenSSH's minimum to what still takes only seconds. */
static const struct builtin_row rows[] = {
	{"age-key", CONFIG_BUILTIN_AGE_KEY, pair_keys, .lone = "public"},
	{"alphanumeric", CONFIG_BUILTIN_ALPHANUMERIC, length_keys, .lone = "length", .size_min = 1,
	 .size_max = SECRET_SIZE_MAX},
	{"base64", CONFIG_BUILTIN_BASE64, bytes_keys, .lone = "bytes", .size_min = 1,
	 .size_max = SECRET_SIZE_MAX / 2},
	{"base64url", CONFIG_BUILTIN_BASE64URL, bytes_keys, .lone = "bytes", .size_min = 1,
	 .size_max = SECRET_SIZE_MAX / 2},
	{"hex", CONFIG_BUILTIN_HEX, bytes_keys, .lone = "bytes", .size_min = 1,
	 .size_max = SECRET_SIZE_MAX / 2},
	{"jwt", CONFIG_BUILTIN_JWT, jwt_keys, .lone = "algorithm",
	 .algorithms = {CONFIG_ALGORITHM_HS256, CONFIG_ALGORITHM_EDDSA}},
	{"machine-id", CONFIG_BUILTIN_MACHINE_ID, no_keys, .lone = NULL},
	{"passphrase", CONFIG_BUILTIN_PASSPHRASE, passphrase_keys, .lone = "list", .size_min = 1,
	 .size_max = 64, .size_default = 6},
	{"password-hash", CONFIG_BUILTIN_PASSWORD_HASH, password_hash_keys, .lone = "of",
	 .algorithms = {CONFIG_ALGORITHM_YESCRYPT, CONFIG_ALGORITHM_SHA512}},
	{"pin", CONFIG_BUILTIN_PIN, length_keys, .lone = "length", .size_min = 1, .size_max = 1024},
	{"ssh-key", CONFIG_BUILTIN_SSH_KEY, ssh_keys, .lone = "type", .size_min = 2048,
	 .size_max = 8192, .size_default = 4096,
	 .algorithms = {CONFIG_ALGORITHM_ED25519, CONFIG_ALGORITHM_RSA}},
	{"tls", CONFIG_BUILTIN_TLS, tls_keys, .lone = "certificate"},
	{"uuid", CONFIG_BUILTIN_UUID, no_keys, .lone = NULL},
	{"wireguard", CONFIG_BUILTIN_WIREGUARD, pair_keys, .lone = "public"},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* The kinds are read after the files, whatever their order in the text. */
struct entry {
	char *file;
	struct config_builtin builtin;
	const struct builtin_row *row;
	const struct yaml_node *key, *node; /* the file's name, the kind's */
};

static int options_read(struct reader *reader, const struct builtin_row *row,
			const struct yaml_node *value, struct config_builtin *builtin)
{
	const struct yaml_node *node = yaml_target(value);

	if (!row->lone || node->kind != YAML_SCALAR || (node->value.size == 0 && !node->quoted))
		return reader_mapping(reader, value, row->keys, builtin);
	for (const struct reader_key *key = row->keys; key->name; key++) {
		if (strcmp(key->name, row->lone) == 0)
			return reader_key_value(reader, key, value, builtin);
	}
	return 0;
}

static int entry_read(struct reader *reader, const char *name, const struct yaml_node *key,
		      const struct yaml_node *value, void *data)
{
	struct entry *entry = data;
	const struct yaml_node *node = yaml_target(value), *options = NULL;
	struct config_builtin *builtin = &entry->builtin;
	char *word = NULL;
	const struct builtin_row *row = rows;
	int r;

	entry->file = schema_text(reader->config, name, strlen(name), reader->err);
	entry->key = key;
	builtin->line = (int)key->line;
	if (!entry->file)
		return -(int)reader->err->code;
	if (node->kind == YAML_MAPPING && yaml_count(node) == 1) {
		node = node + 1;
		options = yaml_end(node);
	} else if (node->kind != YAML_SCALAR) {
		return reader_reject(reader, key, "must be one kind, such as {base64: 32}");
	}
	r = reader_string(reader, node, &word);
	if (r < 0)
		return r;
	while (row < rows + ROW_COUNT && strcmp(row->name, word) != 0)
		row++;
	if (row == rows + ROW_COUNT) {
		reader_reject(reader, node, "unknown kind \"%s\"", word);
		return READER_HINT_NEAREST(reader->err, word, rows, ROW_COUNT);
	}
	builtin->type = row->type;
	entry->row = row;
	entry->node = node;
	r = options ? options_read(reader, row, options, builtin) : 0;
	/* It was read as an index. */
	if (r == 0)
		builtin->algorithm = row->algorithms[builtin->algorithm];
	return r;
}

static struct config_file *file_find(struct reader *reader, struct config_generator *generator,
				     const char *name, const struct yaml_node *node)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (strcmp(generator->files[i].name, name) == 0)
			return &generator->files[i];
	}
	reader_reject(reader, node, "undeclared file \"%s\"", name);
	READER_HINT_NEAREST(reader->err, name, generator->files, generator->file_count);
	return NULL;
}

static int two_kinds_reject(struct reader *reader, const struct entry *entry, const char *file)
{
	return reader_reject(reader, entry->key, "two kinds for the file \"%s\"", file);
}

/* Gives a builtin to its file, and marks the file of its public half. */
static int entry_assign(struct reader *reader, struct config_generator *generator,
			struct entry *entry)
{
	struct config_file *file = file_find(reader, generator, entry->file, entry->key), *other;
	struct config_builtin *builtin = &entry->builtin;
	const struct builtin_row *row = entry->row;
	int r;

	if (!file)
		return -(int)reader->err->code;
	r = schema_builtin_check(reader, entry->node, builtin, generator->name);
	if (r < 0)
		return r;
	if (builtin->size == 0)
		builtin->size = row->size_default;
	if (row->size_min > 0 && (builtin->size < row->size_min || builtin->size > row->size_max))
		return reader_reject(reader, entry->node, "%s needs a size from %zu to %zu",
				     row->name, row->size_min, row->size_max);
	file->builtin = *builtin;
	if (!file->builtin.public_file)
		return 0;
	other = file_find(reader, generator, file->builtin.public_file, entry->key);
	if (!other)
		return -(int)reader->err->code;
	if (other == file || other->derived)
		return two_kinds_reject(reader, entry, other->name);
	other->derived = true;
	return 0;
}

struct entries {
	struct entry *items;
	size_t count;
};

static int entries_assign(struct reader *reader, struct config_generator *generator,
			  const struct entries *entries)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < entries->count; i++) {
		struct reader_where here = {reader->where, entries->items[i].file};

		reader->where = &here;
		r = entry_assign(reader, generator, &entries->items[i]);
		reader->where = here.parent;
	}
	/* Again, when all public halves are known. */
	for (size_t i = 0; r == 0 && i < entries->count; i++) {
		const struct entry *entry = &entries->items[i];
		struct reader_where here = {reader->where, entry->file};

		reader->where = &here;
		if (config_file_find(generator, entry->file)->derived)
			r = two_kinds_reject(reader, entry, entry->file);
		reader->where = here.parent;
	}
	return r < 0 ? r : schema_prompts_check(reader, generator);
}

int schema_builtins(struct reader *reader, struct config_generator *generator,
		    const struct yaml_node *node)
{
	static const struct reader_key row =
		READER_ENTRIES("kind", entry_read, struct entries, items, count);
	struct entries entries = {0};
	int r = reader_key_value(reader, &row, node, &entries);

	return r < 0 ? r : entries_assign(reader, generator, &entries);
}
