/* SPDX-License-Identifier: Apache-2.0 */
#include "base/merge_conflict.h"

#include <stdbool.h>
#include <string.h>

/* In their order; a line with the common ancestor may stand between the first two. */
static const char *const markers[] = {"<<<<<<<", "=======", ">>>>>>>"};

#define MARKERS (sizeof(markers) / sizeof(markers[0]))

static bool line_is_marker(struct span line, const char *marker)
{
	const size_t size = strlen(marker);

	return line.size >= size && memcmp(line.data, marker, size) == 0 &&
	       (line.size == size || line.data[size] == ' ' || line.data[size] == '\r');
}

int merge_conflict_check(struct span text, const char *path, struct error *err)
{
	size_t found = 0, number = 0, first = 0;

	while (text.size > 0 && found < MARKERS) {
		const uint8_t *end = memchr(text.data, '\n', text.size);
		const size_t size = end ? (size_t)(end - text.data) : text.size;

		number++;
		if (line_is_marker(span_of(text.data, size), markers[found])) {
			first = found == 0 ? number : first;
			found++;
		}
		text = end ? span_of(end + 1, text.size - size - 1) : span_of(end, 0);
	}
	if (found < MARKERS)
		return 0;
	error_set(err, VMCRED_FAILED, "%s:%zu: has merge-conflict markers", path, first);
	return error_hint(err,
			  "choose a side (`git checkout --ours` or `--theirs`), or put back what "
			  "was there before the merge");
}
