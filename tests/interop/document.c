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
 *
 * A word of a policy is TYPE:KEY, such as age:age1…, "+" for the next group, threshold=N,
 * mac_only_encrypted, or RULE=TEXT. An output store may have an indentation: json:2.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "sops/sops.h"

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
		r = sops_document_replace(task->document, task->input, &text, false, err);
	return r < 0 ? r : sops_document_reencrypt(task->document, err);
}

static const struct {
	const char *name;
	int (*run)(struct task *task, struct error *err);
	bool written; /* it has written its output itself */
} verbs[] = {
	{"encrypt", encrypt, false}, {"decrypt", decrypt, false}, {"force", force, false},
	{"again", again, false},     {"rotate", rotate, false},   {"updatekeys", updatekeys, false},
	{"extract", extract, true},  {"set", set, false},         {"unset", unset, false},
	{"edit", edit, false},
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
