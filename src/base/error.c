/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char no_memory_text[] = "out of memory";

static void text_release(char *text)
{
	if (text != no_memory_text)
		free(text);
}

__attribute__((format(printf, 1, 0))) static char *text_format(const char *format,
							       va_list arguments)
{
	char *text = NULL;

	if (vasprintf(&text, format, arguments) < 0)
		return no_memory_text;
	return text;
}

/* "first: second"; takes ownership of both. */
static char *text_join(char *first, char *second)
{
	char *joined = NULL;

	if (asprintf(&joined, "%s: %s", first, second) < 0)
		joined = no_memory_text;
	text_release(first);
	text_release(second);
	return joined;
}

int error_set(struct error *err, enum vmcred_code code, const char *format, ...)
{
	va_list arguments;

	error_clear(err);
	err->code = code;
	va_start(arguments, format);
	err->text = text_format(format, arguments);
	va_end(arguments);
	return -(int)code;
}

/* What mends those of which the system's words say too little. Others are the caller's to know. */
static const char *hint_for(int errnum)
{
	static const struct {
		int errnum;
		const char *hint;
	} hints[] = {
		{ENOSPC, "make room there, and run it again"},
		{EDQUOT, "make room there, and run it again"},
		{EROFS, "it can be read here, and has to be changed where it is writable"},
	};

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		if (hints[i].errnum == errnum)
			return hints[i].hint;
	}
	return NULL;
}

int error_set_errno(struct error *err, int errnum, const char *format, ...)
{
	va_list arguments;
	const char *hint;
	char *reason;

	error_clear(err);
	err->code = errnum == ENOENT ? VMCRED_MISSING : VMCRED_FAILED;
	va_start(arguments, format);
	err->text = text_format(format, arguments);
	va_end(arguments);
	hint = hint_for(errnum);
	reason = strdup(strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "unknown error");
	if (reason)
		err->text = text_join(err->text, reason);
	return hint ? error_hint(err, "%s", hint) : -(int)err->code;
}

int error_wrap(struct error *err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	err->text = text_join(text_format(format, arguments), err->text);
	va_end(arguments);
	return -(int)err->code;
}

int error_hint(struct error *err, const char *format, ...)
{
	va_list arguments;

	text_release(err->hint);
	va_start(arguments, format);
	err->hint = text_format(format, arguments);
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

char *error_line(const struct error *err)
{
	char *line = NULL;
	const char *text = err->text ? err->text : "no error";

	if (asprintf(&line, "%s%s%s", text, err->hint ? ": " : "", err->hint ? err->hint : "") < 0)
		return NULL;
	return line;
}

void error_clear(struct error *err)
{
	text_release(err->text);
	text_release(err->hint);
	*err = (struct error){0};
}
