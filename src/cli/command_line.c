/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"

#define SPACE " \t\r\n"

/* Reads one argument into `argument`, which has room for the whole text. Returns its end, or NULL
 * without a closing quote or after a trailing backslash. */
static const char *argument_read(const char *text, char *argument)
{
	char quote = '\0';

	for (; *text; text++) {
		if (quote && *text == quote) {
			quote = '\0';
		} else if (!quote && (*text == '"' || *text == '\'')) {
			quote = *text;
		} else if (*text == '\\' && quote != '\'') {
			if (*++text == '\0')
				return NULL;
			*argument++ = *text;
		} else if (!quote && strchr(SPACE, *text)) {
			break;
		} else {
			*argument++ = *text;
		}
	}
	*argument = '\0';
	return quote ? NULL : text;
}

int command_line_split(const char *text, const char *what, struct strings *arguments,
		       struct error *err)
{
	_cleanup_free_ char *argument = malloc(strlen(text) + 1);
	int r = 0;

	if (!argument)
		return error_no_memory(err);
	for (text += strspn(text, SPACE); r == 0 && *text; text += strspn(text, SPACE)) {
		if (*text == '#') {
			text += strcspn(text, "\n");
			continue;
		}
		text = argument_read(text, argument);
		if (!text)
			return error_set(err, VMCRED_USAGE,
					 "unterminated quote or trailing backslash in %s", what);
		r = strings_add(arguments, argument, err);
	}
	if (r == 0 && arguments->count == 0)
		return error_set(err, VMCRED_USAGE, "%s is an empty command line", what);
	return r;
}
