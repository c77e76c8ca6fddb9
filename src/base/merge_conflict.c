/* SPDX-License-Identifier: Apache-2.0 */
#include "base/merge_conflict.h"

#include <string.h>

/* In order; between the first two there may be a line with the common ancestor. */
static const char *const markers[] = {"<<<<<<<", "=======", ">>>>>>>"};

#define MARKERS (sizeof(markers) / sizeof(markers[0]))

int merge_conflict_check(struct span text, const char *path, struct error *err)
{
	size_t found = 0, number = 0, first = 0;
	struct span line;

	if (text.size == 0 || !memmem(text.data, text.size, markers[0], strlen(markers[0])))
		return 0;
	while (found < MARKERS && span_take_line(&text, &line)) {
		struct span marker = span_of_text(markers[found]);
		uint8_t next = line.size > marker.size ? line.data[marker.size] : ' ';

		number++;
		if (!span_starts_with(line, marker) || (next != ' ' && next != '\r'))
			continue;
		first = found == 0 ? number : first;
		found++;
	}
	if (found < MARKERS)
		return 0;
	error_set(err, VMCRED_FAILED, "%s:%zu: has merge-conflict markers", path, first);
	return error_hint(err, "choose a side (`git checkout --ours` or `--theirs`) or restore the "
			       "file from before the merge");
}
