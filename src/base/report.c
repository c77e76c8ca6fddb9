/* SPDX-License-Identifier: Apache-2.0 */
#include "base/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void report_message(const struct report *report, enum report_level level, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	if (!report || level > report->level)
		return;
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) >= 0) {
		report->line(report, level, text);
		free(text);
	}
	va_end(arguments);
}

void report_progress(const struct report *report, size_t done, size_t total)
{
	if (report && report->progress)
		report->progress(report, done, total);
}
