/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's age functions as filters from stdin to stdout, for the tests against the
 * real programs:
 *
 *     crypt age-encrypt RECIPIENT...        crypt age-armor RECIPIENT...
 *     crypt age-stream RECIPIENT...         crypt age-stream-armor RECIPIENT...
 *     crypt age-decrypt IDENTITY-FILE...    crypt age-stream-decrypt IDENTITY-FILE...
 *     crypt age-recipients IDENTITY-FILE...
 *
 * The argument "passphrase" stands for a passphrase, as a recipient or as an identity. The lines of
 * the file $CRYPT_ANSWERS answer questions, in order; without it there is nobody to ask. Questions
 * and messages are printed to stderr.
 */
#include <stdio.h>
#include <stdlib.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/file.h"

#define INPUT_SIZE_MAX ((size_t)256 * 1024 * 1024)

/* The remaining lines of $CRYPT_ANSWERS. */
struct answers {
	FILE *file;
};

static int answer_next(struct answers *answers, char **line, struct error *err)
{
	size_t room = 0;
	ssize_t size = answers->file ? getline(line, &room, answers->file) : -1;

	if (size < 0 || !*line)
		return error_set(err, VMCRED_FAILED, "there is no answer left");
	if (size > 0 && (*line)[size - 1] == '\n')
		(*line)[size - 1] = '\0';
	return 0;
}

static int ask(void *context, const char *question, bool hidden, struct secret *answer,
	       struct error *err)
{
	_cleanup_free_ char *line = NULL;

	fprintf(stderr, "%s: %s\n", hidden ? "secret" : "public", question);
	if (answer_next(context, &line, err) < 0 || !line)
		return -(int)err->code;
	return secret_append_text(answer, line, err);
}

static int confirm(void *context, const char *question, const char *yes, const char *no,
		   struct error *err)
{
	_cleanup_free_ char *line = NULL;

	fprintf(stderr, "confirm: %s [%s|%s]\n", question, yes, no ? no : "");
	if (answer_next(context, &line, err) < 0 || !line)
		return -(int)err->code;
	return strcmp(line, yes) == 0;
}

static int show(void *context, const char *message, struct error *err)
{
	(void)context;
	(void)err;
	fprintf(stderr, "message: %s\n", message);
	return 0;
}

static struct answers answers;
static const struct age_prompt prompt = {&answers, ask, confirm, show};

static const struct age_prompt *prompt_find(void)
{
	const char *path = getenv("CRYPT_ANSWERS");

	if (path && !answers.file)
		answers.file = fopen(path, "re");
	return answers.file ? &prompt : NULL;
}

/* With age's default work factor each test would take a second. */
#define WORK_FACTOR 10

static int recipients_read(char **words, struct age_recipients *recipients, struct error *err)
{
	int r = 0;

	recipients->prompt = prompt_find();
	for (; r == 0 && *words; words++) {
		_cleanup_secret_ struct secret passphrase = {0};

		if (strcmp(*words, "passphrase") != 0) {
			r = age_recipients_add(recipients, span_of_text(*words), err);
			continue;
		}
		r = ask(&answers, "the new passphrase", true, &passphrase, err);
		if (r == 0)
			r = age_recipients_add_passphrase(recipients, secret_span(&passphrase),
							  WORK_FACTOR, err);
	}
	return r;
}

static int identities_read(char **words, struct age_identities *identities, struct error *err)
{
	int r = 0;

	identities->prompt = prompt_find();
	for (; r == 0 && *words; words++) {
		if (strcmp(*words, "passphrase") == 0)
			r = age_identities_add_passphrase(identities, span_of(NULL, 0), err);
		else
			r = age_identity_file_load(AT_FDCWD, *words, identities, err);
	}
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
	int r = identities_read(words, &identities, err);

	if (r == 0 && age_armor_detect(in)) {
		r = age_armor_decode(in, &file, err);
		in = secret_span(&file);
	}
	if (r < 0)
		return r;
	return age_decrypt(in, &identities, out, err);
}

static int stream_encrypt(char **words, bool armor, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	int r = recipients_read(words, &recipients, err);

	if (r < 0)
		return r;
	return age_encrypt_stream(STDIN_FILENO, STDOUT_FILENO, &recipients, armor, err);
}

static int age_stream_run(char **words, struct error *err)
{
	return stream_encrypt(words, false, err);
}

static int age_stream_armor_run(char **words, struct error *err)
{
	return stream_encrypt(words, true, err);
}

static int age_stream_decrypt_run(char **words, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	int r = identities_read(words, &identities, err);

	if (r < 0)
		return r;
	return age_decrypt_stream(STDIN_FILENO, STDOUT_FILENO, &identities, err);
}

static int age_recipients_run(char **words, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	int r = identities_read(words, &identities, err);

	for (size_t i = 0; r == 0 && i < identities.count; i++)
		printf("%s\n", age_identity_recipient(identities.items[i]));
	return r;
}

static const struct {
	const char *name;
	int (*run)(char **words, struct span in, struct secret *out, struct error *err);
	int (*stream)(char **words,
		      struct error *err); /* reads and writes the descriptors itself */
} verbs[] = {
	{"age-encrypt", age_encrypt_run, NULL},
	{"age-armor", age_armor_run, NULL},
	{"age-decrypt", age_decrypt_run, NULL},
	{"age-stream", NULL, age_stream_run},
	{"age-stream-armor", NULL, age_stream_armor_run},
	{"age-stream-decrypt", NULL, age_stream_decrypt_run},
	{"age-recipients", NULL, age_recipients_run},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int verb_run(char **argv, struct error *err)
{
	_cleanup_secret_ struct secret in = {0}, out = {0};
	size_t i = 0;
	int r;

	while (i < VERBS && strcmp(argv[1], verbs[i].name) != 0)
		i++;
	if (i == VERBS)
		return error_set(err, VMCRED_USAGE, "there is no verb %s", argv[1]);
	if (verbs[i].stream)
		return verbs[i].stream(argv + 2, err);
	r = secret_read(&in, STDIN_FILENO, INPUT_SIZE_MAX, "stdin", err);
	if (r == 0)
		r = verbs[i].run(argv + 2, secret_span(&in), &out, err);
	if (r == 0)
		r = fd_write(STDOUT_FILENO, secret_span(&out), "stdout", err);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *line = NULL;
	int r;

	if (argc < 2) {
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
