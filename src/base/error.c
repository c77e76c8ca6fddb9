/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

static char no_memory_text[] = "out of memory";

static void text_release(char *text)
{
	if (text != no_memory_text)
		free(text);
}

__attribute__((format(printf, 1, 0))) static char *format_list(const char *format,
							       va_list arguments)
{
	char *text = text_format_list(format, arguments);

	return text ? text : no_memory_text;
}

/* "first: second"; takes ownership of both. */
static char *text_join(char *first, char *second)
{
	char *joined = text_format("%s: %s", first, second);

	text_release(first);
	text_release(second);
	return joined ? joined : no_memory_text;
}

int error_set(struct error *err, enum vmcred_code code, const char *format, ...)
{
	va_list arguments;

	error_clear(err);
	err->code = code;
	va_start(arguments, format);
	err->text = format_list(format, arguments);
	va_end(arguments);
	return -(int)code;
}

/* Hints for errors that always have the same remedy. */
static const char *hint_for(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return "free some space and try again";
	case EROFS:
		return "read-only here; change it where it is writable";
	default:
		return NULL;
	}
}

int error_set_errno(struct error *err, int errnum, const char *format, ...)
{
	const char *hint = hint_for(errnum), *description = strerrordesc_np(errnum);
	va_list arguments;
	char *reason;

	error_clear(err);
	err->code = errnum == ENOENT ? VMCRED_MISSING : VMCRED_FAILED;
	va_start(arguments, format);
	err->text = format_list(format, arguments);
	va_end(arguments);
	reason = strdup(description ? description : "unknown error");
	if (reason)
		err->text = text_join(err->text, reason);
	return hint ? error_hint(err, "%s", hint) : -(int)err->code;
}

int error_wrap(struct error *err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	err->text = text_join(format_list(format, arguments), err->text);
	va_end(arguments);
	return -(int)err->code;
}

int error_hint(struct error *err, const char *format, ...)
{
	va_list arguments;

	text_release(err->hint);
	va_start(arguments, format);
	err->hint = format_list(format, arguments);
	va_end(arguments);
	return -(int)err->code;
}

int error_no_memory(struct error *err)
{
	error_clear(err);
	err->code = VMCRED_FAILED;
	err->text = no_memory_text;
	return -(int)VMCRED_FAILED;
}

int error_move(struct error *to, struct error *from)
{
	error_clear(to);
	*to = *from;
	*from = (struct error){0};
	return -(int)to->code;
}

int error_add(struct error *err, struct error *cleanup)
{
	char *line;

	if (!cleanup->code)
		return -(int)err->code;
	if (!err->code)
		return error_move(err, cleanup);
	line = error_line(cleanup);
	error_wrap(err, "%s; before that", line ? line : cleanup->text);
	free(line);
	error_clear(cleanup);
	return -(int)err->code;
}

char *error_line(const struct error *err)
{
	/* It may quote foreign text, which must not add a line of its own. Only a hint has lines.
	 */
	_cleanup_free_ char *text =
		text_visible(span_of_text(err->text ? err->text : "no error"), false);
	_cleanup_free_ char *hint = text_visible(span_of_text(err->hint ? err->hint : ""), true);

	return text && hint ? text_format("%s%s%s", text, *hint ? ": " : "", hint) : NULL;
}

void error_clear(struct error *err)
{
	text_release(err->text);
	text_release(err->hint);
	*err = (struct error){0};
}
