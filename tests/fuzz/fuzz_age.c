/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age files. The input is decrypted as it is, and then parsed as the rest of a header after a valid
 * beginning, so that the fuzzer need not find the version line. Writing a parsed header must give
 * the same bytes.
 */
#include <stdlib.h>

#include "age/age.h"
#include "age/header.h"

#define IDENTITY "AGE-SECRET-KEY-1W0QDHEV47ZQKUXYJL2UJ97P7GNXR7ZWMMKZ7V4MK0QYVWM45CF4Q7V54DR"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip_check(struct span file)
{
	_cleanup_age_header_ struct age_header header = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error err = {0};

	if (age_header_parse(file, &header, &err) < 0)
		return;
	if (age_header_begin(&text, &err) < 0)
		abort();
	for (size_t i = 0; i < header.count; i++) {
		struct span line = header.stanzas[i].line;
		char *words = strndup((const char *)line.data, line.size);

		if (!words || age_stanza_append(&text, words, header.stanzas[i].body, &err) < 0)
			abort();
		free(words);
	}
	if (secret_append_text(&text, "---", &err) < 0 ||
	    !span_equal(secret_span(&text), header.covered))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct age_identities identities;
	_cleanup_secret_ struct secret plaintext = {0}, prefixed = {0};
	_cleanup_error_ struct error err = {0};

	if (identities.count == 0 &&
	    age_identities_add(&identities, span_of_text(IDENTITY), &err) < 0)
		abort();
	if (age_decrypt(span_of(data, size), &identities, &plaintext, &err) < 0 &&
	    plaintext.size > 0)
		abort();
	round_trip_check(span_of(data, size));
	if (secret_append_text(&prefixed, "age-encryption.org/v1\n-> ", &err) < 0 ||
	    secret_append(&prefixed, span_of(data, size), &err) < 0)
		abort();
	round_trip_check(secret_span(&prefixed));
	return 0;
}
