/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "changed_document.h"
#include "sops/sops.h"
#include "vectors.h"

#define PLAIN                                                                         \
	"{\"a\": 1, \"list\": [\"x\", true, {\"k\": \"v\"}, \"x\"], \"none\": null, " \
	"\"deep\": {\"er\": \"y\"}, \"open_unencrypted\": 0.5, \"empty\": \"\"}"

struct fixture {
	struct age_identities identities;
	struct sops_keyring keyring;
	struct sops_policy policy;
	const struct sops_store *json;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct sops_key_group *group;
	struct error err = {0};

	*state = fixture;
	if (!fixture ||
	    age_identities_add(&fixture->identities, span_of_text(VECTOR_IDENTITY), &err))
		return -1;
	fixture->json = sops_store_named("json");
	fixture->keyring.identities = &fixture->identities;
	group = sops_policy_group_add(&fixture->policy, &err);
	if (!group || sops_key_group_add(group, SOPS_KEY_AGE, span_of_text(VECTOR_RECIPIENT), &err))
		return -1;
	return sops_policy_rule_set(&fixture->policy, SOPS_UNENCRYPTED_SUFFIX,
				    span_of_text(SOPS_DEFAULT_SUFFIX), &err);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	age_identities_destroy(&fixture->identities);
	sops_policy_destroy(&fixture->policy);
	free(fixture);
	return 0;
}

static struct sops_document *plain_read(const struct fixture *fixture, const char *json)
{
	struct sops_document *document = NULL;
	struct secret text = {0};
	struct error err = {0};

	assert_success(secret_copy(&text, span_of_text(json), &err));
	assert_success(sops_document_read_plain(fixture->json, &text, "file", &document, &err));
	return document;
}

static struct sops_document *sealed_read(const struct fixture *fixture, struct span text)
{
	struct sops_document *document = NULL;
	struct secret copy = {0};
	struct error err = {0};

	assert_success(secret_copy(&copy, text, &err));
	assert_success(sops_document_read(fixture->json, &copy, "file", &document, &err));
	return document;
}

/* The document as JSON without white space outside of strings, which has none here. */
static char *written(const struct fixture *fixture, struct sops_document *document)
{
	const struct sops_format format = {.indent_given = true};
	struct secret out = {0};
	struct error err = {0};
	char *text, *to;

	assert_success(sops_document_write(document, fixture->json, &format, &out, &err));
	text = to = calloc(1, out.size + 1);
	assert_non_null(text);
	for (size_t i = 0; i < out.size; i++) {
		if (out.data[i] != '\n' && out.data[i] != ' ')
			*to++ = (char)out.data[i];
	}
	secret_destroy(&out);
	return text;
}

/* PLAIN, encrypted. */
static void sealed_make(const struct fixture *fixture, const char *json, struct secret *text)
{
	_cleanup_sops_document_ struct sops_document *document = plain_read(fixture, json);
	struct error err = {0};

	assert_success(sops_document_encrypt(document, &fixture->policy, &fixture->keyring, &err));
	assert_success(sops_document_write(document, fixture->json, NULL, text, &err));
}

static int set(struct sops_document *document, const char *path, const char *value, bool *changed,
	       struct error *err)
{
	struct secret json = {0};
	int r = secret_copy(&json, span_of_text(value), err);

	return r < 0 ? r : sops_document_set(document, path, &json, changed, err);
}

#define LIST "\"list\":[\"x\",true,{\"k\":\"v\"},\"x\"]"
#define TAIL "\"none\":null,\"deep\":{\"er\":\"y\"},\"open_unencrypted\":0.5,\"empty\":\"\"}"

static void set_value(void **state)
{
	static const struct {
		const char *path, *value, *result;
		bool changed;
	} cases[] = {
		{"[\"a\"]", "2", "{\"a\":2," LIST "," TAIL, true},
		/* A float now, as in sops. */
		{"['a']", "1", "{\"a\":1," LIST "," TAIL, true},
		{"[\"a\"]", "1.0", "{\"a\":1," LIST "," TAIL, true},
		{"[\"a\"]", "9007199254740993", "{\"a\":9007199254740993," LIST "," TAIL, true},
		{"[\"a\"]", " {\"b\": [] } ", "{\"a\":{\"b\":[]}," LIST "," TAIL, true},
		{"[\"list\"][2][\"k\"]", "null",
		 "{\"a\":1,\"list\":[\"x\",true,{\"k\":null},\"x\"]," TAIL, true},
		{"[\"list\"][2]", "{\"k\":\"v\"}", "{\"a\":1," LIST "," TAIL, false},
		{"[\"list\"][9]", "7", "{\"a\":1,\"list\":[\"x\",true,{\"k\":\"v\"},\"x\",7]," TAIL,
		 true},
		{"[\"list\"][9][\"n\"][3]", "7",
		 "{\"a\":1,\"list\":[\"x\",true,{\"k\":\"v\"},\"x\",{\"n\":[7]}]," TAIL, true},
		/* A scalar is replaced by a container. */
		{"[\"a\"][\"b\"][0]", "7", "{\"a\":{\"b\":[7]}," LIST "," TAIL, true},
		{"[\"none\"][\"b\"]", "7",
		 "{\"a\":1," LIST ",\"none\":{\"b\":7},\"deep\":{\"er\":\"y\"},"
		 "\"open_unencrypted\":0.5,\"empty\":\"\"}",
		 true},
		{"[\"deep\"][\"new\"]", "[1,[2]]",
		 "{\"a\":1," LIST ",\"none\":null,\"deep\":{\"er\":\"y\",\"new\":[1,[2]]},"
		 "\"open_unencrypted\":0.5,\"empty\":\"\"}",
		 true},
		{"[\"deep\"]", "0",
		 "{\"a\":1," LIST ",\"none\":null,\"deep\":0,"
		 "\"open_unencrypted\":0.5,\"empty\":\"\"}",
		 true},
		{"[\"z\"][\"\"]", "\"\"",
		 "{\"a\":1," LIST ",\"none\":null,\"deep\":{\"er\":\"y\"},\"open_unencrypted\":0.5,"
		 "\"empty\":\"\",\"z\":{\"\":\"\"}}",
		 true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = plain_read(*state, PLAIN);
		_cleanup_free_ char *result = NULL;
		struct error err = {0};
		bool changed = false;

		assert_success(set(document, cases[i].path, cases[i].value, &changed, &err));
		result = written(*state, document);
		assert_string_equal(result, cases[i].result);
		assert_int_equal(changed, cases[i].changed);
	}
}

static void unset_value(void **state)
{
	static const struct {
		const char *path, *result;
	} cases[] = {
		{"[\"a\"]", "{" LIST "," TAIL},
		{"[\"list\"][2]", "{\"a\":1,\"list\":[\"x\",true,\"x\"]," TAIL},
		{"[\"list\"][2][\"k\"]", "{\"a\":1,\"list\":[\"x\",true,{},\"x\"]," TAIL},
		{"[\"list\"]", "{\"a\":1," TAIL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = plain_read(*state, PLAIN);
		_cleanup_free_ char *result = NULL;
		struct error err = {0};

		assert_success(sops_document_unset(document, cases[i].path, &err));
		result = written(*state, document);
		assert_string_equal(result, cases[i].result);
	}
}

static void invalid_paths(void **state)
{
#define NO_PATH(path) VMCRED_USAGE, "invalid path " path ": the form is [\"key\"][0][\"other key\"]"
	static const struct {
		const char *path;
		enum vmcred_code code;
		const char *message;
	} cases[] = {
		{"", NO_PATH("")},
		{"a", NO_PATH("a")},
		{"[\"a\"", NO_PATH("[\"a\"")},
		{"[\"a]", NO_PATH("[\"a]")},
		{"[a]", NO_PATH("[a]")},
		{"[-1]", NO_PATH("[-1]")},
		{"[]", NO_PATH("[]")},
		{"[\"a\"]x", NO_PATH("[\"a\"]x")},
		{"[\"\xff\"]", VMCRED_USAGE, "invalid path: not UTF-8"},
		{"[\"b\"]", VMCRED_MISSING, "file: [\"b\"]: missing key \"b\""},
		{"[\"a\"][\"b\"]", VMCRED_USAGE,
		 "file: [\"a\"][\"b\"]: part 2 of the path is in a value that is neither a map "
		 "nor a list"},
		{"[\"list\"][4]", VMCRED_MISSING, "file: [\"list\"][4]: missing item 4"},
		{"[\"list\"][\"k\"]", VMCRED_USAGE,
		 "file: [\"list\"][\"k\"]: [\"k\"] is a map key, but the value is a list"},
		{"[0]", VMCRED_USAGE, "file: [0]: [0] is a list position, but the value is a map"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fixture *fixture = *state;
		_cleanup_sops_document_ struct sops_document *document = plain_read(fixture, PLAIN);
		struct secret out = {0};
		struct error err = {0};

		assert_error(sops_document_unset(document, cases[i].path, &err), cases[i].code,
			     cases[i].message);
		assert_error(sops_document_extract(document, cases[i].path, fixture->json, NULL,
						   &out, &err),
			     cases[i].code, cases[i].message);
	}
}

static void set_rejects_invalid_json(void **state)
{
	static const char *const values[] = {"", "x", "1 2", "{", "'a'", "tru"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = plain_read(*state, PLAIN);
		_cleanup_free_ char *result = NULL;
		struct error err = {0};
		bool changed = false;

		assert_int_equal(set(document, "[\"a\"]", values[i], &changed, &err),
				 -(int)VMCRED_USAGE);
		error_clear(&err);
		result = written(*state, document);
		assert_string_equal(result, "{\"a\":1," LIST "," TAIL);
	}
}

/* The number of lines that differ in two texts with equally many lines. */
static size_t lines_differing(struct span a, struct span b)
{
	_cleanup_free_ char *a_text = strndup((const char *)a.data, a.size);
	_cleanup_free_ char *b_text = strndup((const char *)b.data, b.size);
	char *a_rest, *b_rest;
	char *a_line = strtok_r(a_text, "\n", &a_rest), *b_line = strtok_r(b_text, "\n", &b_rest);
	size_t count = 0;

	while (a_line && b_line) {
		count += strcmp(a_line, b_line) != 0 && !strstr(a_line, "\"lastmodified\"");
		a_line = strtok_r(NULL, "\n", &a_rest);
		b_line = strtok_r(NULL, "\n", &b_rest);
	}
	assert_true(!a_line && !b_line);
	return count;
}

/* Edits PLAIN in a sealed document, seals it again, and counts the lines that are not as before. */
static size_t edited_lines(const struct fixture *fixture, const char *path, const char *value,
			   bool rotate)
{
	_cleanup_secret_ struct secret before = {0}, after = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL, *again = NULL;
	_cleanup_free_ char *edited = NULL, *read = NULL;
	struct error err = {0};
	bool changed = false;

	sealed_make(fixture, PLAIN, &before);
	document = sealed_read(fixture, secret_span(&before));
	assert_success(sops_document_decrypt(document, &fixture->keyring, 0, &err));
	assert_success(set(document, path, value, &changed, &err));
	edited = written(fixture, document);
	if (rotate)
		assert_success(sops_document_rotate(document, &fixture->keyring, NULL, NULL, &err));
	else
		assert_success(sops_document_reencrypt(document, &err));
	assert_success(sops_document_write(document, fixture->json, NULL, &after, &err));
	again = sealed_read(fixture, secret_span(&after));
	assert_success(sops_document_decrypt(again, &fixture->keyring, 0, &err));
	read = written(fixture, again);
	assert_string_equal(read, edited);
	return lines_differing(secret_span(&before), secret_span(&after));
}

static void reencrypt_keeps_ciphertext_of_unchanged_values(void **state)
{
	/* Those lines and the MAC's. Equal values in a list keep their own nonces. */
	assert_int_equal(edited_lines(*state, "[\"a\"]", "2", false), 2);
	assert_int_equal(edited_lines(*state, "[\"deep\"][\"er\"]", "\"y\"", false), 1);
	assert_int_equal(edited_lines(*state, "[\"list\"][0]", "\"y\"", false), 2);
	/* A float is not an integer, although both are encrypted to the same bytes: the type. */
	assert_int_equal(edited_lines(*state, "[\"a\"]", "1.0", false), 2);
	/* A value that is restored at its path gets its nonce again. */
	assert_int_equal(edited_lines(*state, "[\"deep\"]", "{\"er\": \"y\"}", false), 1);
	assert_int_equal(edited_lines(*state, "[\"deep\"]", "{\"er\": \"z\"}", false), 2);
	/* a, three in the list and one below, deep, MAC, and the lines of a wrapped key. */
	assert_true(edited_lines(*state, "[\"a\"]", "1", true) >= 7);
}

static void replace_keeps_ciphertext_of_unchanged_values(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_secret_ struct secret before = {0}, after = {0}, text = {0}, bad = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_free_ char *now = NULL;
	struct error err = {0};

	sealed_make(fixture, PLAIN, &before);
	document = sealed_read(fixture, secret_span(&before));
	assert_success(sops_document_decrypt(document, &fixture->keyring, 0, &err));
	assert_success(secret_copy(&bad, span_of_text("{\"a\": "), &err));
	assert_error(sops_document_replace(document, fixture->json, &bad, NULL, &err),
		     VMCRED_FAILED, "file is truncated: unexpected end of JSON (line 1, column 7)");
	now = written(fixture, document);
	assert_string_equal(now, "{\"a\":1," LIST "," TAIL);
	assert_success(secret_copy(
		&text, span_of_text("{\"a\":1.0,\"list\":[\"x\",true,{\"k\":\"w\"},\"x\"]," TAIL),
		&err));
	assert_success(sops_document_replace(document, fixture->json, &text, NULL, &err));
	assert_success(sops_document_reencrypt(document, &err));
	assert_success(sops_document_write(document, fixture->json, NULL, &after, &err));
	/* The float, k, the MAC; and one of the equal ones, which both get the last one's nonce. */
	assert_int_equal(lines_differing(secret_span(&before), secret_span(&after)), 4);
}

static void extract_prints_the_bytes_of_sops(void **state)
{
	static const struct {
		const char *path, *result;
	} cases[] = {
		{"[\"a\"]", "1"},
		{"[\"list\"][0]", "x"},
		{"[\"list\"][1]", "true"},
		{"[\"list\"][2]", "{\n\t\"k\": \"v\"\n}\n"},
		{"[\"list\"]", "[\n\t\"x\",\n\ttrue,\n\t{\n\t\t\"k\": \"v\"\n\t},\n\t\"x\"\n]"},
		{"[\"none\"]", "null"},
		{"[\"empty\"]", ""},
	};
	const struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = plain_read(*state, PLAIN);
		struct secret out = {0};
		struct error err = {0};

		assert_success(sops_document_extract(document, cases[i].path, fixture->json, NULL,
						     &out, &err));
		assert_span_equal(secret_span(&out), cases[i].result);
		secret_destroy(&out);
	}
}

static const char *const variants = "\"\\{}[],:0 \n";

/* Opens a changed document; it must give an error or PLAIN. Returns whether it gave PLAIN. */
static bool opens_exactly(const struct fixture *fixture, struct span text, const char *expected)
{
	_cleanup_sops_document_ struct sops_document *document =
		changed_document_open(fixture->json, &fixture->keyring, text);
	_cleanup_free_ char *plain = NULL;

	if (!document)
		return false;
	plain = written(fixture, document);
	assert_string_equal(plain, expected);
	return true;
}

/* Keys of values that are not encrypted are not authenticated, so there are none here. */
static void damaged_document_gives_an_error_or_the_plaintext(void **state)
{
	static const char plain[] = "{\"a\":12,\"l\":[true,\"x\"],\"f\":0.5}";
	_cleanup_secret_ struct secret text = {0};
	size_t opened = 0, tried = 0;

	sealed_make(*state, plain, &text);
	for (size_t i = 0; i < text.size - 2; i++)
		assert_false(opens_exactly(*state, span_of(text.data, i), plain));
	for (size_t i = 0; i < text.size; i++) {
		uint8_t original = text.data[i];

		for (size_t j = 0; j < 8 + strlen(variants); j++) {
			text.data[i] = (uint8_t)(j < 8 ? original ^ 1 << j : variants[j - 8]);
			if (text.data[i] == original)
				continue;
			tried++;
			opened += opens_exactly(*state, secret_span(&text), plain);
		}
		text.data[i] = original;
	}
	/* White space, names and the version may change. */
	assert_true(opened > 0 && opened < tried / 5);
}

static void unsupported_keys_are_preserved(void **state)
{
	const struct fixture *fixture = *state;
	static const char kms[] =
		"\"kms\": [{\"arn\": \"arn:x\", \"aws_profile\": \"p\", \"context\": {\"b\": "
		"\"2\", "
		"\"a\": null}, \"created_at\": \"2020-01-02T03:04:05Z\", \"enc\": \"E\", \"role\": "
		"\"r\", \"unknown\": 1}], \"lastmodified\"";
	static const char kept[] =
		"\"kms\":[{\"arn\":\"arn:x\",\"aws_profile\":\"p\",\"context\":{\"a\":null,\"b\":"
		"\"2\"},\"created_at\":\"2020-01-02T03:04:05Z\",\"enc\":\"E\",\"role\":\"r\"}],"
		"\"lastmodified\"";
	_cleanup_secret_ struct secret text = {0};
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_free_ char *sealed = NULL, *with_kms = NULL, *now = NULL, *rewrapped = NULL;
	struct sops_difference difference = {0};
	struct error err = {0};
	const char *at;

	sealed_make(fixture, PLAIN, &text);
	sealed = strndup((const char *)text.data, text.size);
	at = strstr(sealed, "\"lastmodified\"");
	assert_true(asprintf(&with_kms, "%.*s%s%s", (int)(at - sealed), sealed, kms,
			     at + strlen("\"lastmodified\"")) > 0);
	document = sealed_read(fixture, span_of_text(with_kms));
	assert_string_equal(sops_document_policy(document)->groups[0].keys[0].text,
			    "arn:x+r|a:,b:2|p");
	now = written(fixture, document);
	assert_non_null(strstr(now, kept));

	assert_success(sops_policy_copy(&policy, sops_document_policy(document), &err));
	assert_success(sops_key_group_add(&policy.groups[0], SOPS_KEY_AGE,
					  span_of_text(VECTOR_RECIPIENT), &err));
	assert_success(sops_document_keys_compare(document, &policy, 0, &difference, &err));
	assert_false(difference.changed);
	sops_difference_destroy(&difference);
	assert_success(sops_document_keys_update(document, &policy, 0, &fixture->keyring, &err));
	rewrapped = written(fixture, document);
	assert_non_null(strstr(rewrapped, kept));
	assert_success(sops_document_decrypt(document, &fixture->keyring, 0, &err));
	assert_error(sops_document_rotate(document, &fixture->keyring, NULL, NULL, &err),
		     VMCRED_USAGE,
		     "file: unsupported key type kms (arn:x+r|a:,b:2|p): use age "
		     "or PGP keys, or sops itself");
}

static void keys_compare_lists_each_group(void **state)
{
	static const struct {
		int change;
		const char *text;
	} expected[2][3] = {
		{{SOPS_KEY_KEPT, VECTOR_RECIPIENT}, {SOPS_KEY_ADDED, "00FF"}},
		{{SOPS_KEY_ADDED, "arn:1"}},
	};
	const struct fixture *fixture = *state;
	_cleanup_sops_document_ struct sops_document *document = plain_read(fixture, PLAIN);
	_cleanup_sops_policy_ struct sops_policy policy = {0}, none = {0};
	struct sops_difference difference = {0};
	struct error err = {0};

	assert_success(sops_document_encrypt(document, &fixture->policy, &fixture->keyring, &err));
	assert_success(sops_policy_copy(&policy, &fixture->policy, &err));
	assert_success(
		sops_key_group_add(&policy.groups[0], SOPS_KEY_PGP, span_of_text("00 FF"), &err));
	assert_non_null(sops_policy_group_add(&policy, &err));
	assert_success(
		sops_key_group_add(&policy.groups[1], SOPS_KEY_KMS, span_of_text("arn:1"), &err));
	assert_success(sops_document_keys_compare(document, &policy, 5, &difference, &err));
	assert_true(difference.changed);
	assert_int_equal(difference.threshold_before, 0);
	assert_int_equal(difference.threshold_after, 2);
	assert_int_equal(difference.group_count, 2);
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < difference.groups[i].count; j++) {
			assert_int_equal(difference.groups[i].keys[j].change,
					 expected[i][j].change);
			assert_string_equal(difference.groups[i].keys[j].text, expected[i][j].text);
		}
		assert_null(expected[i][difference.groups[i].count].text);
	}
	sops_difference_destroy(&difference);
	assert_success(sops_document_keys_compare(document, &none, 0, &difference, &err));
	assert_int_equal(difference.groups[0].keys[0].change, SOPS_KEY_REMOVED);
	sops_difference_destroy(&difference);
	/* A failed update does not change the document. */
	assert_int_equal(sops_document_keys_update(document, &policy, 2, &fixture->keyring, &err),
			 -(int)VMCRED_MISSING);
	error_clear(&err);
	assert_int_equal(sops_document_policy(document)->group_count, 1);
	assert_success(sops_document_decrypt(document, &fixture->keyring, 0, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_value),
		cmocka_unit_test(unset_value),
		cmocka_unit_test(invalid_paths),
		cmocka_unit_test(set_rejects_invalid_json),
		cmocka_unit_test(reencrypt_keeps_ciphertext_of_unchanged_values),
		cmocka_unit_test(replace_keeps_ciphertext_of_unchanged_values),
		cmocka_unit_test(extract_prints_the_bytes_of_sops),
		cmocka_unit_test(damaged_document_gives_an_error_or_the_plaintext),
		cmocka_unit_test(unsupported_keys_are_preserved),
		cmocka_unit_test(keys_compare_lists_each_group),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
