/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error type. A function that can fail returns 0 or a negative `enum vmcred_code` and takes
 * a `struct error *`, never NULL, as its last parameter. The callee says what is wrong; each caller
 * adds what it was doing, so that the text reads from the outside in:
 *
 *     vmcred: <what was being done>: <what is wrong>: <how to mend it>
 *
 * Nothing below cli/ prints an error. A value of a secret never goes into a text: there is no way
 * to format a `struct secret`.
 *
 * The text is owned by the error; `_cleanup_error_` releases it. An error is set once and may be
 * reused after error_clear().
 */
#ifndef VMCRED_BASE_ERROR_H
#define VMCRED_BASE_ERROR_H

#include <stdarg.h>
#include <vmcred.h>

struct error {
	enum vmcred_code code;
	char *text; /* owned; NULL while there is no error */
	char *hint; /* owned; how to mend it, or NULL */
};

#define _cleanup_error_ __attribute__((cleanup(error_clear)))

/* Sets the error; returns -code, so that `return error_set(…)` reports and returns. */
int error_set(struct error *err, enum vmcred_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/* The same with ": " and the description of `errnum` behind the text. */
int error_set_errno(struct error *err, int errnum, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/* Puts "text: " in front of an error that is set; returns -code. */
int error_wrap(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* Says how to mend it; the last hint wins. Returns -code. */
int error_hint(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* The out-of-memory error. Needs no memory itself. */
int error_no_memory(struct error *err);

/* Text and hint in one newly allocated line; NULL without memory. The caller frees it. */
char *error_line(const struct error *err);

void error_clear(struct error *err);

#endif
