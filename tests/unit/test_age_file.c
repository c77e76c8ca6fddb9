/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "age/age.h"
#include "age/stream.h"
#include "vectors.h"

struct fixture {
	struct age_recipients recipients;
	struct age_identities identities;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err = {0};

	if (!fixture ||
	    age_recipients_add(&fixture->recipients, span_of_text(VECTOR_RECIPIENT), &err) < 0 ||
	    age_identities_add(&fixture->identities, span_of_text(VECTOR_IDENTITY), &err) < 0)
		return -1;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	age_recipients_destroy(&fixture->recipients);
	age_identities_destroy(&fixture->identities);
	free(fixture);
	return 0;
}

static void a_file_written_by_age_is_decrypted(void **state)
{
	const struct fixture *fixture = *state;
	struct secret plaintext = {0};
	struct error err = {0};

	assert_success(age_decrypt(span_of(vector_age, sizeof(vector_age)), &fixture->identities,
				   &plaintext, &err));
	assert_span_equal(secret_span(&plaintext), "hello");
	secret_destroy(&plaintext);
}

static void files_around_the_chunk_size_round_trip(void **state)
{
	static const size_t sizes[] = {
		0, 1, AGE_CHUNK_SIZE - 1, AGE_CHUNK_SIZE, AGE_CHUNK_SIZE + 1, 2 * AGE_CHUNK_SIZE};
	const struct fixture *fixture = *state;
	struct error err = {0};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct secret plaintext = {0}, file = {0}, decrypted = {0};

		assert_success(secret_append_random(&plaintext, sizes[i], &err));
		assert_success(
			age_encrypt(secret_span(&plaintext), &fixture->recipients, &file, &err));
		assert_success(
			age_decrypt(secret_span(&file), &fixture->identities, &decrypted, &err));
		assert_true(secret_equal(secret_span(&plaintext), secret_span(&decrypted)));
		secret_destroy(&plaintext);
		secret_destroy(&file);
		secret_destroy(&decrypted);
	}
}

static void a_truncated_file_gives_no_plaintext(void **state)
{
	const struct fixture *fixture = *state;

	for (size_t size = 0; size < sizeof(vector_age); size++) {
		struct secret plaintext = {0};
		struct error err = {0};

		assert_true(age_decrypt(span_of(vector_age, size), &fixture->identities, &plaintext,
					&err) < 0);
		assert_int_equal(plaintext.size, 0);
		secret_destroy(&plaintext);
		error_clear(&err);
	}
}

static void a_file_with_a_flipped_bit_gives_no_plaintext(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t file[sizeof(vector_age)];

	memcpy(file, vector_age, sizeof(file));
	for (size_t i = 0; i < sizeof(file); i++) {
		struct secret plaintext = {0};
		struct error err = {0};

		file[i] ^= (uint8_t)(1 << i % 8);
		assert_true(age_decrypt(span_of(file, sizeof(file)), &fixture->identities,
					&plaintext, &err) < 0);
		assert_int_equal(plaintext.size, 0);
		secret_destroy(&plaintext);
		error_clear(&err);
		file[i] = vector_age[i];
	}
}

static void a_file_with_trailing_bytes_gives_no_plaintext(void **state)
{
	const struct fixture *fixture = *state;
	struct secret file = {0}, plaintext = {0};
	struct error err = {0};

	assert_success(secret_append(&file, span_of(vector_age, sizeof(vector_age)), &err));
	assert_success(secret_append_text(&file, "x", &err));
	assert_error(
		age_decrypt(secret_span(&file), &fixture->identities, &plaintext, &err),
		VMCRED_INTEGRITY,
		"the age payload was modified or truncated: the tag of a chunk does not match");
	assert_int_equal(plaintext.size, 0);
	secret_destroy(&file);
}

static void truncation_between_two_chunks_gives_no_plaintext(void **state)
{
	const struct fixture *fixture = *state;
	struct secret plaintext = {0}, file = {0}, decrypted = {0};
	struct error err = {0};
	size_t header_and_nonce;

	assert_success(secret_append_random(&plaintext, 2 * AGE_CHUNK_SIZE, &err));
	assert_success(age_encrypt(secret_span(&plaintext), &fixture->recipients, &file, &err));
	header_and_nonce = file.size - 2 * AGE_SEALED_CHUNK_SIZE;
	assert_error(
		age_decrypt(span_of(file.data, header_and_nonce + AGE_SEALED_CHUNK_SIZE),
			    &fixture->identities, &decrypted, &err),
		VMCRED_INTEGRITY,
		"the age payload was modified or truncated: the tag of a chunk does not match");
	assert_error(age_decrypt(span_of(file.data, header_and_nonce), &fixture->identities,
				 &decrypted, &err),
		     VMCRED_INTEGRITY, "the age payload is truncated");
	assert_error(age_decrypt(span_of(file.data, header_and_nonce - 1), &fixture->identities,
				 &decrypted, &err),
		     VMCRED_INTEGRITY, "the age payload is truncated");
	assert_int_equal(decrypted.size, 0);
	secret_destroy(&plaintext);
	secret_destroy(&file);
	secret_destroy(&decrypted);
}

static void an_empty_last_chunk_after_a_full_one_is_an_error(void **state)
{
	struct age_stream writer = {0}, reader = {0};
	uint8_t key[16] = {0}, nonce[AGE_STREAM_NONCE_SIZE] = {0};
	static uint8_t chunk[AGE_CHUNK_SIZE], sealed[2 * AGE_SEALED_CHUNK_SIZE];
	struct error err = {0};

	(void)state;
	assert_success(age_stream_create(&writer, span_of(key, 16), nonce, AGE_ENCRYPT, &err));
	assert_success(age_stream_create(&reader, span_of(key, 16), nonce, AGE_DECRYPT, &err));
	assert_success(
		age_stream_seal(&writer, span_of(chunk, sizeof(chunk)), false, sealed, &err));
	assert_success(age_stream_seal(&writer, span_of(chunk, 0), true,
				       sealed + AGE_SEALED_CHUNK_SIZE, &err));
	assert_success(age_stream_open(&reader, span_of(sealed, AGE_SEALED_CHUNK_SIZE), false,
				       chunk, &err));
	assert_error(age_stream_open(&reader, span_of(sealed + AGE_SEALED_CHUNK_SIZE, AGE_TAG_SIZE),
				     true, chunk, &err),
		     VMCRED_INTEGRITY, "the age payload ends with an empty chunk");
	age_stream_destroy(&writer);
	age_stream_destroy(&reader);
}

static void a_file_for_another_identity_has_the_code_missing(void **state)
{
	struct age_identities other = {0}, none = {0};
	struct secret plaintext = {0};
	struct error err = {0};

	(void)state;
	assert_success(age_identities_generate(&other, AGE_X25519, &err));
	assert_error(age_decrypt(span_of(vector_age, sizeof(vector_age)), &other, &plaintext, &err),
		     VMCRED_MISSING, "no identity matched any of the recipients");
	assert_error(age_decrypt(span_of(vector_age, sizeof(vector_age)), &none, &plaintext, &err),
		     VMCRED_MISSING, "no identity matched any of the recipients");
	age_identities_destroy(&other);
}

static void the_second_identity_opens_a_file_for_the_second_recipient(void **state)
{
	struct age_identities identities = {0};
	struct age_recipients recipients = {0};
	struct secret file = {0}, plaintext = {0};
	struct error err = {0};

	(void)state;
	assert_success(age_identities_generate(&identities, AGE_X25519, &err));
	assert_success(age_identities_add(&identities, span_of_text(VECTOR_IDENTITY), &err));
	assert_success(age_identities_generate(&identities, AGE_X25519, &err));
	assert_success(age_recipients_add(
		&recipients, span_of_text(age_identity_recipient(identities.items[2])), &err));
	assert_success(age_recipients_add(&recipients, span_of_text(VECTOR_RECIPIENT), &err));
	assert_string_equal(age_recipient_text(recipients.items[1]), VECTOR_RECIPIENT);
	assert_success(age_encrypt(span_of_text("x"), &recipients, &file, &err));
	identities.count = 2;
	assert_success(age_decrypt(secret_span(&file), &identities, &plaintext, &err));
	assert_span_equal(secret_span(&plaintext), "x");
	identities.count = 3;
	age_identities_destroy(&identities);
	age_recipients_destroy(&recipients);
	secret_destroy(&file);
	secret_destroy(&plaintext);
}

static void a_malformed_stanza_makes_the_file_invalid(void **state)
{
#define VERSION "age-encryption.org/v1\n"
#define MAC     "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
#define SHARE   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define STANZA  "the age header is malformed: X25519 stanza: "
	static const struct {
		const char *text, *message;
	} cases[] = {
		{VERSION "-> X25519\n" SHARE "\n" MAC, STANZA "wrong number of arguments"},
		{VERSION "-> X25519 " SHARE " x\n" SHARE "\n" MAC,
		 STANZA "wrong number of arguments"},
		{VERSION "-> X25519 AAAA\n" SHARE "\n" MAC,
		 STANZA "the public key is not 32 bytes of canonical Base64"},
		{VERSION "-> X25519 CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n" SHARE "\n" MAC,
		 STANZA "the public key is not 32 bytes of canonical Base64"},
		{VERSION "-> X25519 " SHARE "\nAAAA\n" MAC, STANZA "the body is not 32 bytes long"},
		/* The points 0 and 1 (RFC 7748, section 6.1). */
		{VERSION "-> X25519 " SHARE "\n" SHARE "\n" MAC,
		 STANZA "the public key is a point of low order"},
		{VERSION "-> X25519 AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" SHARE "\n" MAC,
		 STANZA "the public key is a point of low order"},
		{VERSION "-> scrypt AAAA 1\n" SHARE "\n-> x\n\n" MAC,
		 "the age header is malformed: scrypt stanza: it is not the only stanza"},
	};
	const struct fixture *fixture = *state;
	struct secret plaintext = {0};
	struct error err = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(age_decrypt(span_of_text(cases[i].text), &fixture->identities,
					 &plaintext, &err),
			     VMCRED_FAILED, cases[i].message);
}

static void no_recipients_and_a_point_of_low_order_are_errors(void **state)
{
	/* The point 0. */
	static const char low[] = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";
	struct age_recipients none = {0}, recipients = {0};
	struct secret file = {0};
	struct error err = {0};

	(void)state;
	assert_error(age_encrypt(span_of_text("x"), &none, &file, &err), VMCRED_USAGE,
		     "no recipients");
	assert_success(age_recipients_add(&recipients, span_of_text(low), &err));
	assert_error(age_encrypt(span_of_text("x"), &recipients, &file, &err), VMCRED_USAGE,
		     "the recipient age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z "
		     "is a point of low order: it has no secret key");
	age_recipients_destroy(&recipients);
}

static void an_invalid_recipient_is_an_error_that_never_quotes_a_secret(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "a recipient is not an age public key (age1…)"},
		{"hunter2", "a recipient is not an age public key (age1…)"},
		{VECTOR_IDENTITY, "secret key given instead of a public key (age1…)"},
		{"age1x\n", "a recipient is not an age public key (age1…)"},
		{"age1x", "\"age1x\" is not an age public key: it has 5 characters instead of 62"},
		{"age1pq1xyz",
		 "\"age1pq1xyz\" is not an age public key: it has 10 characters instead of 1959"},
		{"age1yubikey1xyz",
		 "\"age1yubikey1xyz\" is not an age public key: it is not Bech32"},
		{"age1yubikey1qqqqqqqq", "\"age1yubikey1qqqqqqqq\" is not an age public key: wrong "
					 "checksum, probably mistyped"},
		{"ssh-ed25519 AAAA",
		 "\"ssh-ed25519 AAAA\" is not an age public key: the SSH public key is damaged"},
	};
	struct age_recipients recipients = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(age_recipients_add(&recipients, span_of_text(cases[i].text), &err),
			     VMCRED_USAGE, cases[i].message);
	assert_int_equal(recipients.count, 0);
	age_recipients_destroy(&recipients);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_written_by_age_is_decrypted),
		cmocka_unit_test(files_around_the_chunk_size_round_trip),
		cmocka_unit_test(a_truncated_file_gives_no_plaintext),
		cmocka_unit_test(a_file_with_a_flipped_bit_gives_no_plaintext),
		cmocka_unit_test(a_file_with_trailing_bytes_gives_no_plaintext),
		cmocka_unit_test(truncation_between_two_chunks_gives_no_plaintext),
		cmocka_unit_test(an_empty_last_chunk_after_a_full_one_is_an_error),
		cmocka_unit_test(a_file_for_another_identity_has_the_code_missing),
		cmocka_unit_test(the_second_identity_opens_a_file_for_the_second_recipient),
		cmocka_unit_test(a_malformed_stanza_makes_the_file_invalid),
		cmocka_unit_test(no_recipients_and_a_point_of_low_order_are_errors),
		cmocka_unit_test(an_invalid_recipient_is_an_error_that_never_quotes_a_secret),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
