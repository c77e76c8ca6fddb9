/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's message: only lines of a form that a guest may send are forwarded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "vmm/notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Implemented differently than notify.c. */
static void field_check(struct span field)
{
	static const char *const prefixes[] = {"READY=1", "STATUS=", "X_SYSTEMD_"};
	size_t i = 0;

	while (i < 3 && !span_starts_with(field, span_of_text(prefixes[i])))
		i++;
	if (i == 3 || (i == 0 && field.size != strlen("READY=1")) || !utf8_valid(field))
		abort();
	for (size_t j = 0; j < field.size; j++) {
		if (field.data[j] < 0x20 || field.data[j] == 0x7f)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[NOTIFY_MESSAGE_MAX];
	struct span rest;

	if (size > sizeof(out))
		size = sizeof(out);
	rest = span_of(out, notify_filter(span_of(data, size), out));
	if (rest.size > size)
		abort();
	while (rest.size > 0) {
		const uint8_t *newline = memchr(rest.data, '\n', rest.size);
		size_t length = newline ? (size_t)(newline - rest.data) : rest.size;

		field_check(span_of(rest.data, length));
		length += newline ? 1 : 0;
		rest = span_of(rest.data + length, rest.size - length);
	}
	return 0;
}
