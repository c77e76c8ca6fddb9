/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/tree_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is in one pair of brackets: quoted, or a whole number. */
static bool component_is_valid(const char *text, size_t size)
{
	size_t digits = size > 0 && (*text == '-' || *text == '+') ? 1 : 0;

	if (size > 0 && (*text == '"' || *text == '\''))
		return size >= 2;
	return size > digits && strspn(text + digits, "0123456789") >= size - digits;
}

int tree_path_check(struct sops_call *call, const char *path, enum sops_exit code, const char *what,
		    struct error *err)
{
	while (*path) {
		size_t size;

		path += strspn(path, "[");
		size = strcspn(path, "[");
		if (size > 0 && (path[size - 1] != ']' || !component_is_valid(path, size - 1))) {
			sops_fail(call, code, err, "%s: \"%.*s\" is no part of a path", what,
				  (int)size, path);
			return error_hint(err, "a path is spelt [\"key\"][\"other\"][0]");
		}
		path += size;
	}
	return 0;
}
