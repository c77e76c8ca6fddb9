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

static void decrypt_binary_document_by_sops(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	const struct sops_policy *policy;
	struct secret out = {0};
	struct error err = {0};
	struct span value;

	assert_success(json_read(span_of_text(vector_sops_binary), &document, &err));
	policy = sops_document_policy(document);
	assert_int_equal(policy->group_count, 1);
	assert_int_equal(policy->groups[0].count, 1);
	assert_int_equal(policy->groups[0].keys[0].type, SOPS_KEY_AGE);
	assert_string_equal(policy->groups[0].keys[0].text, VECTOR_RECIPIENT);
	assert_error(sops_document_extract(document, "[\"data\"]", sops_store_named("json"), NULL,
					   &out, &err),
		     VMCRED_FAILED, "file: not decrypted");
	assert_success(sops_document_decrypt(
		document, &(const struct sops_keyring){.identities = *state}, 0, &err));
	assert_success(sops_document_decrypt(
		document, &(const struct sops_keyring){.identities = *state}, 0, &err));
	assert_success(sops_document_string(document, SOPS_BINARY_KEY, &value, &err));
	assert_span_equal(value, "hello");
	assert_error(sops_document_string(document, "other", &value, &err), VMCRED_MISSING,
		     "file: missing key \"other\"");
	assert_error(sops_document_string(document, "sops", &value, &err), VMCRED_MISSING,
		     "file: missing key \"sops\"");
}

static void write_prints_the_bytes_of_sops(void **state)
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
	assert_error(sops_document_string(document, "db", &value, &err), VMCRED_FAILED,
		     "file: \"db\" is not a string");
	secret_destroy(&out);
}

static void decrypt_document_by_old_sops(void **state)
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

static void binary_round_trip(void **state)
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

		assert_success(sops_binary_encrypt(plaintext, NULL, &keys, &nothing, &text, &err));
		assert_success(open_document(secret_span(&text), *state, &document, &err));
		assert_success(sops_document_string(document, SOPS_BINARY_KEY, &value, &err));
		assert_true(span_equal(value, plaintext));
		secret_destroy(&text);
	}
	sops_key_group_destroy(&keys);
	assert_error(sops_binary_encrypt(span_of_text("x"), NULL, &keys, &nothing,
					 &(struct secret){0}, &err),
		     VMCRED_USAGE, "no recipients");
}

static void decrypt_truncated_document(void **state)
{
	/* Only white space follows the last brace. */
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

static void decrypt_document_with_a_changed_byte(void **state)
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
		    sops_document_string(document, SOPS_BINARY_KEY, &value, &err) < 0)
			errors++;
		else
			assert_span_equal(value, "hello");
		error_clear(&err);
		text[i] = vector_sops_binary[i];
	}
	/* Only white space, the version and the recipient's name are not authenticated. */
	assert_true(errors >= strlen(vector_sops_binary) * 8 / 10 &&
		    errors <= strlen(vector_sops_binary));
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

static void decrypt_reports_what_is_wrong(void **state)
{
#define NOT_FORM "not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]"
	static const struct {
		const char *from, *to;
		enum vmcred_code code;
		const char *message;
	} cases[] = {
		{"\"sops\"", "\"sopz\"", VMCRED_FAILED,
		 "file is not a SOPS document: missing key \"sops\" at its top"},
		{"\"note_unencrypted\"", "\"sops\"", VMCRED_FAILED, "file: duplicate key \"sops\""},
		{"\"age\": [\n\t\t\t{",
		 "\"hckms\": [{\"key_id\": 0, \"created_at\": \"2026-01-01T00:00:00Z\",",
		 VMCRED_MISSING,
		 "file: no identity matches: it is encrypted to hckms 0 (not supported); "
		 "tried: " VECTOR_RECIPIENT
		 ": use the identity of a recipient, or encrypt it to your public key as well"},
		{"\"age\"", "\"ags\"", VMCRED_FAILED, "file: sops contains no keys"},
		{"\"enc\"", "\"end\"", VMCRED_FAILED,
		 "file: sops.age: the key for " VECTOR_RECIPIENT ": the field enc is empty"},
		{"-----BEGIN", "----BEGIN", VMCRED_FAILED,
		 "file: sops.age: the key for " VECTOR_RECIPIENT
		 ": the age armor is malformed: the first line is not "
		 "\"-----BEGIN AGE ENCRYPTED FILE-----\""},
		{"\"lastmodified\": \"2", "\"lastmodified\": \"3", VMCRED_INTEGRITY,
		 "file: the MAC or its time was modified (authentication tag mismatch)"},
		{"\"lastmodified\": \"2", "\"lastmodified\": \"x", VMCRED_FAILED,
		 "file: sops.lastmodified is not a time (RFC 3339)"},
		{"\"mac\"", "\"max\"", VMCRED_INTEGRITY, "file: the MAC is missing"},
		{"\"mac\": \"ENC[AES256_GCM,data:", "\"mac\": \"ENC[AES256_GCM,data:!",
		 VMCRED_FAILED,
		 "file: the MAC: data: the Base64 text has 173 characters, which is not a "
		 "multiple of 4"},
		{"\"plain\"", "\"plane\"", VMCRED_INTEGRITY,
		 "file: the MAC does not match: values were added, removed, changed or reordered"},
		{"\"note_unencrypted\"", "\"note\"", VMCRED_INTEGRITY,
		 "file: the value note is not encrypted, but the document's rule requires it"},
		{"null", "1", VMCRED_INTEGRITY,
		 "file: the value db.tags[2] is not encrypted, but the document's rule requires "
		 "it"},
		{"\"user\"", "\"name\"", VMCRED_INTEGRITY,
		 "file: the value db.name was modified or moved (authentication tag mismatch)"},
		{"type:str", "type:int", VMCRED_FAILED,
		 "file: the value db.user does not have its declared type"},
		{"type:str", "type:comment", VMCRED_FAILED,
		 "file: the value db.user does not have its declared type"},
		{"type:str", "type:strange", VMCRED_FAILED,
		 "file: the value db.user: unsupported type"},
		{"ENC[AES256_GCM", "ENC[AES256_GCN", VMCRED_FAILED,
		 "file: the value db.user: " NOT_FORM},
		{"type:str]", "type:str] ", VMCRED_FAILED, "file: the value db.user: " NOT_FORM},
		{",iv:", ",iv:AAAA", VMCRED_FAILED,
		 "file: the value db.user: the iv must have 32 bytes"},
		{",tag:", ",tag:AAAA", VMCRED_FAILED,
		 "file: the value db.user: the tag must have 16 bytes"},
		{"\"unencrypted_suffix\": \"_unencrypted\"", "\"encrypted_suffix\": \"user\"",
		 VMCRED_INTEGRITY,
		 "file: the MAC does not match: values were added, removed, changed or reordered"},
		{"\"unencrypted_suffix\": \"_unencrypted\"", "\"encrypted_regex\": \"(?i)\\\\pL\"",
		 VMCRED_FAILED,
		 "file: encrypted_regex: unsupported regular expression \"(?i)\\pL\": this "
		 "Unicode property together with (?i)"},
		{"\"unencrypted_suffix\"", "\"encrypted_suffix\": \"x\", \"unencrypted_suffix\"",
		 VMCRED_FAILED,
		 "file: sops.encrypted_suffix is a second encryption rule; only one is allowed"},
		{"\"version\"", "\"mac_only_encrypted\": true, \"version\"", VMCRED_INTEGRITY,
		 "file: the MAC does not match: values were added, removed, changed or reordered"},
		{"\"version\"", "\"mac_only_encrypted\": \"yes\", \"version\"", VMCRED_FAILED,
		 "file: sops.mac_only_encrypted is not a boolean"},
		{"\"age\": [",
		 "\"shamir_threshold\": 2, \"key_groups\": [{\"age\": []}, {\"pgp\": [{\"fp\": "
		 "\"00\", "
		 "\"created_at\": \"2026-01-01T00:00:00Z\"}]}, {}], \"agf\": [",
		 VMCRED_MISSING,
		 "file: 2 of 3 key groups are required, but only 0 could be decrypted: it is "
		 "encrypted to group 1: no keys; group 2: pgp 00; group 3: no keys; "
		 "tried: " VECTOR_RECIPIENT
		 ": use the identity of a recipient, or encrypt it to your public key as well"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		_cleanup_free_ char *text = replaced(vector_sops_tree, cases[i].from, cases[i].to);
		struct error err = {0};

		assert_error(open_document(span_of_text(text), *state, &document, &err),
			     cases[i].code, cases[i].message);
	}
}

static void decrypt_with_a_key_of_an_unsupported_type(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"\"sops\": {",
		 "\"sops\": {\"pgp\": [{\"fp\": \"00\", \"enc\": \"\", \"created_at\": "
		 "\"2026-01-01T00:00:00+01:00\"}], \"kms\": null,"},
		{"\"version\"", "\"shamir_threshold\": 0, \"hc_vault\": [], \"version\""},
		/* The name of a recipient is not authenticated and not needed. */
		{VECTOR_RECIPIENT, "age1somebodyelse"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_document_ struct sops_document *document = NULL;
		_cleanup_free_ char *text =
			replaced(vector_sops_binary, cases[i].from, cases[i].to);
		struct error err = {0};
		struct span value;

		assert_success(open_document(span_of_text(text), *state, &document, &err));
		assert_success(sops_document_string(document, SOPS_BINARY_KEY, &value, &err));
		assert_span_equal(value, "hello");
	}
}

static void failed_document_gives_no_value(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_free_ char *text = replaced(vector_sops_binary, "\"mac\"", "\"max\"");
	struct error err = {0};
	struct secret out = {0};

	assert_error(open_document(span_of_text(text), *state, &document, &err), VMCRED_INTEGRITY,
		     "file: the MAC is missing");
	assert_error(sops_document_extract(document, "[\"data\"]", sops_store_named("json"), NULL,
					   &out, &err),
		     VMCRED_FAILED, "file: not decrypted");
	assert_error(sops_document_decrypt(
			     document, &(const struct sops_keyring){.identities = *state}, 0, &err),
		     VMCRED_FAILED, "file: decryption failed before");
}

static void decrypt_lists_the_recipients(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	struct age_identities other = {0}, none = {0};
	struct error err = {0};
	char message[512];

	(void)state;
#define ENCRYPTED_FOR "file: no identity matches: it is encrypted to " VECTOR_RECIPIENT "; tried: "
#define HINT          ": use the identity of a recipient, or encrypt it to your public key as well"
	assert_success(age_identities_generate(&other, AGE_X25519, &err));
	snprintf(message, sizeof(message), ENCRYPTED_FOR "%s" HINT,
		 age_identity_recipient(other.items[0]));
	assert_error(open_document(span_of_text(vector_sops_binary), &other, &document, &err),
		     VMCRED_MISSING, message);
	/* The right identity still decrypts it. */
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
		cmocka_unit_test(decrypt_binary_document_by_sops),
		cmocka_unit_test(write_prints_the_bytes_of_sops),
		cmocka_unit_test(decrypt_document_by_old_sops),
		cmocka_unit_test(binary_round_trip),
		cmocka_unit_test(decrypt_truncated_document),
		cmocka_unit_test(decrypt_document_with_a_changed_byte),
		cmocka_unit_test(decrypt_reports_what_is_wrong),
		cmocka_unit_test(decrypt_with_a_key_of_an_unsupported_type),
		cmocka_unit_test(failed_document_gives_no_value),
		cmocka_unit_test(decrypt_lists_the_recipients),
		cmocka_unit_test(sealed_values_have_one_form),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
