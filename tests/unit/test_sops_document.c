/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "sops/cipher.h"
#include "sops/sops.h"
#include "vectors.h"

static int setup(void **state)
{
	struct age_identities *identities = calloc(1, sizeof(*identities));
	struct error err = {0};

	*state = identities;
	if (!identities)
		return -1;
	return age_identities_add(identities, span_of_text(VECTOR_IDENTITY), &err);
}

static int teardown(void **state)
{
	age_identities_destroy(*state);
	free(*state);
	return 0;
}

static int json_read(struct span text, struct sops_document **document, struct error *err)
{
	struct secret copy = {0};
	int r = secret_copy(&copy, text, err);

	return r < 0 ? r
		     : sops_document_read(sops_store_named("json"), &copy, "file", document, err);
}

static int open_document(struct span text, const struct age_identities *identities,
			 struct sops_document **document, struct error *err)
{
	const struct sops_keyring keyring = {.identities = identities};
	int r = json_read(text, document, err);

	return r < 0 ? r : sops_document_decrypt(*document, &keyring, 0, err);
}

static void a_binary_document_that_sops_wrote_gives_its_value(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	const struct sops_policy *policy;
	struct error err = {0};
	struct span value;

	assert_success(json_read(span_of_text(vector_sops_binary), &document, &err));
	policy = sops_document_policy(document);
	assert_int_equal(policy->group_count, 1);
	assert_int_equal(policy->groups[0].count, 1);
	assert_int_equal(policy->groups[0].keys[0].type, SOPS_KEY_AGE);
	assert_string_equal(policy->groups[0].keys[0].text, VECTOR_RECIPIENT);
	assert_error(sops_document_value(document, SOPS_BINARY_KEY, &value, &err), VMCRED_FAILED,
		     "file: it is not decrypted");
	assert_success(sops_document_decrypt(
		document, &(const struct sops_keyring){.identities = *state}, 0, &err));
	assert_success(sops_document_decrypt(
		document, &(const struct sops_keyring){.identities = *state}, 0, &err));
	assert_success(sops_document_value(document, SOPS_BINARY_KEY, &value, &err));
	assert_span_equal(value, "hello");
	assert_error(sops_document_value(document, "other", &value, &err), VMCRED_MISSING,
		     "file: there is no key other in it");
	assert_error(sops_document_value(document, "sops", &value, &err), VMCRED_MISSING,
		     "file: there is no key sops in it");
}

static void a_tree_that_sops_wrote_is_printed_as_sops_does(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct secret out = {0};
	struct error err = {0};
	struct span value;

	assert_success(open_document(span_of_text(vector_sops_tree), *state, &document, &err));
	assert_success(sops_document_write(document, sops_store_named("json"), NULL, &out, &err));
	assert_span_equal(
		secret_span(&out),
		"{\n\t\"db\": {\n\t\t\"user\": \"admin\",\n\t\t\"port\": 5432,\n\t\t\"ratio\": "
		"0.5,\n\t\t\"on\": true,\n\t\t\"tags\": [\n\t\t\t\"a\",\n\t\t\t\"\",\n\t\t\tnull\n"
		"\t\t]\n\t},\n\t\"note_unencrypted\": \"plain\"\n}\n");
	assert_error(sops_document_value(document, "db", &value, &err), VMCRED_FAILED,
		     "file: the value db is not a string");
	secret_destroy(&out);
}

static void a_document_of_an_old_sops_is_opened_and_keeps_its_version(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct secret plain = {0}, sealed = {0};
	struct error err = {0};

	assert_success(open_document(span_of_text(vector_sops_old), *state, &document, &err));
	assert_string_equal(sops_document_version(document), "3.7.3");
	assert_success(sops_document_write(document, sops_store_named("json"), NULL, &plain, &err));
	assert_span_equal(secret_span(&plain),
			  "{\n\t\"a\": \"x\",\n\t\"b\": [\n\t\t1,\n\t\t1.5,\n\t\ttrue,\n"
			  "\t\tnull\n\t]\n}\n");
	assert_success(sops_document_reencrypt(document, &err));
	assert_success(
		sops_document_write(document, sops_store_named("json"), NULL, &sealed, &err));
	assert_non_null(memmem(sealed.data, sealed.size, "\"version\": \"3.7.3\"", 18));
	secret_destroy(&plain);
	secret_destroy(&sealed);
}

static void every_value_survives_the_round_trip(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
		{"", 0}, {"x", 1}, {"a\0b", 3}, {"\xff\xfe\n", 3}, {"ENC[AES256_GCM,data:", 20}};
	const struct sops_keyring nothing = {0};
	struct sops_key_group keys = {0};
	struct error err = {0};

	assert_success(
		sops_key_group_add(&keys, SOPS_KEY_AGE, span_of_text(VECTOR_RECIPIENT), &err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		struct span plaintext = span_of(cases[i].bytes, cases[i].size), value;
		struct secret text = {0};

		assert_success(sops_binary_encrypt(plaintext, &keys, &nothing, &text, &err));
		assert_success(open_document(secret_span(&text), *state, &document, &err));
		assert_success(sops_document_value(document, SOPS_BINARY_KEY, &value, &err));
		assert_true(span_equal(value, plaintext));
		secret_destroy(&text);
	}
	sops_key_group_destroy(&keys);
	assert_error(
		sops_binary_encrypt(span_of_text("x"), &keys, &nothing, &(struct secret){0}, &err),
		VMCRED_USAGE, "there is no recipient to encrypt to");
}

static void no_cut_of_a_document_gives_a_value(void **state)
{
	/* What ends behind the last brace is whole. */
	size_t whole = strlen(vector_sops_binary) - 1;

	for (size_t size = 0; size < whole; size++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		struct error err = {0};

		assert_int_equal(
			open_document(span_of(vector_sops_binary, size), *state, &document, &err),
			-(int)VMCRED_FAILED);
		error_clear(&err);
	}
}

static void a_changed_byte_gives_an_error_or_the_exact_value(void **state)
{
	char text[sizeof(vector_sops_binary)];
	size_t errors = 0;

	memcpy(text, vector_sops_binary, sizeof(text));
	for (size_t i = 0; i < strlen(vector_sops_binary); i++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		struct error err = {0};
		struct span value;

		text[i] = (char)(text[i] ^ 1 << i % 7);
		if (open_document(span_of(text, sizeof(text) - 1), *state, &document, &err) < 0 ||
		    sops_document_value(document, SOPS_BINARY_KEY, &value, &err) < 0)
			errors++;
		else
			assert_span_equal(value, "hello");
		error_clear(&err);
		text[i] = vector_sops_binary[i];
	}
	/* What is left is white space, the version and the recipient's name. */
	assert_in_range(errors, strlen(vector_sops_binary) * 8 / 10, strlen(vector_sops_binary));
}

/* A copy of the text with one piece replaced; the caller frees it. */
static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *copy = NULL;

	assert_non_null(at);
	assert_true(asprintf(&copy, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return copy;
}

static void what_is_wrong_with_a_document_is_told(void **state)
{
#define NOT_FORM "it is not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]"
	static const struct {
		const char *from, *to;
		enum vmcred_code code;
		const char *message;
	} cases[] = {
		{"\"sops\"", "\"sopz\"", VMCRED_FAILED,
		 "file is not a SOPS document: there is no key sops at its top"},
		{"\"note_unencrypted\"", "\"sops\"", VMCRED_FAILED,
		 "file: the key sops stands in it twice"},
		{"\"age\": [\n\t\t\t{",
		 "\"hckms\": [{\"key_id\": 0, \"created_at\": \"2026-01-01T00:00:00Z\",",
		 VMCRED_MISSING,
		 "file: no identity opens it: it is encrypted for hckms 0 (not supported); "
		 "tried: " VECTOR_RECIPIENT
		 ": use an identity of a recipient, or make the identity's public key a recipient "
		 "and "
		 "encrypt it again"},
		{"\"age\"", "\"ags\"", VMCRED_FAILED, "file: there is no key in its field sops"},
		{"\"enc\"", "\"end\"", VMCRED_FAILED,
		 "file: the key for " VECTOR_RECIPIENT
		 " in its field sops.age: its field enc is empty"},
		{"-----BEGIN", "----BEGIN", VMCRED_FAILED,
		 "file: the key for " VECTOR_RECIPIENT
		 " in its field sops.age: the age armor is malformed: its first line is not "
		 "\"-----BEGIN AGE ENCRYPTED FILE-----\""},
		{"\"lastmodified\": \"2", "\"lastmodified\": \"3", VMCRED_INTEGRITY,
		 "file: its MAC or its time was changed: the MAC's own tag does not match"},
		{"\"lastmodified\": \"2", "\"lastmodified\": \"x", VMCRED_FAILED,
		 "file: the field sops.lastmodified is not a time (RFC 3339)"},
		{"\"mac\"", "\"max\"", VMCRED_INTEGRITY, "file: its MAC is missing"},
		{"\"mac\": \"ENC[AES256_GCM,data:", "\"mac\": \"ENC[AES256_GCM,data:!",
		 VMCRED_FAILED,
		 "file: its MAC: its data: the Base64 text has 173 characters, which is not a "
		 "multiple of 4"},
		{"\"plain\"", "\"plane\"", VMCRED_INTEGRITY,
		 "file: its MAC does not match: a value was added, removed or changed, or their "
		 "order"},
		{"\"note_unencrypted\"", "\"note\"", VMCRED_INTEGRITY,
		 "file: the value note is not encrypted, although the document's rule says so"},
		{"null", "1", VMCRED_INTEGRITY,
		 "file: the value db.tags[2] is not encrypted, although the document's rule says "
		 "so"},
		{"\"user\"", "\"name\"", VMCRED_INTEGRITY,
		 "file: the value db.name was changed or moved: its tag does not match"},
		{"type:str", "type:int", VMCRED_FAILED,
		 "file: the value db.user is not of the type that it is marked with"},
		{"type:str", "type:comment", VMCRED_FAILED,
		 "file: the value db.user is not of the type that it is marked with"},
		{"type:str", "type:strange", VMCRED_FAILED,
		 "file: the value db.user: its type is not supported"},
		{"ENC[AES256_GCM", "ENC[AES256_GCN", VMCRED_FAILED,
		 "file: the value db.user: " NOT_FORM},
		{"type:str]", "type:str] ", VMCRED_FAILED, "file: the value db.user: " NOT_FORM},
		{",iv:", ",iv:AAAA", VMCRED_FAILED,
		 "file: the value db.user: its iv is not 32 bytes long"},
		{",tag:", ",tag:AAAA", VMCRED_FAILED,
		 "file: the value db.user: its tag is not 16 bytes long"},
		{"\"unencrypted_suffix\": \"_unencrypted\"", "\"encrypted_suffix\": \"user\"",
		 VMCRED_INTEGRITY,
		 "file: its MAC does not match: a value was added, removed or changed, or their "
		 "order"},
		{"\"unencrypted_suffix\": \"_unencrypted\"", "\"encrypted_regex\": \"(?i)\\\\pL\"",
		 VMCRED_FAILED,
		 "file: encrypted_regex: unsupported regular expression \"(?i)\\pL\": this "
		 "Unicode property together with (?i)"},
		{"\"unencrypted_suffix\"", "\"encrypted_suffix\": \"x\", \"unencrypted_suffix\"",
		 VMCRED_FAILED,
		 "file: the field sops.encrypted_suffix is a second rule on what is encrypted; "
		 "there can "
		 "be one"},
		{"\"version\"", "\"mac_only_encrypted\": true, \"version\"", VMCRED_INTEGRITY,
		 "file: its MAC does not match: a value was added, removed or changed, or their "
		 "order"},
		{"\"version\"", "\"mac_only_encrypted\": \"yes\", \"version\"", VMCRED_FAILED,
		 "file: the field sops.mac_only_encrypted is neither true nor false"},
		{"\"age\": [",
		 "\"shamir_threshold\": 2, \"key_groups\": [{\"age\": []}, {\"pgp\": [{\"fp\": "
		 "\"00\", "
		 "\"created_at\": \"2026-01-01T00:00:00Z\"}]}, {}], \"agf\": [",
		 VMCRED_MISSING,
		 "file: 2 of its 3 key groups must be opened, but 0 could be: it is encrypted for "
		 "group 1: nobody; for group 2: pgp 00; for group 3: nobody; "
		 "tried: " VECTOR_RECIPIENT
		 ": use an identity of a recipient, or make the identity's public key a recipient "
		 "and "
		 "encrypt it again"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		_cleanup_free_ char *text = replaced(vector_sops_tree, cases[i].from, cases[i].to);
		struct error err = {0};

		assert_error(open_document(span_of_text(text), *state, &document, &err),
			     cases[i].code, cases[i].message);
	}
}

static void a_document_of_one_key_group_and_with_a_foreign_key_is_opened(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"\"sops\": {",
		 "\"sops\": {\"pgp\": [{\"fp\": \"00\", \"enc\": \"\", \"created_at\": "
		 "\"2026-01-01T00:00:00+01:00\"}], \"kms\": null,"},
		{"\"version\"", "\"shamir_threshold\": 0, \"hc_vault\": [], \"version\""},
		/* The name of a recipient is not authenticated, nor needed. */
		{VECTOR_RECIPIENT, "age1somebodyelse"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		_cleanup_free_ char *text =
			replaced(vector_sops_binary, cases[i].from, cases[i].to);
		struct error err = {0};
		struct span value;

		assert_success(open_document(span_of_text(text), *state, &document, &err));
		assert_success(sops_document_value(document, SOPS_BINARY_KEY, &value, &err));
		assert_span_equal(value, "hello");
	}
}

static void a_document_that_failed_gives_no_value(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_free_ char *text = replaced(vector_sops_binary, "\"mac\"", "\"max\"");
	struct error err = {0};
	struct span value;

	assert_error(open_document(span_of_text(text), *state, &document, &err), VMCRED_INTEGRITY,
		     "file: its MAC is missing");
	assert_error(sops_document_value(document, SOPS_BINARY_KEY, &value, &err), VMCRED_FAILED,
		     "file: it is not decrypted");
	assert_error(sops_document_decrypt(
			     document, &(const struct sops_keyring){.identities = *state}, 0, &err),
		     VMCRED_FAILED, "file: it could not be decrypted before");
}

static void a_stranger_is_told_for_whom_it_is(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct age_identities other = {0}, none = {0};
	struct error err = {0};
	char message[512];

	(void)state;
#define ENCRYPTED_FOR \
	"file: no identity opens it: it is encrypted for " VECTOR_RECIPIENT "; tried: "
#define HINT                                                                                   \
	": use an identity of a recipient, or make the identity's public key a recipient and " \
	"encrypt it again"
	assert_success(age_identities_generate(&other, &err));
	snprintf(message, sizeof(message), ENCRYPTED_FOR "%s" HINT,
		 age_identity_recipient(other.items[0]));
	assert_error(open_document(span_of_text(vector_sops_binary), &other, &document, &err),
		     VMCRED_MISSING, message);
	/* Nothing is broken by that: the right identity still opens it. */
	assert_error(sops_document_decrypt(
			     document, &(const struct sops_keyring){.identities = &none}, 0, &err),
		     VMCRED_MISSING, ENCRYPTED_FOR "none" HINT);
	assert_success(sops_document_decrypt(
		document, &(const struct sops_keyring){.identities = *state}, 0, &err));
	age_identities_destroy(&other);
}

static void sealed_values_have_one_form(void **state)
{
#define IV  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define TAG "AAAAAAAAAAAAAAAAAAAAAA=="
	static const char *const refused[] = {
		"",
		"ENC[",
		"ENC[AES256_GCM,data:,iv:" IV ",tag:" TAG ",type:str]",
		"ENC[AES256_GCM,data:AAAA,iv:,tag:" TAG ",type:str]",
		"ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:,type:str]",
		"ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG ",type:]",
		"ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG ",type:str",
		"ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG "]",
		"ENC[AES256_GCM,data:AAAA,tag:" TAG ",iv:" IV ",type:str]",
		"ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG ",type:str]]",
		" ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG ",type:str]",
		"enc[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG ",type:str]",
		/* A nonce of 12 bytes, and one that is not canonical. */
		"ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAA,tag:" TAG ",type:str]",
		"ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=,tag:" TAG
		",type:str]",
	};
	static const char taken[] = "ENC[AES256_GCM,data:AAAA,iv:" IV ",tag:" TAG ",type:str]";
	struct sops_sealed sealed;
	struct error err = {0};

	(void)state;
	assert_success(sops_sealed_parse(span_of_text(taken), &sealed, &err));
	assert_span_equal(sealed.data, "AAAA");
	assert_span_equal(sealed.type, "str");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(sops_sealed_parse(span_of_text(refused[i]), &sealed, &err),
				 -(int)VMCRED_FAILED);
		error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_binary_document_that_sops_wrote_gives_its_value),
		cmocka_unit_test(a_tree_that_sops_wrote_is_printed_as_sops_does),
		cmocka_unit_test(a_document_of_an_old_sops_is_opened_and_keeps_its_version),
		cmocka_unit_test(every_value_survives_the_round_trip),
		cmocka_unit_test(no_cut_of_a_document_gives_a_value),
		cmocka_unit_test(a_changed_byte_gives_an_error_or_the_exact_value),
		cmocka_unit_test(what_is_wrong_with_a_document_is_told),
		cmocka_unit_test(a_document_of_one_key_group_and_with_a_foreign_key_is_opened),
		cmocka_unit_test(a_document_that_failed_gives_no_value),
		cmocka_unit_test(a_stranger_is_told_for_whom_it_is),
		cmocka_unit_test(sealed_values_have_one_form),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
