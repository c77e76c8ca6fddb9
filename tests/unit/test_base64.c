/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/base64.h"

/* RFC 4648, section 10. */
static const struct {
	const char *plain, *padded, *unpadded;
} vectors[] = {
	{"", "", ""},
	{"f", "Zg==", "Zg"},
	{"fo", "Zm8=", "Zm8"},
	{"foo", "Zm9v", "Zm9v"},
	{"foob", "Zm9vYg==", "Zm9vYg"},
	{"fooba", "Zm9vYmE=", "Zm9vYmE"},
	{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static void rfc_4648_vectors_encode_with_and_without_padding(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct secret padded = {0}, unpadded = {0};

		assert_success(base64_encode_secret(span_of_text(vectors[i].plain), BASE64_PADDED,
						    &padded, &err));
		assert_span_equal(secret_span(&padded), vectors[i].padded);
		assert_success(base64_encode_secret(span_of_text(vectors[i].plain), BASE64_UNPADDED,
						    &unpadded, &err));
		assert_span_equal(secret_span(&unpadded), vectors[i].unpadded);
		secret_destroy(&padded);
		secret_destroy(&unpadded);
	}
}

static void rfc_4648_vectors_decode_with_and_without_padding(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct secret padded = {0}, unpadded = {0};

		assert_success(base64_decode_secret(span_of_text(vectors[i].padded), BASE64_PADDED,
						    &padded, &err));
		assert_span_equal(secret_span(&padded), vectors[i].plain);
		assert_success(base64_decode_secret(span_of_text(vectors[i].unpadded),
						    BASE64_UNPADDED, &unpadded, &err));
		assert_span_equal(secret_span(&unpadded), vectors[i].plain);
		secret_destroy(&padded);
		secret_destroy(&unpadded);
	}
}

static void every_length_up_to_256_bytes_round_trips(void **state)
{
	uint8_t bytes[256];
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		struct secret text = {0}, back = {0};

		assert_success(
			base64_encode_secret(span_of(bytes, size), BASE64_PADDED, &text, &err));
		assert_int_equal(text.size, base64_encoded_size(size, BASE64_PADDED));
		assert_success(
			base64_decode_secret(secret_span(&text), BASE64_PADDED, &back, &err));
		assert_int_equal(back.size, size);
		assert_memory_equal(back.data, bytes, size);
		secret_destroy(&text);
		secret_destroy(&back);
	}
}

static void non_canonical_text_is_an_error(void **state)
{
	static const struct {
		const char *text;
		enum base64_form form;
		const char *error;
	} cases[] = {
		{"Zg", BASE64_PADDED,
		 "the Base64 text has 2 characters, which is not a multiple of 4"},
		{"Zg=", BASE64_PADDED,
		 "the Base64 text has 3 characters, which is not a multiple of 4"},
		{"Zg==", BASE64_UNPADDED, "the Base64 text has padding"},
		{"Z", BASE64_UNPADDED, "the Base64 text is truncated"},
		{"Zh==", BASE64_PADDED,
		 "the Base64 text is not canonical: stray bits in the last group"},
		{"Zm9=", BASE64_PADDED,
		 "the Base64 text is not canonical: stray bits in the last group"},
		{"Zm 9", BASE64_PADDED, "the Base64 text has an invalid character"},
		{"Zm9v\nZg==", BASE64_PADDED,
		 "the Base64 text has 9 characters, which is not a multiple of 4"},
		{"Zm9-", BASE64_PADDED, "the Base64 text has an invalid character"},
		{"Z===", BASE64_PADDED, "the Base64 text has an invalid character"},
		{"====", BASE64_PADDED, "the Base64 text has an invalid character"},
		{"Zg==Zg==", BASE64_PADDED, "the Base64 text has an invalid character"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret out = {0};

		assert_error(base64_decode_secret(span_of_text(cases[i].text), cases[i].form, &out,
						  &err),
			     VMCRED_FAILED, cases[i].error);
		secret_destroy(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_4648_vectors_encode_with_and_without_padding),
		cmocka_unit_test(rfc_4648_vectors_decode_with_and_without_padding),
		cmocka_unit_test(every_length_up_to_256_bytes_round_trips),
		cmocka_unit_test(non_canonical_text_is_an_error),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
