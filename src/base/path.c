/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

char *path_join(const char *directory, const char *name)
{
	size_t length = strlen(directory);

	return text_format("%s%s%s", directory,
			   length > 0 && directory[length - 1] == '/' ? "" : "/", name);
}

/* Removes "", "." and ".." from an absolute path, in place. */
static void tidy(char *path)
{
	char *out = path;
	const char *at = path;

	while (*at) {
		size_t size;

		at += strspn(at, "/");
		size = strcspn(at, "/");
		if (size == 2 && memcmp(at, "..", 2) == 0) {
			while (out > path && *--out != '/')
				continue;
		} else if (size > 0 && !(size == 1 && *at == '.')) {
			*out++ = '/';
			memmove(out, at, size);
			out += size;
		}
		at += size;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

char *path_absolute(const char *path)
{
	_cleanup_free_ char *directory = *path == '/' ? strdup("/") : get_current_dir_name();
	char *joined = directory ? path_join(directory, path) : NULL;

	if (joined)
		tidy(joined);
	return joined;
}
