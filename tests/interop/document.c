/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter from stdin to stdout for the tests against the real
 * sops. INPUT and OUTPUT are stores; the identity file is in SOPS_AGE_KEY_FILE, the program gpg in
 * SOPS_GPG_EXEC.
 *
 *     document encrypt INPUT OUTPUT POLICY...     document decrypt INPUT OUTPUT
 *     document rotate INPUT OUTPUT                document updatekeys INPUT OUTPUT POLICY...
 *     document extract INPUT OUTPUT PATH          document unset INPUT OUTPUT PATH
 *     document set INPUT OUTPUT PATH VALUE        document edit INPUT OUTPUT FILE
 *     document again INPUT OUTPUT                 document force INPUT OUTPUT
 *     document round INPUT OUTPUT POLICY...
 *
 * `round` reads any number of texts that end with NUL. For each it writes its comments, the
 * encrypted text, what it decrypts to, and what that decrypts to when it was encrypted again, each
 * with a NUL. A text that cannot be encrypted gives empty ones. Warnings are failures.
 *
 * A word of a policy is TYPE:KEY, such as age:age1…, "+" for the next group, threshold=N,
 * mac_only_encrypted, or RULE=TEXT. An output store may have an indentation: json:2.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "sops/document.h"

#define INPUT_SIZE_MAX ((size_t)1024 * 1024 * 1024)

struct task {
	const struct sops_store *input, *output;
	struct sops_format format;
	char **words;
	struct secret text;
	struct sops_document *document;
	struct age_identities identities;
	struct sops_keyring keyring;
	struct secret out;
};

static void task_end(struct task *task)
{
	sops_document_destroy(&task->document);
	age_identities_destroy(&task->identities);
	secret_destroy(&task->text);
	secret_destroy(&task->out);
}

static int key_add(struct sops_policy *policy, const char *word, struct error *err)
{
	for (unsigned int type = 0; type < SOPS_KEY_TYPES; type++) {
		const char *name = sops_key_type_name(type);
		size_t size = strlen(name);

		if (strncmp(word, name, size) == 0 && word[size] == ':')
			return sops_key_group_add(&policy->groups[policy->group_count - 1], type,
						  span_of_text(word + size + 1), err);
	}
	return error_set(err, VMCRED_USAGE, "unknown policy \"%s\"", word);
}

static int policy_word(struct sops_policy *policy, const char *word, struct error *err)
{
	for (unsigned int rule = SOPS_UNENCRYPTED_SUFFIX; rule <= SOPS_ENCRYPTED_COMMENT_REGEX;
	     rule++) {
		const char *name = sops_rule_name(rule);
		size_t size = strlen(name);

		if (strncmp(word, name, size) == 0 && word[size] == '=')
			return sops_policy_rule_set(policy, rule, span_of_text(word + size + 1),
						    err);
	}
	if (strcmp(word, "+") == 0)
		return sops_policy_group_add(policy, err) ? 0 : -(int)err->code;
	if (strcmp(word, "mac_only_encrypted") == 0) {
		policy->mac_only_encrypted = true;
		return 0;
	}
	if (strncmp(word, "threshold=", 10) == 0) {
		policy->shamir_threshold = (unsigned int)strtoul(word + 10, NULL, 10);
		return 0;
	}
	return key_add(policy, word, err);
}

static int policy_read(char **words, bool single_value, struct sops_policy *policy,
		       struct error *err)
{
	int r = 0;

	if (!single_value)
		r = sops_policy_rule_set(policy, SOPS_UNENCRYPTED_SUFFIX,
					 span_of_text(SOPS_DEFAULT_SUFFIX), err);
	if (r == 0 && !sops_policy_group_add(policy, err))
		r = -(int)err->code;
	for (; r == 0 && *words; words++)
		r = policy_word(policy, *words, err);
	return r;
}

static int open_input(struct task *task, unsigned int flags, struct error *err)
{
	int r = sops_document_read(task->input, &task->text, "stdin", &task->document, err);

	return r < 0 ? r : sops_document_decrypt(task->document, &task->keyring, flags, err);
}

static int encrypt(struct task *task, struct error *err)
{
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	int r = policy_read(task->words, task->input->single_value, &policy, err);

	if (r == 0)
		r = sops_document_read_plain(task->input, &task->text, "stdin", &task->document,
					     err);
	return r < 0 ? r : sops_document_encrypt(task->document, &policy, &task->keyring, err);
}

static int decrypt(struct task *task, struct error *err)
{
	return open_input(task, 0, err);
}

static int force(struct task *task, struct error *err)
{
	return open_input(task, SOPS_IGNORE_MAC, err);
}

static int again(struct task *task, struct error *err)
{
	int r = open_input(task, 0, err);

	return r < 0 ? r : sops_document_reencrypt(task->document, err);
}

static int rotate(struct task *task, struct error *err)
{
	int r = open_input(task, 0, err);

	return r < 0 ? r : sops_document_rotate(task->document, &task->keyring, NULL, NULL, err);
}

static int updatekeys(struct task *task, struct error *err)
{
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	int r = policy_read(task->words, true, &policy, err);

	if (r == 0)
		r = sops_document_read(task->input, &task->text, "stdin", &task->document, err);
	return r < 0 ? r
		     : sops_document_keys_update(task->document, &policy, policy.shamir_threshold,
						 &task->keyring, err);
}

static int extract(struct task *task, struct error *err)
{
	int r = open_input(task, 0, err);

	return r < 0 ? r
		     : sops_document_extract(task->document, task->words[0], task->output,
					     &task->format, &task->out, err);
}

static int set(struct task *task, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	bool changed;
	int r = open_input(task, 0, err);

	if (r == 0)
		r = secret_copy(&value, span_of_text(task->words[1]), err);
	if (r == 0)
		r = sops_document_set(task->document, task->words[0], &value, &changed, err);
	return r < 0 ? r : sops_document_reencrypt(task->document, err);
}

static int unset(struct task *task, struct error *err)
{
	int r = open_input(task, 0, err);

	if (r == 0)
		r = sops_document_unset(task->document, task->words[0], err);
	return r < 0 ? r : sops_document_reencrypt(task->document, err);
}

static int edit(struct task *task, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = open_input(task, 0, err);

	if (r == 0)
		r = file_read_secret(AT_FDCWD, task->words[0], INPUT_SIZE_MAX, &text, err);
	if (r == 0)
		r = sops_document_replace(task->document, task->input, &text, NULL, err);
	return r < 0 ? r : sops_document_reencrypt(task->document, err);
}

static void line_keep(const struct report *report, enum report_level level, const char *text)
{
	(void)level;
	error_set(report->data, VMCRED_INTEGRITY, "%s", text);
}

/* Decrypts the text `from`, and encrypts it again if `again`. */
static int text_round(struct task *task, struct span from, bool again, struct secret *to,
		      struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_error_ struct error warning = {0};
	_cleanup_secret_ struct secret text = {0};
	const struct report report = {.line = line_keep, .data = &warning};
	int r = secret_copy(&text, from, err);

	if (r == 0)
		r = sops_document_read(task->input, &text, "stdin", &document, err);
	if (r == 0)
		r = sops_document_decrypt(document, &task->keyring, 0, err);
	if (r == 0)
		sops_document_comments_report(document, &report);
	if (warning.text)
		return error_move(err, &warning);
	if (r == 0 && again)
		r = sops_document_reencrypt(document, err);
	return r < 0 ? r : sops_document_write(document, task->output, &task->format, to, err);
}

static int text_encrypt(struct task *task, const struct sops_policy *policy, struct secret *text,
			struct secret *comments, struct secret *to, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	int r = sops_document_read_plain(task->input, text, "stdin", &document, err);

	for (size_t i = 0; r == 0 && i < document->tree.count; i++) {
		if (document->tree.nodes[i].kind != SOPS_COMMENT)
			continue;
		r = secret_append(comments, document->tree.nodes[i].text, err);
		if (r == 0)
			r = secret_append_text(comments, "\n", err);
	}
	if (r == 0)
		r = sops_document_encrypt(document, policy, &task->keyring, err);
	return r < 0 ? r : sops_document_write(document, task->output, &task->format, to, err);
}

static int round_one(struct task *task, const struct sops_policy *policy, struct span text,
		     struct error *err)
{
	struct secret texts[4] = {0};
	_cleanup_secret_ struct secret copy = {0}, sealed = {0};
	_cleanup_error_ struct error ignored = {0};
	int r = secret_copy(&copy, text, err);

	if (r == 0 && text_encrypt(task, policy, &copy, &texts[0], &texts[1], &ignored) == 0) {
		r = text_round(task, secret_span(&texts[1]), false, &texts[2], err);
		if (r == 0)
			r = text_round(task, secret_span(&texts[1]), true, &sealed, err);
		if (r == 0)
			r = text_round(task, secret_span(&sealed), false, &texts[3], err);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (r == 0)
			r = secret_append(&task->out, secret_span(&texts[i]), err);
		if (r == 0)
			r = secret_append(&task->out, span_of("", 1), err);
		secret_destroy(&texts[i]);
	}
	return r;
}

static int round_all(struct task *task, struct error *err)
{
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	int r = policy_read(task->words, task->input->single_value, &policy, err);

	for (size_t at = 0; r == 0 && at < task->text.size;) {
		const uint8_t *text = task->text.data + at;
		const uint8_t *end = memchr(text, 0, task->text.size - at);
		const size_t size = end ? (size_t)(end - text) : task->text.size - at;

		r = round_one(task, &policy, span_of(text, size), err);
		if (r < 0)
			error_wrap(err, "%.*s", (int)size, (const char *)text);
		at += size + 1;
	}
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct task *task, struct error *err);
	bool written; /* it has written its output itself */
} verbs[] = {
	{"encrypt", encrypt, false}, {"decrypt", decrypt, false}, {"force", force, false},
	{"again", again, false},     {"rotate", rotate, false},   {"updatekeys", updatekeys, false},
	{"extract", extract, true},  {"set", set, false},         {"unset", unset, false},
	{"edit", edit, false},       {"round", round_all, true},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int stores_find(struct task *task, const char *input, char *output, struct error *err)
{
	char *colon = strchr(output, ':');

	if (colon) {
		*colon = '\0';
		task->format.indent_given = true;
		task->format.indent = (unsigned int)strtoul(colon + 1, NULL, 10);
	}
	task->input = sops_store_named(input);
	task->output = sops_store_named(output);
	if (!task->input || !task->output)
		return error_set(err, VMCRED_USAGE, "unknown store \"%s\" or \"%s\"", input,
				 output);
	return 0;
}

static int verb_run(char **argv, struct task *task, struct error *err)
{
	const char *key = getenv("SOPS_AGE_KEY_FILE");
	size_t i = 0;
	int r;

	while (i < VERBS && strcmp(argv[1], verbs[i].name) != 0)
		i++;
	if (i == VERBS)
		return error_set(err, VMCRED_USAGE, "unknown command \"%s\"", argv[1]);
	task->words = argv + 4;
	task->keyring.gpg = getenv("SOPS_GPG_EXEC");
	task->keyring.identities = &task->identities;
	r = stores_find(task, argv[2], argv[3], err);
	if (r == 0 && key)
		r = age_identity_file_load(AT_FDCWD, key, &task->identities, err);
	if (r == 0)
		r = secret_read(&task->text, STDIN_FILENO, INPUT_SIZE_MAX, "stdin", err);
	if (r == 0)
		r = verbs[i].run(task, err);
	if (r == 0 && !verbs[i].written)
		r = sops_document_write(task->document, task->output, &task->format, &task->out,
					err);
	return r < 0 ? r : fd_write(STDOUT_FILENO, secret_span(&task->out), "stdout", err);
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(task_end))) struct task task = {0};
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *line = NULL;
	int r;

	if (argc < 4) {
		fprintf(stderr, "usage: document VERB INPUT OUTPUT WORD...\n");
		return VMCRED_USAGE;
	}
	r = verb_run(argv, &task, &err);
	if (r == 0)
		return 0;
	line = error_line(&err);
	fprintf(stderr, "document: %s\n", line ? line : "out of memory");
	return -r;
}
