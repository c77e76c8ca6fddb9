/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest from the host. Each entry has a name that can be a file's, and belongs to the text. */
#include <stdint.h>
#include <stdlib.h>

#include "delivery/delivery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct delivery_manifest manifest;
	struct delivery_entry entry;
	struct error err = {0};
	bool is_one = true;
	int r = delivery_manifest_read(span_of(data, size), &manifest, &err);

	while (r == 0 && is_one) {
		r = delivery_manifest_next(&manifest, &entry, &is_one, &err);
		if (r < 0 || !is_one)
			break;
		if (credential_name_check(entry.name, &err) < 0 || entry.mac.data < data ||
		    entry.mac.data + entry.mac.size > data + size)
			abort();
		(void)delivery_entry_check(&manifest, &entry, span_of(data, size));
	}
	error_clear(&err);
	return 0;
}
