/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "regex/regex.h"

static int match(const char *expression, const char *text, struct error *err)
{
	_cleanup_regex_ struct regex *regex = NULL;
	int r = regex_compile(span_of_text(expression), &regex, err);

	return r < 0 ? r : regex_match(regex, span_of_text(text), err);
}

/* The results are those of Go's regexp package. */
static void match_gives_the_results_of_go(void **state)
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

static void compile_reports_invalid_expressions_with_the_reason(void **state)
{
#define INVALID(expression, reason)                                                                \
	{                                                                                          \
		expression, VMCRED_USAGE, "invalid regular expression \"" expression "\": " reason \
	}
#define UNSUPPORTED(expression, reason)                                              \
	{                                                                            \
		expression, VMCRED_FAILED,                                           \
			"unsupported regular expression \"" expression "\": " reason \
	}
	static const struct {
		const char *expression;
		enum vmcred_code code;
		const char *message;
	} cases[] = {
		INVALID("(a", "missing )"),
		INVALID("a)", "unexpected )"),
		INVALID("[a", "missing ]"),
		INVALID("[]", "missing ]"),
		INVALID("[b-a]", "reversed range"),
		INVALID("[[:foo:]]", "unknown class in [: :]"),
		INVALID("*a", "nothing to repeat"),
		INVALID("a|+", "nothing to repeat"),
		INVALID("(?i)*", "nothing to repeat"),
		INVALID("a**", "repetition of a repetition"),
		INVALID("a{2}{3}", "repetition of a repetition"),
		INVALID("a{1001}", "repetition count above 1000 or reversed"),
		INVALID("a{2,1}", "repetition count above 1000 or reversed"),
		INVALID("(a{100}){100}", "product of repetition counts above 1000"),
		INVALID("a\\", "trailing backslash"),
		INVALID("\\1", "unknown escape"),
		INVALID("\\Z", "unknown escape"),
		INVALID("\\C", "unknown escape"),
		INVALID("\\x4", "incomplete \\x escape"),
		INVALID("\\x{110000}", "character above U+10FFFF"),
		INVALID("\\p{L", "unterminated \\p{"),
		INVALID("\\p{}", "missing Unicode property"),
		INVALID("(?=a)", "unsupported group (?"),
		INVALID("(?<n", "invalid group name"),
		UNSUPPORTED("\\p{Hani}", "unknown Unicode property"),
		UNSUPPORTED("\\p{Foo}", "unknown property after \\P or \\p"),
		UNSUPPORTED("(?i)\\pL", "this Unicode property together with (?i)"),
		UNSUPPORTED("a*(?i)*", "repetition of a repetition"),
		{"\xff", VMCRED_USAGE, "invalid regular expression: not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = {0};

		assert_error(match(cases[i].expression, "", &err), cases[i].code, cases[i].message);
	}
}

/* A matcher that backtracks would run longer than any test. */
static void match_takes_linear_time(void **state)
{
	static char text[100001];
	struct error err = {0};

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(match("^(a+)+$b", text, &err), 0);
	assert_int_equal(match("^(a|aa)*x$", text, &err), 0);
	assert_int_equal(match("(a|aa)+$", text, &err), 1);
	assert_int_equal(match("(.*)(.*)(.*)(.*)(.*)x", text, &err), 0);
	text[10000] = '\0';
	assert_int_equal(match("(a?){30}a{30}$", text, &err), 1);
}

static void match_reports_an_expression_that_exceeds_the_limit(void **state)
{
	static char text[100001];
	struct error err = {0};

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_error(match("(a?){300}a{300}$", text, &err), VMCRED_FAILED,
		     "regular expression \"(a?){300}a{300}$\" is too complex for a text of 100000 "
		     "bytes: more than 83 states");
}

static void compile_rejects_deep_nesting_and_huge_expressions(void **state)
{
	static char expression[20002];
	struct error err = {0};

	(void)state;
	memset(expression, '(', 10000);
	memset(expression + 10000, ')', 10000);
	assert_int_equal(match(expression, "", &err), -(int)VMCRED_USAGE);
	error_clear(&err);
	assert_int_equal(match("(abcdefghij){1000}(abcdefghij){1000}(abcdefghij){1000}", "", &err),
			 -(int)VMCRED_FAILED);
	error_clear(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(match_gives_the_results_of_go),
		cmocka_unit_test(compile_reports_invalid_expressions_with_the_reason),
		cmocka_unit_test(match_takes_linear_time),
		cmocka_unit_test(match_reports_an_expression_that_exceeds_the_limit),
		cmocka_unit_test(compile_rejects_deep_nesting_and_huge_expressions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
