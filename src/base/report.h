/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the library tells its caller what is not an error: warnings, progress, details. The library
 * formats, the caller decides what to do with a line; cli/ prints it to stderr. Whatever threads
 * the work has, both are called from the one that called the library. No value of a secret is ever
 * reported, at any level.
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

	/* How far many pieces of work have come; NULL: nobody looks. */
	void (*progress)(const struct report *report, size_t done, size_t total);

	void *data; /* the caller's */
};

/* Formats one line, without a newline, and hands it on. `report` may be NULL. */
void report_message(const struct report *report, enum report_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Tells how many of `total` pieces are done: 0 before the first, then as often as there is
 * something to tell. How often a person sees it, if at all, is the caller's business. `report` may
 * be NULL.
 */
void report_progress(const struct report *report, size_t done, size_t total);

#endif
