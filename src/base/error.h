/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error type. A function that can fail returns 0 or a negative `enum vmcred_code` and takes
 * a `struct error *`, never NULL, as its last parameter. The callee states the problem; each caller
 * adds its operation in front, so that the text reads from the outside in:
 *
 *     vmcred: <operation>: <problem>: <what to do>
 *
 * Nothing below cli/ prints an error. A secret's value never appears in a text: `struct secret`
 * cannot be formatted.
 *
 * The error owns its text; `_cleanup_error_` releases it. It may be reused after error_clear().
 */
#ifndef VMCRED_BASE_ERROR_H
#define VMCRED_BASE_ERROR_H

#include <stdarg.h>
#include <vmcred.h>

struct error {
	enum vmcred_code code;
	char *text; /* owned; NULL while there is no error */
	char *hint; /* owned; what to do, or NULL */
};

#define _cleanup_error_ __attribute__((cleanup(error_clear)))

/* Sets the error; returns -code, for `return error_set(…)`. */
int error_set(struct error *err, enum vmcred_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/* The same with ": " and the description of `errnum` after the text; VMCRED_MISSING for ENOENT,
 * else VMCRED_FAILED. */
int error_set_errno(struct error *err, int errnum, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/* Adds "text: " before the text of an error that is set; returns -code. */
int error_wrap(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* Says what to do; replaces an earlier hint. Returns -code. */
int error_hint(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* The out-of-memory error. It allocates nothing. */
int error_no_memory(struct error *err);

/* Adds the error of a cleanup, which is cleared; an earlier error stays. Returns -code, 0 if
 * neither is set. */
int error_add(struct error *err, struct error *cleanup);

/* Moves an error; `*to` is cleared first. Returns -code. */
int error_move(struct error *to, struct error *from);

/* Text and hint in one new line; NULL without memory. The caller frees it. Only a hint can have
 * more lines. */
char *error_line(const struct error *err);

void error_clear(struct error *err);

#endif
