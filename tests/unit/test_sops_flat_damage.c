/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypted dotenv and INI documents that were damaged: an error, or the exact plaintext.
 */
#include "unit.h"

#include <ctype.h>
#include <string.h>

#include "changed_document.h"
#include "sops/sops.h"
#include "vectors.h"

/* In the layout that the stores write. What SOPS does not authenticate, comments, is left out. */
static const struct store_case {
	const char *name, *plain;
} cases[] = {
	{"dotenv", "FIRST=one\nSECOND=two\\nlines\nTHIRD=a=b\n"},
	{"ini", "[s]\nfirst  = one\nsecond = \"\"\"two\nlines\"\"\"\n\n[t]\nthird = a=b\n"},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct fixture {
	struct age_identities identities;
	struct sops_keyring keyring;
	struct secret sealed[CASES];
};

static int seal(const struct store_case *store, const struct sops_keyring *keyring,
		struct secret *sealed, struct error *err)
{
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct sops_key_group *group = sops_policy_group_add(&policy, err);
	struct secret text = {0};

	if (!group ||
	    sops_key_group_add(group, SOPS_KEY_AGE, span_of_text(VECTOR_RECIPIENT), err) ||
	    secret_copy(&text, span_of_text(store->plain), err) ||
	    sops_document_read_plain(sops_store_named(store->name), &text, "file", &document,
				     err) ||
	    sops_document_encrypt(document, &policy, keyring, err))
		return -1;
	return sops_document_write(document, sops_store_named(store->name), NULL, sealed, err);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err = {0};

	*state = fixture;
	if (!fixture ||
	    age_identities_add(&fixture->identities, span_of_text(VECTOR_IDENTITY), &err))
		return -1;
	fixture->keyring.identities = &fixture->identities;
	for (size_t i = 0; i < CASES; i++) {
		if (seal(&cases[i], &fixture->keyring, &fixture->sealed[i], &err) < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	age_identities_destroy(&fixture->identities);
	for (size_t i = 0; i < CASES; i++)
		secret_destroy(&fixture->sealed[i]);
	free(fixture);
	return 0;
}

/* Whether a damaged document gives the plaintext; else it must be an error. */
static bool opens_exactly(const struct fixture *fixture, size_t number, struct span text)
{
	const struct sops_store *store = sops_store_named(cases[number].name);
	_cleanup_sops_document_ struct sops_document *document =
		changed_document_open(store, &fixture->keyring, text);
	struct secret out = {0};
	struct error err = {0};

	if (!document)
		return false;
	assert_success(sops_document_write(document, store, NULL, &out, &err));
	assert_span_equal(secret_span(&out), cases[number].plain);
	secret_destroy(&out);
	return true;
}

static void truncated_document_gives_an_error_or_the_plaintext(void **state)
{
	const struct fixture *fixture = *state;

	for (size_t number = 0; number < CASES; number++) {
		const struct secret *sealed = &fixture->sealed[number];
		size_t opened = 0;

		for (size_t i = 0; i < sealed->size; i++)
			opened += opens_exactly(fixture, number, span_of(sealed->data, i));
		/* The version is last, and not needed for decryption. */
		assert_true(opened <= strlen("sops_version=3.13.2\n") + 8);
	}
}

static void changed_byte_gives_an_error_or_the_plaintext(void **state)
{
	static const char variants[] = "\"'\\[]:=; \n\r\t#`_0";
	struct fixture *fixture = *state;

	for (size_t number = 0; number < CASES; number++) {
		struct secret *sealed = &fixture->sealed[number];
		size_t opened = 0, tried = 0;

		assert_true(opens_exactly(fixture, number, secret_span(sealed)));
		for (size_t i = 0; i < sealed->size; i++) {
			uint8_t original = sealed->data[i];
			/* A few of them are enough inside words. */
			size_t step = isalnum(original) ? 11 : 1;

			for (size_t j = i % step; j < 8 + strlen(variants); j += step) {
				sealed->data[i] = (uint8_t)(j < 8 ? original ^ (1U << j)
								  : (uint8_t)variants[j - 8]);
				if (sealed->data[i] == original)
					continue;
				tried++;
				opened += opens_exactly(fixture, number, secret_span(sealed));
			}
			sealed->data[i] = original;
		}
		/* White space and the version may change. */
		assert_true(opened < tried / 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truncated_document_gives_an_error_or_the_plaintext),
		cmocka_unit_test(changed_byte_gives_an_error_or_the_plaintext),
	};

	return cmocka_run_group_tests_name("sops_flat_damage", tests, setup, teardown);
}
