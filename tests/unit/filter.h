/* SPDX-License-Identifier: Apache-2.0 */
/* $TEST_FILTER selects the tests whose names contain it, as in the tests in Python. */
#ifndef VMCRED_TESTS_FILTER_H
#define VMCRED_TESTS_FILTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void filter_set(void)
{
	static char pattern[256];
	const char *text = getenv("TEST_FILTER");

	if (text == NULL || *text == '\0')
		return;
	(void)snprintf(pattern, sizeof(pattern), "*%s*", text);
	cmocka_set_test_filter(pattern);
}

#endif
