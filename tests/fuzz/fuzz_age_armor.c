/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Armor, and identity files, which have the same rules for lines. Encoding what was decoded must
 * give the same text, except for surrounding white space and line ends.
 */
#include <stdlib.h>

#include "age/age.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void armor_check(struct span text)
{
	_cleanup_secret_ struct secret file = {0}, again = {0}, second = {0};
	_cleanup_error_ struct error err = {0};

	if (age_armor_decode(text, &file, &err) < 0) {
		if (file.size > 0)
			abort();
		return;
	}
	if (!age_armor_detect(text) || age_armor_encode(secret_span(&file), &again, &err) < 0 ||
	    age_armor_decode(secret_span(&again), &second, &err) < 0 ||
	    !span_equal(secret_span(&file), secret_span(&second)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error err = {0};

	armor_check(span_of(data, size));
	(void)age_identities_parse(span_of(data, size), "fuzz", &identities, &err);
	(void)age_recipients_add(&recipients, span_of(data, size), &err);
	if (secret_append_text(&text, "-----BEGIN AGE ENCRYPTED FILE-----\n", &err) < 0 ||
	    secret_append(&text, span_of(data, size), &err) < 0)
		abort();
	armor_check(secret_span(&text));
	return 0;
}
