/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions: the first byte is the length of the expression, the rest is the text. The
 * result is always the same, and an expression that matches a text also matches a longer one,
 * unless it has an anchor.
 */
#include <stdlib.h>

#include "regex/regex.h"

#define LONGER_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether the expression may contain an anchor or a word boundary. */
static bool may_have_anchors(struct span expression)
{
	for (size_t i = 0; i < expression.size; i++) {
		if (expression.data[i] == '^' || expression.data[i] == '$' ||
		    expression.data[i] == '\\')
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_regex_ struct regex *regex = NULL;
	_cleanup_error_ struct error err = {0};
	uint8_t longer[LONGER_MAX + 2] = {'x'};
	struct span expression, text;
	int found;

	if (size == 0 || data[0] >= size)
		return 0;
	expression = span_of(data + 1, data[0]);
	text = span_of(data + 1 + data[0], size - 1 - data[0]);
	if (regex_compile(expression, &regex, &err) < 0) {
		if (regex || !err.text)
			abort();
		return 0;
	}
	found = regex_match(regex, text, &err);
	if (found < 0 && (found != -VMCRED_FAILED || !err.text))
		abort();
	error_clear(&err);
	if (regex_match(regex, text, &err) != found)
		abort();
	if (found <= 0 || may_have_anchors(expression) || text.size == 0 || text.size > LONGER_MAX)
		return 0;
	memcpy(longer + 1, text.data, text.size);
	longer[text.size + 1] = 'x';
	/* An 'x' after half a character changes nothing: that is U+FFFD already. */
	found = regex_match(regex, span_of(longer, text.size + 2), &err);
	if (found != 1 && found != -VMCRED_FAILED)
		abort();
	return 0;
}
