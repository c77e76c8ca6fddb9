/* SPDX-License-Identifier: Apache-2.0 */
/* Passphrases to type, and password hashes for /etc/shadow. */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "vars/builtin/builtin.h"

/* Large dictionaries have a few MiB. */
#define LIST_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* With fewer words, six of them have less than 60 bits. */
#define LIST_WORDS_MIN 1024

#define DEFAULT_SEPARATOR "-"

struct words {
	struct span *items; /* owned */
	size_t count;
};

static void words_free(struct words *words)
{
	free(words->items);
}

static bool is_blank(uint8_t character)
{
	return character == ' ' || character == '\t' || character == '\r';
}

/* The last word of the line, because diceware lists start it with the dice. Empty for comments. */
static struct span word_of_line(struct span line)
{
	size_t end = line.size, start;

	if (line.size > 0 && line.data[0] == '#')
		return span_of(NULL, 0);
	while (end > 0 && is_blank(line.data[end - 1]))
		end--;
	for (start = end; start > 0 && !is_blank(line.data[start - 1]);)
		start--;
	return span_of(line.data + start, end - start);
}

/* A duplicate word would be chosen twice as often. */
static void duplicates_remove(struct words *words)
{
	size_t kept = 0;

	qsort(words->items, words->count, sizeof(*words->items), spans_compare);
	for (size_t i = 0; i < words->count; i++) {
		if (kept == 0 || spans_compare(&words->items[kept - 1], &words->items[i]) != 0)
			words->items[kept++] = words->items[i];
	}
	words->count = kept;
}

/* The words point into the text. */
static int words_split(struct span text, struct words *words, struct error *err)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf"; /* of UTF-8 */
	size_t lines = 1;

	if (span_starts_with(text, span_of_text(byte_order_mark)))
		text = span_of(text.data + strlen(byte_order_mark),
			       text.size - strlen(byte_order_mark));
	for (size_t i = 0; i < text.size; i++)
		lines += text.data[i] == '\n';
	words->items = calloc(lines, sizeof(*words->items));
	if (!words->items)
		return error_no_memory(err);
	while (text.size > 0) {
		const uint8_t *end = memchr(text.data, '\n', text.size);
		size_t size = end ? (size_t)(end - text.data) : text.size;
		struct span word = word_of_line(span_of(text.data, size));

		if (word.size > 0)
			words->items[words->count++] = word;
		size += end ? 1 : 0;
		text = span_of(text.data + size, text.size - size);
	}
	duplicates_remove(words);
	return 0;
}

static int words_append(const struct words *words, size_t count, const char *separator,
			struct secret *content, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		uint32_t number;

		r = i > 0 ? secret_append_text(content, separator, err) : 0;
		if (r == 0)
			r = random_below((uint32_t)words->count, &number, err);
		if (r == 0)
			r = secret_append(content, words->items[number], err);
	}
	return r;
}

int kind_passphrase_make(const struct kind_task *task, struct secret *content,
			 struct secret *public_half, struct error *err)
{
	const struct config_builtin *kind = &task->file->builtin;
	_cleanup_free_ char *text = NULL;
	__attribute__((cleanup(words_free))) struct words words = {0};
	size_t size = 0;
	int r = file_read_text(task->inputs->store_dirfd, kind->list, LIST_SIZE_MAX, &text, &size,
			       err);

	(void)public_half;
	if (r == 0)
		r = words_split(span_of(text, size), &words, err);
	if (r < 0)
		return r;
	if (words.count < LIST_WORDS_MIN) {
		error_set(err, VMCRED_FAILED, "the word list %s has only %zu different words",
			  kind->list, words.count);
		return error_hint(err, "at least %d are required", LIST_WORDS_MIN);
	}
	return words_append(&words, kind->size,
			    kind->separator ? kind->separator : DEFAULT_SEPARATOR, content, err);
}

/* A file of this generator, a prompt's answer, or a file of a dependency. */
static int password_find(const struct kind_task *task, struct span *password, struct error *err)
{
	const char *source = task->file->builtin.source, *slash = strchr(source, '/');

	for (size_t i = 0; !slash && i < task->generator->file_count; i++) {
		if (strcmp(task->values[i].file->name, source) == 0 &&
		    task->values[i].plaintext.size > 0) {
			*password = secret_span(&task->values[i].plaintext);
			return 0;
		}
	}
	return inputs_find(task->inputs, source, password, err);
}

/* As a C string, without a trailing newline. */
static int password_copy(struct span password, struct secret *text, struct error *err)
{
	if (password.size > 0 && password.data[password.size - 1] == '\n')
		password.size--;
	if (password.size == 0)
		return error_set(err, VMCRED_FAILED, "the password is empty");
	if (memchr(password.data, '\0', password.size) ||
	    memchr(password.data, '\n', password.size))
		return error_set(err, VMCRED_FAILED, "the password is not a single line of text");
	if (password.size > CRYPT_MAX_PASSPHRASE_SIZE)
		return error_set(err, VMCRED_FAILED, "the password is longer than %d bytes",
				 CRYPT_MAX_PASSPHRASE_SIZE);
	if (secret_append(text, password, err) < 0)
		return -(int)err->code;
	return secret_append(text, span_of("", 1), err);
}

int kind_password_hash_make(const struct kind_task *task, struct secret *content,
			    struct secret *public_half, struct error *err)
{
	const char *prefix =
		task->file->builtin.algorithm == CONFIG_ALGORITHM_SHA512 ? "$6$" : "$y$";
	_cleanup_secret_ struct secret text = {0}, state = {0};
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct span password;
	const char *hash;
	int r = password_find(task, &password, err);

	(void)public_half;
	if (r == 0)
		r = password_copy(password, &text, err);
	/* crypt(3) has plaintext in it. */
	if (r == 0)
		r = secret_reserve(&state, sizeof(struct crypt_data), err);
	if (r < 0)
		return r;
	state.size = sizeof(struct crypt_data);
	memory_wipe(state.data, state.size);
	if (!crypt_gensalt_rn(prefix, task->file->builtin.size, NULL, 0, setting, sizeof(setting)))
		return error_set(err, VMCRED_FAILED, "libcrypt does not support the hash %s",
				 prefix);
	hash = crypt_rn((const char *)text.data, setting, state.data, (int)state.size);
	if (!hash)
		return error_set(err, VMCRED_FAILED, "libcrypt failed to hash the password with %s",
				 prefix);
	return secret_append_text(content, hash, err);
}
