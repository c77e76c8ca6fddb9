/* SPDX-License-Identifier: Apache-2.0 */
#include "base/report.h"

#include <stdarg.h>

#include "base/cleanup.h"
#include "base/text.h"

void report_message(const struct report *report, enum report_level level, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *line = NULL;
	va_list arguments;

	if (!report || level > report->level)
		return;
	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	line = text ? text_visible(span_of_text(text), false) : NULL;
	if (line)
		report->line(report, level, line);
}

void report_progress(const struct report *report, size_t done, size_t total)
{
	if (report && report->progress)
		report->progress(report, done, total);
}
