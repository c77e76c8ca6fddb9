/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the library tells its caller what is not an error: warnings, progress, details. The library
 * formats, the caller decides what to do with a line; cli/ prints it to stderr. No value of a
 * secret is ever reported, at any level.
 */
#ifndef VMCRED_BASE_REPORT_H
#define VMCRED_BASE_REPORT_H

enum report_level {
	REPORT_WARNING, /* the user should act */
	REPORT_INFO,    /* what was done */
	REPORT_DEBUG,   /* how it was done */
};

struct report {
	enum report_level level; /* lines of a higher level are not formatted */
	void (*line)(const struct report *report, enum report_level level, const char *text);
};

/* Formats one line, without a newline, and hands it on. `report` may be NULL. */
void report_message(const struct report *report, enum report_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
