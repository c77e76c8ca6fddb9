/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "inspect/stages.h"

/* The console log of one boot has a few hundred KiB. */
#define PROOF_FILE_SIZE_MAX ((size_t)64 * 1024 * 1024)

#define DIGEST_SIZE     32
#define DIGEST_HEX_SIZE ((size_t)2 * DIGEST_SIZE)

struct tally {
	size_t proofs;     /* of credentials */
	size_t strings;    /* declared OEM strings that the guest has */
	struct span wrong; /* the name in the first proof that matches nothing; in the log's text */
};

/* Compares the SHA-256 of the salt's text and the value with hexadecimal digits. */
static bool digest_matches(struct span salt, struct span value, const char *hex)
{
	uint8_t digest[DIGEST_SIZE], given[DIGEST_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned size = 0;
	bool done;

	done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
	       EVP_DigestUpdate(context, salt.data, salt.size) &&
	       EVP_DigestUpdate(context, value.data, value.size) &&
	       EVP_DigestFinal_ex(context, digest, &size) && size == sizeof(digest);
	EVP_MD_CTX_free(context);
	for (size_t i = 0; done && i < sizeof(given); i++) {
		char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end;

		given[i] = (uint8_t)strtoul(pair, &end, 16);
		done = end == pair + 2;
	}
	return done && secret_equal(span_of(digest, sizeof(digest)), span_of(given, sizeof(given)));
}

/* The text after `key` up to white space; empty without the key. */
static struct span field_find(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	if (!at)
		return span_of("", 0);
	at += strlen(key);
	return span_of(at, strcspn(at, " \t\r"));
}

static void credential_check(const struct inspection *inspection, const char *line,
			     struct tally *tally)
{
	struct span salt = field_find(line, " salt="), digest = field_find(line, " sha256=");
	const char *hex = (const char *)digest.data;
	/* The kernel, the terminal or the hypervisor may put something after it, such as a year. */
	bool is_valid = strspn(hex, "0123456789abcdefABCDEF") >= DIGEST_HEX_SIZE && salt.size > 0;
	bool matches = false;

	tally->proofs++;
	for (size_t i = 0; is_valid && i < inspection->count; i++) {
		struct inspected *credential = &inspection->credentials[i];

		/* The guest may have a stale value: that is not a failure of integrity. */
		if (!(credential->is_known &&
		      digest_matches(salt, secret_span(&credential->value), hex)) &&
		    !(credential->stale.size > 0 &&
		      digest_matches(salt, secret_span(&credential->stale), hex)))
			continue;
		credential->is_proved = true;
		matches = true;
	}
	if (!matches && !tally->wrong.data)
		tally->wrong = span_of(line, strcspn(line, " \t\r"));
}

static void string_check(const struct inspection *inspection, const char *text, struct tally *tally)
{
	struct span found = span_of(text, strcspn(text, "\r"));

	for (size_t i = 0; i < inspection->vm->oem_string_count; i++)
		tally->strings += span_equal(span_of_text(inspection->vm->oem_strings[i]), found);
}

static void log_check(const struct inspection *inspection, char *text, struct tally *tally)
{
	static const char credential[] = "vmcred-proof: credential ";
	static const char string[] = "vmcred-proof: oem-string ";
	char *rest = NULL;

	/* The kernel or the terminal may put something at the beginning of a line. */
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *at = strstr(line, credential);

		if (at)
			credential_check(inspection, at + strlen(credential), tally);
		at = strstr(line, string);
		if (at)
			string_check(inspection, at + strlen(string), tally);
	}
}

int proofs_inspect(const struct inspection *inspection, struct inspect_stage *receive,
		   struct inspect_stage *prove, struct error *err)
{
	const size_t declared = inspection->vm->oem_string_count;
	_cleanup_free_ char *text = NULL;
	const char *missing = NULL;
	struct tally tally = {0};
	size_t proved = 0;
	int r;

	if (!inspection->options->proof) {
		stage_set(receive, INSPECT_UNSEEN,
			  "visible only in the guest: use --proof with its console log");
		stage_set(prove, INSPECT_UNSEEN, "no digests to compare");
		return 0;
	}
	r = file_read_text(AT_FDCWD, inspection->options->proof, PROOF_FILE_SIZE_MAX, &text, NULL,
			   err);
	if (r < 0)
		return r;
	log_check(inspection, text, &tally);
	stage_set(receive,
		  tally.strings < declared || tally.proofs == 0 ? INSPECT_MISSING : INSPECT_SEEN,
		  "the guest's service got %zu credentials; dmidecode there shows %zu of %zu "
		  "static strings",
		  tally.proofs, tally.strings, declared);
	for (size_t i = 0; i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];

		proved += credential->is_proved;
		if (!credential->is_proved && !credential->declared->optional)
			missing = credential->declared->oem_name;
	}
	if (tally.wrong.data)
		stage_set(prove, INSPECT_WRONG,
			  "the guest's digest of \"%.*s\" matches no credential",
			  (int)tally.wrong.size, (const char *)tally.wrong.data);
	else if (missing)
		stage_set(prove, INSPECT_MISSING, "the guest sent no digest of %s", missing);
	else
		stage_set(prove, INSPECT_SEEN, "%zu salted digests from the guest match", proved);
	return 0;
}
