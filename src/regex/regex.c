/* SPDX-License-Identifier: Apache-2.0 */
#include "regex/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/text.h"
#include "regex/translate.h"

/* PCRE2 compares all pairs of active states for each character. This takes about a second. */
#define REGEX_WORK_MAX UINT64_C(1000000000)
#define STATES_MIN     50
#define STATES_MAX     2000

/* pcre2_dfa_match() needs some room of its own, and three integers for a state in each of two
 * lists. */
#define WORKSPACE_SIZE(states) (32 + 6 * (size_t)(states))

#define GROUPS_NESTED_MAX 4000
#define HEAP_LIMIT_KIB    (16 * 1024)

struct regex {
	char *text; /* owned; the expression, for errors */
	pcre2_code *code;
};

static int pcre2_failed(const struct regex *regex, int code, struct error *err)
{
	char reason[128] = "";

	pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof(reason));
	return error_set(err, VMCRED_FAILED, "unsupported regular expression \"%s\": %s",
			 regex->text, reason);
}

int regex_compile(struct span expression, struct regex **regex, struct error *err)
{
	_cleanup_regex_ struct regex *new = calloc(1, sizeof(*new));
	_cleanup_free_ char *pattern = NULL, *anywhere = NULL;
	pcre2_compile_context *context;
	PCRE2_SIZE offset;
	int code = 0, r;

	if (!utf8_valid(expression) || memchr(expression.data, 0, expression.size))
		return error_set(err, VMCRED_USAGE, "invalid regular expression: not UTF-8");
	if (new)
		new->text = strndup((const char *)expression.data, expression.size);
	if (!new || !new->text)
		return error_no_memory(err);
	r = regex_translate(new->text, &pattern, err);
	if (r < 0)
		return r;
	anywhere = text_format("(?s:.*)(?:%s)", pattern);
	context = pcre2_compile_context_create(NULL);
	if (!anywhere || !context) {
		pcre2_compile_context_free(context);
		return error_no_memory(err);
	}
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(context, GROUPS_NESTED_MAX);
	new->code = pcre2_compile((PCRE2_SPTR)anywhere, PCRE2_ZERO_TERMINATED,
				  PCRE2_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
					  PCRE2_NO_AUTO_CAPTURE | PCRE2_ALT_CIRCUMFLEX,
				  &code, &offset, context);
	pcre2_compile_context_free(context);
	if (!new->code)
		return pcre2_failed(new, code, err);
	*regex = pointer_release(&new);
	return 0;
}

void regex_destroy(struct regex **regex)
{
	if (!*regex)
		return;
	pcre2_code_free((*regex)->code);
	free((*regex)->text);
	free(*regex);
	*regex = NULL;
}

/* Replaces each byte that is not UTF-8 by U+FFFD. */
static int text_repair(struct span text, struct secret *repaired, struct error *err)
{
	int r = 0;

	while (r == 0 && text.size > 0) {
		struct span c = span_of(text.data, 1);

		while (c.size < 4 && c.size < text.size && (c.data[c.size] & 0xc0) == 0x80)
			c.size++;
		if (utf8_valid(c)) {
			r = secret_append(repaired, c, err);
		} else {
			c.size = 1;
			r = secret_append_text(repaired, "\xef\xbf\xbd", err);
		}
		text = span_of(text.data + c.size, text.size - c.size);
	}
	return r;
}

int regex_match(const struct regex *regex, struct span text, struct error *err)
{
	_cleanup_secret_ struct secret repaired = {0};
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	size_t states = STATES_MAX;
	int *workspace, r = 0;

	if (!utf8_valid(text)) {
		r = text_repair(text, &repaired, err);
		text = secret_span(&repaired);
	}
	while (states > STATES_MIN && states * states > REGEX_WORK_MAX / (text.size + 1))
		states = states * 3 / 4;
	workspace = reallocarray(NULL, WORKSPACE_SIZE(states), sizeof(*workspace));
	if (r == 0 && (!context || !data || !workspace))
		r = error_no_memory(err);
	if (r < 0)
		goto end;
	pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
	r = pcre2_dfa_match(regex->code, text.size > 0 ? text.data : (PCRE2_SPTR) "", text.size, 0,
			    PCRE2_ANCHORED | PCRE2_DFA_SHORTEST | PCRE2_NO_UTF_CHECK, data, context,
			    workspace, WORKSPACE_SIZE(states));
	if (r >= 0)
		r = 1;
	else if (r == PCRE2_ERROR_NOMATCH)
		r = 0;
	else if (r == PCRE2_ERROR_DFA_WSSIZE)
		r = error_set(err, VMCRED_FAILED,
			      "regular expression \"%s\" is too complex for a text of %zu bytes: "
			      "more than %zu states",
			      regex->text, text.size, states);
	else
		r = pcre2_failed(regex, r, err);
end:
	free(workspace);
	pcre2_match_data_free(data);
	pcre2_match_context_free(context);
	return r;
}
