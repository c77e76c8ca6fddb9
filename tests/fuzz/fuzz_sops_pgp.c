/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of an OpenPGP message: armor, packets, DEFLATE. Each gets the bytes directly, because
 * a whole message has a digest.
 */
#include <stdlib.h>

#include "openpgp/openpgp.h"
#include "openpgp/packet.h"

#define SIZE_MAX_INFLATED 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pgp_keys none = {0};
	_cleanup_secret_ struct secret bytes = {0}, inflated = {0}, opened = {0};
	_cleanup_error_ struct error err = {0};
	struct span rest = span_of(data, size);
	size_t before = rest.size + 1;
	int r = 0;

	(void)pgp_armor_decode(rest, &bytes, &err);
	if (pgp_message_decrypt(&none, rest, &opened, &err) > 0 || opened.size > 0)
		abort();
	r = pgp_inflate(rest, SIZE_MAX_INFLATED, &inflated, &err);
	if (inflated.size > SIZE_MAX_INFLATED || (r < 0 && inflated.size > 0))
		abort();
	r = 0;
	while (r == 0 && rest.size > 0) {
		_cleanup_secret_ struct secret packet = {0};
		unsigned tag = 0;

		r = pgp_packet_take(&rest, &tag, &packet, &err);
		if (rest.size >= before || packet.size > size || (r == 0 && tag > 63))
			abort();
		before = rest.size;
	}
	return 0;
}
