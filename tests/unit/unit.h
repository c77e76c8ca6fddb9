/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included by every unit test: cmocka with the headers it needs, and short forms for common checks.
 * A test is a function whose name is a sentence that can be false.
 */
#ifndef VMCRED_TESTS_UNIT_H
#define VMCRED_TESTS_UNIT_H

#include "filter.h"

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* The call failed with this code and this whole text, including the hint; clears the error. */
#define assert_error(call, expected_code, expected_line)                 \
	do {                                                             \
		int assert_error_r = (call);                             \
		char *assert_error_line = error_line(&err);              \
		assert_int_equal(assert_error_r, -(int)(expected_code)); \
		assert_int_equal(err.code, expected_code);               \
		assert_string_equal(assert_error_line, expected_line);   \
		free(assert_error_line);                                 \
		error_clear(&err);                                       \
	} while (0)

/* The call succeeded; otherwise prints the error text. */
#define assert_success(call)                      \
	do {                                      \
		if ((call) < 0)                   \
			fail_msg("%s", err.text); \
	} while (0)

#define assert_span_equal(bytes, text)                                         \
	do {                                                                   \
		struct span assert_span = (bytes);                             \
		assert_int_equal(assert_span.size, strlen(text));              \
		assert_memory_equal(assert_span.data, text, assert_span.size); \
	} while (0)

#endif
