/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's age and SOPS functions as filters from stdin to stdout, for the tests against the
 * real programs:
 *
 *     crypt age-encrypt RECIPIENT...     crypt age-armor RECIPIENT...     crypt age-decrypt
 * IDENTITY-FILE crypt sops-encrypt RECIPIENT...    crypt sops-json IDENTITY-FILE    crypt sops-data
 * IDENTITY-FILE
 */
#include <stdio.h>
#include <stdlib.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "sops/sops.h"

#define INPUT_SIZE_MAX ((size_t)256 * 1024 * 1024)

static int recipients_read(char **words, struct age_recipients *recipients, struct error *err)
{
	int r = 0;

	for (; r == 0 && *words; words++)
		r = age_recipients_add(recipients, span_of_text(*words), err);
	return r;
}

static int age_encrypt_run(char **words, struct span in, struct secret *out, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	int r = recipients_read(words, &recipients, err);

	if (r < 0)
		return r;
	return age_encrypt(in, &recipients, out, err);
}

static int age_armor_run(char **words, struct span in, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret file = {0};
	int r = age_encrypt_run(words, in, &file, err);

	if (r < 0)
		return r;
	return age_armor_encode(secret_span(&file), out, err);
}

static int age_decrypt_run(char **words, struct span in, struct secret *out, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_secret_ struct secret file = {0};
	int r = age_identity_file_load(AT_FDCWD, words[0], &identities, err);

	if (r == 0 && age_armor_detect(in)) {
		r = age_armor_decode(in, &file, err);
		in = secret_span(&file);
	}
	if (r < 0)
		return r;
	return age_decrypt(in, &identities, out, err);
}

static int sops_encrypt_run(char **words, struct span in, struct secret *out, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	int r = recipients_read(words, &recipients, err);

	if (r < 0)
		return r;
	return sops_binary_encrypt(in, &recipients, out, err);
}

static int sops_open(char **words, struct span in, struct sops_document **document,
		     struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	int r = age_identity_file_load(AT_FDCWD, words[0], &identities, err);

	if (r == 0)
		r = sops_document_parse(in, "stdin", document, err);
	if (r == 0)
		r = sops_document_decrypt(
			*document, &(const struct sops_keyring){.identities = &identities}, 0, err);
	return r;
}

static int sops_json_run(char **words, struct span in, struct secret *out, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	int r = sops_open(words, in, &document, err);

	if (r < 0)
		return r;
	return sops_document_emit(document, out, err);
}

static int sops_data_run(char **words, struct span in, struct secret *out, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct span value = {0};
	int r = sops_open(words, in, &document, err);

	if (r == 0)
		r = sops_document_value(document, SOPS_BINARY_KEY, &value, err);
	if (r < 0)
		return r;
	return secret_append(out, value, err);
}

static const struct {
	const char *name;
	int (*run)(char **words, struct span in, struct secret *out, struct error *err);
} verbs[] = {
	{"age-encrypt", age_encrypt_run}, {"age-armor", age_armor_run},
	{"age-decrypt", age_decrypt_run}, {"sops-encrypt", sops_encrypt_run},
	{"sops-json", sops_json_run},     {"sops-data", sops_data_run},
};

static int verb_run(char **argv, struct error *err)
{
	_cleanup_secret_ struct secret in = {0}, out = {0};
	int r = secret_read(&in, STDIN_FILENO, INPUT_SIZE_MAX, "stdin", err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		r = verbs[i].run(argv + 2, secret_span(&in), &out, err);
		if (r == 0)
			r = fd_write(STDOUT_FILENO, secret_span(&out), "stdout", err);
		return r;
	}
	return error_set(err, VMCRED_USAGE, "there is no verb %s", argv[1]);
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *line = NULL;
	int r;

	if (argc < 3) {
		fprintf(stderr, "usage: crypt VERB WORD...\n");
		return VMCRED_USAGE;
	}
	r = verb_run(argv, &err);
	if (r == 0)
		return 0;
	line = error_line(&err);
	fprintf(stderr, "crypt: %s\n", line ? line : "out of memory");
	return -r;
}
