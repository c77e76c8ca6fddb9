/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "sops/regex.h"

static int match(const char *expression, const char *text, struct error *err)
{
	_cleanup_sops_regex_ struct sops_regex *regex = NULL;
	int r = sops_regex_compile(span_of_text(expression), &regex, err);

	return r < 0 ? r : sops_regex_match(regex, span_of_text(text), err);
}

/* What each expression finds and does not find, as Go's regexp package decides. */
static void expressions_match_what_go_matches(void **state)
{
	static const struct {
		const char *expression;
		const char *matching[4], *others[4];
	} cases[] = {
		{"", {"", "x"}, {NULL}},
		{"abc", {"abc", "xabcx"}, {"", "ab", "ABC"}},
		{"^(data|stringData)$", {"data", "stringData"}, {"xdata", "datax", ""}},
		{"a|", {"", "x"}, {NULL}},
		{"^(|a)$", {"", "a"}, {"b", "aa"}},
		{"^a*b+c?$", {"b", "aabbc"}, {"", "ac", "bcc"}},
		{"^a{2}$", {"aa"}, {"a", "aaa"}},
		{"^a{2,}$", {"aa", "aaaa"}, {"a"}},
		{"^(ab){1,3}$", {"ab", "ababab"}, {"", "abababab"}},
		{"^x{0}y$", {"y"}, {"xy"}},
		{"^x{0,2}y$", {"y", "xy", "xxy"}, {"xxxy"}},
		{"^a{,2}$", {"a{,2}"}, {"a"}},
		{"^a{01}$", {"a{01}"}, {"a"}},
		{"^a{$", {"a{"}, {"a"}},
		{"^(a|b)*?c+?$", {"abc", "cc"}, {"ab"}},
		{"^((a*)*)*$", {"", "aaa"}, {"b"}},
		{".", {"x", "é"}, {"", "\n"}},
		{"(?s).", {"\n"}, {""}},
		{"^.$", {"日", "\xff"}, {"ab", "\xff\xff"}},
		{"^[a-c]$", {"a", "c"}, {"d", "-"}},
		{"^[^a-c]$", {"d", "\n", "é"}, {"a", ""}},
		{"^[]a]$", {"]", "a"}, {"b"}},
		{"^[^]a]$", {"b"}, {"]", "a"}},
		{"^[a-]$", {"a", "-"}, {"b"}},
		{"^[a\\]]$", {"]"}, {"\\"}},
		{"^[\\d_-]$", {"7", "_", "-"}, {"a"}},
		{"^[é-ü日]$", {"é", "ö", "日"}, {"a"}},
		{"^[[:alpha:]]$", {"a", "Z"}, {"1", "é"}},
		{"^[[:^alpha:]1]$", {"1", "é"}, {"a"}},
		{"^[[:word:][:space:]]+$", {"a _9\t"}, {"-"}},
		{"^\\d\\D\\w\\W\\s\\S$", {"1a_- x"}, {"aa_- x"}},
		{"\\bkey\\b", {"key", "a key.", "-key-"}, {"keys", "monkey", "key_"}},
		{"\\Bey", {"key"}, {"ey"}},
		{"\\Aa\\z", {"a"}, {"a\n", "ba"}},
		{"a$", {"ba"}, {"a\n"}},
		{"(?m)^a$", {"b\na\nc"}, {"b\nab"}},
		{"(?i)key", {"KEY", "kEy", "\u212aey"}, {"k"}},
		{"(?i)[^k]s", {"aS", "a\u017f"}, {"kS", "\u212as"}},
		{"(?i:k)ey", {"Key"}, {"KEY"}},
		{"((?i)k)ey", {"Key"}, {"KEY"}},
		{"a(?i)b|c", {"aB", "C"}, {"AB"}},
		{"(?P<name>a)(?<other>b)(?:c)", {"abc"}, {"ab"}},
		{"(?i-s:A).(?U)b*", {"axb"}, {"a\n"}},
		{"\\x41\\x{e9}\\101\\0\\07", {NULL}, {"A"}},
		{"^\\x41\\x{e9}\\101$", {"AéA"}, {"A"}},
		{"^\\Qa.b*\\E+$", {"a.b*", "a.b**"}, {"axb"}},
		{"^\\Qa|(", {"a|(b"}, {"a"}},
		{"^\\.\\-\\_\\/\\{$", {".-_/{"}, {"x"}},
		{"^\\a\\f\\t\\n\\r\\v$", {"\a\f\t\n\r\v"}, {"x"}},
		{"^[^\\n]+$", {"ab"}, {"a\nb"}},
		{"_unencrypted$", {"a_unencrypted"}, {"_unencrypted2"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t j = 0; j < 4 && cases[i].matching[j]; j++) {
			struct error err = {0};

			if (match(cases[i].expression, cases[i].matching[j], &err) != 1)
				fail_msg("%s does not match %s", cases[i].expression,
					 cases[i].matching[j]);
		}
		for (size_t j = 0; j < 4 && cases[i].others[j]; j++) {
			struct error err = {0};

			if (match(cases[i].expression, cases[i].others[j], &err) != 0)
				fail_msg("%s matches %s", cases[i].expression, cases[i].others[j]);
		}
	}
}

static void what_is_no_expression_is_refused_with_the_reason(void **state)
{
#define INVALID(expression, reason)                                                 \
	{                                                                           \
		expression, VMCRED_USAGE,                                           \
			"the regular expression " expression " is invalid: " reason \
	}
#define UNKNOWN(expression)                                                              \
	{                                                                                \
		expression, VMCRED_FAILED,                                               \
			"the regular expression " expression                             \
			" is not supported: it uses a class of Unicode properties (\\p)" \
	}
	static const struct {
		const char *expression;
		enum vmcred_code code;
		const char *message;
	} cases[] = {
		INVALID("(a", "a ( is not closed"),
		INVALID("a)", "a ) closes nothing"),
		INVALID("[a", "a [ is not closed"),
		INVALID("[]", "a [ is not closed"),
		INVALID("[b-a]", "a range in it is backwards"),
		INVALID("[[:foo:]]", "it has an unknown class in [: :]"),
		INVALID("*a", "an operator has nothing to repeat"),
		INVALID("a|+", "an operator has nothing to repeat"),
		INVALID("(?i)*", "an operator has nothing to repeat"),
		INVALID("a**", "an operator follows an operator"),
		INVALID("a{2}{3}", "an operator follows an operator"),
		INVALID("a{1001}", "a count in it is too large, or the wrong way round"),
		INVALID("a{2,1}", "a count in it is too large, or the wrong way round"),
		INVALID("(a{100}){100}", "counts in it multiply to more than 1000"),
		INVALID("a\\", "it ends with a backslash"),
		INVALID("\\1", "it has an unknown escape"),
		INVALID("\\8", "it has an unknown escape"),
		INVALID("\\Z", "it has an unknown escape"),
		INVALID("\\x4", "an escape is cut off"),
		INVALID("\\x{110000}", "an escape is no character"),
		INVALID("(?=a)", "it has an unknown group (?"),
		INVALID("(?<n", "it has a group without a valid name"),
		UNKNOWN("\\pL"),
		UNKNOWN("[\\p{Greek}]"),
		{"(?i)é", VMCRED_FAILED,
		 "regular expressions with letters beyond ASCII under (?i) are not supported"},
		{"\xff", VMCRED_USAGE, "a regular expression is not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = {0};

		assert_error(match(cases[i].expression, "", &err), cases[i].code, cases[i].message);
	}
}

/* Each of these would keep a matcher that goes back busy for longer than there is a test. */
static void expressions_that_explode_elsewhere_take_linear_time(void **state)
{
	static char text[100001];
	struct error err = {0};

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(match("^(a+)+$b", text, &err), 0);
	assert_int_equal(match("^(a|aa)*x$", text, &err), 0);
	assert_int_equal(match("(.*)(.*)(.*)(.*)(.*)x", text, &err), 0);
	assert_int_equal(match("(a?){30}a{30}$", text, &err), 1);
}

static void an_expression_that_is_nested_without_end_is_refused(void **state)
{
	static char expression[20002];
	struct error err = {0};

	(void)state;
	memset(expression, '(', 10000);
	memset(expression + 10000, ')', 10000);
	assert_int_equal(match(expression, "", &err), -(int)VMCRED_USAGE);
	error_clear(&err);
	memset(expression, 'a', 20001);
	assert_int_equal(match(expression, "", &err), -(int)VMCRED_USAGE);
	error_clear(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions_match_what_go_matches),
		cmocka_unit_test(what_is_no_expression_is_refused_with_the_reason),
		cmocka_unit_test(expressions_that_explode_elsewhere_take_linear_time),
		cmocka_unit_test(an_expression_that_is_nested_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
