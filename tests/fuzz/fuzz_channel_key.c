/* SPDX-License-Identifier: Apache-2.0 */
/* A channel key that a process of the host sends, and the proof of a guest: only a key that was
 * issued is accepted. */
#include <stdint.h>
#include <stdlib.h>

#include "activate/serve/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t boot[SERVE_KEY_SIZE] = {1};
	const struct secret boot_key = {boot, sizeof(boot), sizeof(boot)};
	struct serve_unit_key unit_key;
	const uint8_t nonce[CHANNEL_NONCE_SIZE] = {2};
	struct channel_request request;
	struct error err = {0};
	bool is_whole;

	if (serve_key_check(&boot_key, span_of(data, size), &unit_key, &err) == 0)
		abort();
	if (unit_key.key[0] || unit_key.key[1])
		abort();
	error_clear(&err);
	if (channel_request_read(span_of(data, size), &request, &is_whole, &err) == 0 && is_whole &&
	    serve_key_prove(&boot_key, nonce, &request, &unit_key, &err) == 0)
		abort();
	error_clear(&err);
	return 0;
}
