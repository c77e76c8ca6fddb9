/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions: the first byte is the length of the expression, the rest is the text. The
 * same input must give the same result, and an expression that matches a text must match a longer
 * one, unless it uses an anchor.
 */
#include <stdlib.h>

#include "regex/regex.h"

#define LONGER_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether the expression may ask for the text's or a word's end or beginning. */
static bool asks_for_places(struct span expression)
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
	if (found < 0 || regex_match(regex, text, &err) != found)
		abort();
	if (!found || asks_for_places(expression) || text.size == 0 || text.size > LONGER_MAX)
		return 0;
	memcpy(longer + 1, text.data, text.size);
	longer[text.size + 1] = 'x';
	/* An 'x' behind half a character changes nothing: that is U+FFFD already. */
	if (regex_match(regex, span_of(longer, text.size + 2), &err) != 1)
		abort();
	return 0;
}
