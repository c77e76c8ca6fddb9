/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decryption as a stream and in memory: both succeed with the same plaintext, or both fail.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "age/age.h"

#define IDENTITY "AGE-SECRET-KEY-1W0QDHEV47ZQKUXYJL2UJ97P7GNXR7ZWMMKZ7V4MK0QYVWM45CF4Q7V54DR"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int decrypt(struct span text, const struct age_identities *identities,
		   struct secret *plaintext, struct error *err)
{
	_cleanup_secret_ struct secret file = {0};

	if (!age_armor_detect(text))
		return age_decrypt(text, identities, plaintext, err);
	if (age_armor_decode(text, &file, err) < 0)
		return -(int)err->code;
	return age_decrypt(secret_span(&file), identities, plaintext, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct age_identities identities;
	_cleanup_secret_ struct secret whole = {0}, streamed = {0};
	_cleanup_error_ struct error err = {0}, stream_err = {0};
	int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	int r, s;

	if (identities.count == 0 &&
	    age_identities_add(&identities, span_of_text(IDENTITY), &err) < 0)
		abort();
	if (write(in, data, size) != (ssize_t)size || lseek(in, 0, SEEK_SET) < 0)
		abort();
	r = decrypt(span_of(data, size), &identities, &whole, &err);
	s = age_decrypt_stream(in, out, &identities, &stream_err);
	if ((r < 0) != (s < 0))
		abort();
	if (lseek(out, 0, SEEK_SET) < 0 ||
	    secret_read(&streamed, out, SIZE_MAX / 2, "out", &stream_err) < 0)
		abort();
	if (r == 0 && !span_equal(secret_span(&whole), secret_span(&streamed)))
		abort();
	close(in);
	close(out);
	return 0;
}
