/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: any bytes are rejected, or they are what the writer makes of the same files. */
#include <stdint.h>
#include <stdlib.h>

#include "bundle/bundle.h"
#include "bundle/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_bundle_ struct bundle bundle = {0};
	_cleanup_error_ struct error err = {0};
	char *text = NULL;
	size_t text_size = 0;
	FILE *stream;

	if (bundle_open(span_of(data, size), "m", &bundle, &err) < 0) {
		if (!err.text)
			abort();
		return 0;
	}
	stream = open_memstream(&text, &text_size);
	if (!stream)
		abort();
	for (size_t i = 0; i < bundle.count; i++) {
		if (tar_add(stream, bundle.files[i].path, bundle.files[i].content, &err) < 0)
			abort();
	}
	if (tar_finish(stream, &err) < 0 ||
	    !span_equal(span_of(text, text_size), span_of(data, size)))
		abort();
	free(text);
	return 0;
}
