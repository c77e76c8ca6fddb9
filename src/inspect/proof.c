/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "inspect/subject.h"

/* A console's log of one boot is a few hundred KiB. */
#define PROOF_FILE_SIZE_MAX ((size_t)64 * 1024 * 1024)

#define DIGEST_SIZE     32
#define DIGEST_HEX_SIZE ((size_t)2 * DIGEST_SIZE)

struct tally {
	size_t proofs;     /* lines for credentials */
	size_t strings;    /* plain OEM strings that the guest saw, of those declared */
	const char *wrong; /* the name in a line that matches nothing; points into the text */
	size_t wrong_size;
};

/* SHA-256 of the salt's text followed by the value, compared with hexadecimal digits. */
static bool digest_matches(struct span salt, struct span value, const char *hex)
{
	uint8_t digest[DIGEST_SIZE], said[DIGEST_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned size = 0;
	bool done;

	done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
	       EVP_DigestUpdate(context, salt.data, salt.size) &&
	       EVP_DigestUpdate(context, value.data, value.size) &&
	       EVP_DigestFinal_ex(context, digest, &size) && size == sizeof(digest);
	EVP_MD_CTX_free(context);
	for (size_t i = 0; done && i < sizeof(said); i++) {
		char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end;

		said[i] = (uint8_t)strtoul(pair, &end, 16);
		done = end == pair + 2;
	}
	return done && secret_equal(span_of(digest, sizeof(digest)), span_of(said, sizeof(said)));
}

/* The text after `key` up to white space, or an empty span. */
static struct span field(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	if (!at)
		return span_of("", 0);
	at += strlen(key);
	return span_of(at, strcspn(at, " \t\r"));
}

static void credential_line(struct subject *subject, const char *line, struct tally *tally)
{
	struct span salt = field(line, " salt="), digest = field(line, " sha256=");
	bool matched = false;

	tally->proofs++;
	for (size_t i = 0; i < subject->count && digest.size == DIGEST_HEX_SIZE && salt.size > 0;
	     i++) {
		struct subject_credential *credential = &subject->credentials[i];

		if (!credential->sealed || !digest_matches(salt, secret_span(&credential->value),
							   (const char *)digest.data))
			continue;
		credential->proved = true;
		matched = true;
	}
	if (!matched && !tally->wrong) {
		tally->wrong = line;
		tally->wrong_size = strcspn(line, " \t\r");
	}
}

static void string_line(const struct subject *subject, const char *text, struct tally *tally)
{
	size_t size = strcspn(text, "\r");

	for (size_t i = 0; i < subject->vm->oem_string_count; i++) {
		const char *declared = subject->vm->oem_strings[i];

		if (strlen(declared) == size && strncmp(declared, text, size) == 0)
			tally->strings++;
	}
}

static void text_read(struct subject *subject, char *text, struct tally *tally)
{
	static const char credential[] = "vmcred-proof: credential ";
	static const char string[] = "vmcred-proof: oem-string ";
	char *rest = NULL;

	/* A console's line may begin with what the kernel or the terminal put there. */
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *at = strstr(line, credential);

		if (at)
			credential_line(subject, at + strlen(credential), tally);
		at = strstr(line, string);
		if (at)
			string_line(subject, at + strlen(string), tally);
	}
}

static void prove_set(const struct subject *subject, const struct tally *tally,
		      struct inspect_stage *prove)
{
	const struct subject_credential *missing = NULL;
	size_t proved = 0;

	for (size_t i = 0; i < subject->count; i++) {
		const struct subject_credential *credential = &subject->credentials[i];

		proved += credential->proved;
		if (!credential->proved && !credential->declared->optional)
			missing = credential;
	}
	if (tally->wrong)
		stage_set(prove, INSPECT_WRONG,
			  "the guest's digest of \"%.*s\" matches no credential",
			  (int)tally->wrong_size, tally->wrong);
	else if (missing)
		stage_set(prove, INSPECT_MISSING, "the guest sent no digest of %s",
			  missing->declared->oem_name);
	else
		stage_set(prove, INSPECT_SEEN, "%zu salted digests of the guest match the host's",
			  proved);
}

int proof_look(struct subject *subject, struct inspect_stage *receive, struct inspect_stage *prove,
	       struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct tally tally = {0};
	int r;

	if (!subject->options->proof) {
		stage_set(receive, INSPECT_UNSEEN,
			  "the guest alone can see it: give its log with --proof");
		stage_set(prove, INSPECT_UNSEEN, "no digests to compare");
		return 0;
	}
	r = file_read_text(AT_FDCWD, subject->options->proof, PROOF_FILE_SIZE_MAX, &text, NULL,
			   err);
	if (r < 0)
		return r;
	text_read(subject, text, &tally);
	stage_set(receive,
		  tally.strings < subject->vm->oem_string_count || tally.proofs == 0
			  ? INSPECT_MISSING
			  : INSPECT_SEEN,
		  "the guest's service got %zu credentials; dmidecode there shows %zu of %zu "
		  "static strings",
		  tally.proofs, tally.strings, subject->vm->oem_string_count);
	prove_set(subject, &tally, prove);
	return 0;
}
