/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings, progress and details. The library formats a line and the caller decides what to do with
 * it; cli/ prints it to stderr. Both callbacks run in the thread that called the library. A
 * secret's value is never reported, at any level.
 */
#ifndef VMCRED_BASE_REPORT_H
#define VMCRED_BASE_REPORT_H

#include <stddef.h>

enum report_level {
	REPORT_WARNING, /* the user should act */
	REPORT_INFO,    /* what was done */
	REPORT_DEBUG,   /* how it was done */
};

struct report {
	enum report_level level; /* lines of a higher level are not formatted */
	void (*line)(const struct report *report, enum report_level level, const char *text);

	/* Progress; may be NULL. */
	void (*progress)(const struct report *report, size_t done, size_t total);

	void *data; /* the caller's */
};

/* Formats and reports one line, without a newline. `report` may be NULL. */
void report_message(const struct report *report, enum report_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reports that `done` of `total` jobs are done; 0 before the first. `report` may be NULL. */
void report_progress(const struct report *report, size_t done, size_t total);

#endif
