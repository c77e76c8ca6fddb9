/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged encrypted YAML documents. */
#include "unit.h"

#include <ctype.h>
#include <string.h>

#include "changed_document.h"
#include "sops/sops.h"
#include "vectors.h"

/* Only what SOPS authenticates: no comments, no keys of unencrypted values, no lists around values,
 * which an inserted '-' would add. */
#define PLAIN                                                                                   \
	"a: 12\nm:\n    b: true\n    n:\n        k: |\n            two\n            lines\nf: " \
	"0.5\n"
#define AS_JSON                                                    \
	"{\n\"a\": 12,\n\"m\": {\n\"b\": true,\n\"n\": {\n\"k\": " \
	"\"two\\nlines\\n\"\n}\n},\n\"f\": 0.5\n}\n"

struct fixture {
	struct age_identities identities;
	struct sops_keyring keyring;
	const struct sops_store *yaml;
	struct secret sealed;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct secret text = {0};
	struct sops_key_group *group;
	struct error err = {0};

	*state = fixture;
	if (!fixture ||
	    age_identities_add(&fixture->identities, span_of_text(VECTOR_IDENTITY), &err))
		return -1;
	fixture->yaml = sops_store_named("yaml");
	fixture->keyring.identities = &fixture->identities;
	group = sops_policy_group_add(&policy, &err);
	if (!group ||
	    sops_key_group_add(group, SOPS_KEY_AGE, span_of_text(VECTOR_RECIPIENT), &err) ||
	    sops_policy_rule_set(&policy, SOPS_UNENCRYPTED_SUFFIX,
				 span_of_text(SOPS_DEFAULT_SUFFIX), &err) ||
	    secret_copy(&text, span_of_text(PLAIN), &err) ||
	    sops_document_read_plain(fixture->yaml, &text, "file", &document, &err) ||
	    sops_document_encrypt(document, &policy, &fixture->keyring, &err))
		return -1;
	return sops_document_write(document, fixture->yaml, NULL, &fixture->sealed, &err);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	age_identities_destroy(&fixture->identities);
	secret_destroy(&fixture->sealed);
	free(fixture);
	return 0;
}

/* Opens a changed document, which must give an error or PLAIN. Returns whether it gave PLAIN. */
static bool opens_exactly(const struct fixture *fixture, struct span text)
{
	_cleanup_sops_document_ struct sops_document *document =
		changed_document_open(fixture->yaml, &fixture->keyring, text);
	const struct sops_format format = {.indent_given = true};
	struct secret out = {0};
	struct error err = {0};

	if (!document)
		return false;
	assert_success(
		sops_document_write(document, sops_store_named("json"), &format, &out, &err));
	assert_span_equal(secret_span(&out), AS_JSON);
	secret_destroy(&out);
	return true;
}

static void every_cut_gives_an_error_or_the_exact_plaintext(void **state)
{
	const struct fixture *fixture = *state;
	size_t opened = 0;

	for (size_t i = 0; i < fixture->sealed.size; i++)
		opened += opens_exactly(fixture, span_of(fixture->sealed.data, i));
	/* The last lines are not needed to open it. */
	assert_true(opened <=
		    strlen("    unencrypted_suffix: _unencrypted\n    version: 3.13.2\n"));
}

static void every_changed_byte_gives_an_error_or_the_exact_plaintext(void **state)
{
	static const char variants[] = "\"'\\{}[],:0 \n#&*!|>?%@~";
	struct fixture *fixture = *state;
	size_t opened = 0, tried = 0;

	assert_true(opens_exactly(fixture, secret_span(&fixture->sealed)));
	for (size_t i = 0; i < fixture->sealed.size; i++) {
		uint8_t original = fixture->sealed.data[i];

		/* A sample is enough inside words. */
		size_t step = isalnum(original) ? 17 : 1;

		for (size_t j = i % step; j < 8 + strlen(variants); j += step) {
			fixture->sealed.data[i] =
				(uint8_t)(j < 8 ? original ^ (1U << j) : (uint8_t)variants[j - 8]);
			if (fixture->sealed.data[i] == original)
				continue;
			tried++;
			opened += opens_exactly(fixture, secret_span(&fixture->sealed));
		}
		fixture->sealed.data[i] = original;
	}
	/* White space, names and the version may change. */
	assert_true(opened > 0 && opened < tried / 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_gives_an_error_or_the_exact_plaintext),
		cmocka_unit_test(every_changed_byte_gives_an_error_or_the_exact_plaintext),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
