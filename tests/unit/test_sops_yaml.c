/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML store: its output, which is that of the real sops (tests/interop/ compares many more
 * documents), its errors and its limits.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "sops/stores/stores.h"

/* Reads and writes a document without encryption. */
static int pass(struct span yaml, unsigned int indent, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_sops_tree_ struct sops_tree tree = {0};
	struct sops_format format = {.indent = indent, .indent_given = indent > 0};
	int r = secret_copy(&text, yaml, err);

	if (r == 0)
		r = sops_store_yaml.read_plain(&text, "file", &tree, err);
	return r < 0 ? r : sops_store_yaml.write(&tree, NULL, &format, out, err);
}

static void a_document_is_written_as_sops_writes_it(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"---\n", "{}\n"},
		{"a:   1\n", "a: 1\n"},
		{"a: {b: [1, [2, {c: 3}]], d: {}, e: []}\n",
		 "a:\n    b:\n        - 1\n        - - 2\n          - c: 3\n    d: {}\n    e: "
		 "[]\n"},
		{"a: x # c\n# foot\n\nb: y\n", "a: x # c\n# foot\nb: \"y\"\n"},
		{"a: # c\n  - b # l\n  # x\n  - c\n", "# c\na:\n    - b # l\n    # x\n    - c\n"},
		{"a:\n  b:\n    c: 1\n    # in b\n  # in a\n# top\nd: 017\n",
		 "a:\n    b:\n        c: 1\n        # in b\n    # in a\n# top\nd: 15\n"},
		{"a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n",
		 "a:\n    b: 1\nc:\n    b: 1\nd:\n    !!merge <<:\n        b: 1\n"},
		{"a: 0x1F\nb: 1_000\nc: 089\nd: 1.0\ne: 1e400\nf: .5\ng: 1234567.5\n",
		 "a: 31\nb: 1000\nc: 89\nd: 1\ne: 1e400\nf: 0.5\ng: 1.2345675e+06\n"},
		{"a: 2001-12-14t21:59:43.10-05:00\nb: 2001-1-1\n",
		 "a: 2001-12-14T21:59:43.1-05:00\nb: 2001-01-01T00:00:00Z\n"},
		{"a: yes\nb: 'true'\nc: ~\nd: \"\\ud7ff\\x07\"\ne: '- x'\n",
		 "a: \"yes\"\nb: \"true\"\nc: null\nd: \"\xed\x9f\xbf\\a\"\ne: '- x'\n"},
		{"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "a: |\n    x\n    y\nb: x y\n"},
		{"a: !!binary gIGC\nb: !!str 1\n", "a: !!binary gIGC\nb: \"1\"\n"},
		{"a: 1\n---\nb: 2\n...\n", "a: 1\n---\nb: 2\n"},
		{"a: \"\\tx\\ny\"\nb: [\"\\n x\", \"\\n\"]\n",
		 "a: \"\\tx\\ny\"\nb:\n    - \"\\n x\"\n    - |4+\n\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret out = {0}, again = {0};
		struct error err = {0};

		assert_success(pass(span_of_text(cases[i].in), 0, &out, &err));
		assert_span_equal(secret_span(&out), cases[i].out);
		assert_success(pass(secret_span(&out), 0, &again, &err));
		assert_span_equal(secret_span(&again), cases[i].out);
		secret_destroy(&out);
		secret_destroy(&again);
	}
}

static void the_indentation_follows_the_setting(void **state)
{
	static const struct {
		unsigned int indent;
		const char *out;
	} cases[] = {
		{0, "a:\n    b:\n        - c: |\n            x\n"},
		{1, "a:\n  b:\n    - c: |\n        x\n"},
		{2, "a:\n  b:\n    - c: |\n        x\n"},
		{3, "a:\n   b:\n      - c: |\n         x\n"},
		{10, "a:\n  b:\n    - c: |\n        x\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret out = {0};
		struct error err = {0};

		assert_success(pass(span_of_text("a: {b: [{c: \"x\\n\"}]}\n"), cases[i].indent,
				    &out, &err));
		assert_span_equal(secret_span(&out), cases[i].out);
		secret_destroy(&out);
	}
}

static void an_invalid_document_is_rejected_with_its_line(void **state)
{
#define AT(line) "file:" line ": not valid YAML: "
	static const struct {
		const char *yaml, *message;
	} cases[] = {
		{"# x\n", "file: no YAML document, only comments or empty lines"},
		{"- a\n", AT("1") "the document must be a map"},
		{"x\n", AT("1") "the document must be a map"},
		{"a: 1\na: 2\n", AT("2") "duplicate key"},
		{"a: 1\n2: 3\n", AT("2") "a key must be a string: write it in quotes"},
		{"? [a]\n: 1\n", AT("1") "a key must not be a map or a list"},
		{"a: 1\n---\nb: !!int x\n", AT("3") "a value does not have the type of its tag"},
		{"a: 9223372036854775808\n", AT("1") "an integer does not fit into 64 bits"},
		{"a: 2001-01-01T00:00:00+24:00\n",
		 AT("1") "a time zone must be less than 24 hours"},
		{"a: !!binary x\n", AT("1") "a !!binary value is not Base64"},
		{"a: &x [*x]\n", AT("1") "an anchor contains itself"},
		{"a: *x\n", AT("1") "undefined alias"},
		{"<<: 1\n", AT("1") "<< must merge maps"},
		{"a: !e!x y\n", AT("1") "undeclared tag handle"},
		{"a: !!<x y\n", AT("1") "incomplete tag"},
		{"a: !<x y\n", AT("1") "incomplete tag in <>"},
		{"a: !x%zz y\n", AT("1") "incomplete %-escape in a tag"},
		{"a: \"\n", AT("1") "missing closing quote"},
		{"a: \"\n---\n", AT("1") "document marker inside quotes"},
		{"a: \"\\q\"\n", AT("1") "unknown escape in double quotes"},
		{"a: \"\\ud800\"\n", AT("1") "invalid escape in double quotes"},
		{"a: \"\\ud800\\u0020\"\n", AT("1") "invalid escape in double quotes"},
		{"a: [x\n", AT("2") "missing ',' or closing bracket"},
		{"a:\n\tb: 1\n", AT("2") "tab in the indentation"},
		{"a: @x\n", AT("1") "unexpected character"},
		{"a: b: c\n", AT("1") "unexpected ':'"},
		{"a: - b\n", AT("1") "unexpected '-'"},
		{"a: 1\nb\n", AT("2") "missing ':' after a key"},
		{"a:\n    b: 1\n  c: 2\n", AT("3") "missing key or wrong indentation"},
		{"a: 1\n...\nb: 2\n", AT("3") "missing --- before a document"},
		{"a: |x\n", AT("1") "unexpected text after a block scalar's indicator"},
		{"a: |0\n", AT("1") "a block scalar's indentation must not be 0"},
		{"a: &! x\n",
		 AT("1") "an anchor's name must consist of letters, digits, '_' and '-'"},
		{"%YAML 1.2\n---\na: 1\n", AT("1") "%YAML version must be 1.1"},
		{"%X\n---\na: 1\n", AT("1") "unknown directive"},
		{"%TAG !a! b\n%TAG !a! b\n---\n", AT("2") "duplicate %TAG directive"},
		{"a: \x01\n", AT("1") "control character"},
		{"a: 1\nb: \xff\n", AT("2") "not UTF-8"},
		{"a: x\xef\xbb\xbf\n",
		 AT("1") "byte order mark inside the text: write it as \\uFEFF"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret out = {0};
		struct error err = {0};

		/* Valid YAML, but not for SOPS. */
		bool valid = strstr(cases[i].message, "a key must be a string") ||
			     strstr(cases[i].message, "does not fit into 64 bits") ||
			     strstr(cases[i].message, "a time zone");

		assert_error(pass(span_of_text(cases[i].yaml), 0, &out, &err),
			     valid ? VMCRED_USAGE : VMCRED_FAILED, cases[i].message);
		secret_destroy(&out);
	}
}

static void a_control_character_is_found_at_every_position(void **state)
{
	char text[200];

	(void)state;
	for (size_t i = 3; i < sizeof(text); i++) {
		struct secret out = {0};
		struct error err = {0};

		memset(text, 'x', sizeof(text));
		text[0] = 'a';
		text[1] = ':';
		text[2] = ' ';
		text[i] = i % 2 ? '\x01' : '\x7f';
		assert_error(pass(span_of(text, sizeof(text)), 0, &out, &err), VMCRED_FAILED,
			     AT("1") "control character");
		secret_destroy(&out);
	}
}

/* Appends `before`, `count` times `piece`, and `after`. */
static void repeat(struct secret *text, const char *before, const char *piece, size_t count,
		   const char *after)
{
	struct error err = {0};

	assert_success(secret_append_text(text, before, &err));
	for (size_t i = 0; i < count; i++)
		assert_success(secret_append_text(text, piece, &err));
	assert_success(secret_append_text(text, after, &err));
}

static void nesting_has_a_limit(void **state)
{
	static const char message[] = "file:1: not valid YAML: nested more than 10000 levels deep";
	struct error err = {0};
	struct secret out = {0};

	(void)state;
	for (size_t levels = 9998; levels <= 10001; levels += 3) {
		struct secret text = {0};

		repeat(&text, "a: ", "[", levels, "");
		repeat(&text, "", "]", levels, "\n");
		if (levels < 10000)
			assert_success(pass(secret_span(&text), 0, &out, &err));
		else
			assert_error(pass(secret_span(&text), 0, &out, &err), VMCRED_FAILED,
				     message);
		secret_destroy(&text);
		secret_destroy(&out);
	}
	repeat(&out, "", "- ", 10001, "x\n");
	assert_error(pass(secret_span(&out), 0, &out, &err), VMCRED_FAILED, message);
	secret_destroy(&out);
}

/* Each anchor repeats the one before it: ten levels expand exponentially. */
static void exponential_aliases_are_rejected(void **state)
{
	char line[128];
	struct secret text = {0}, out = {0};
	struct error err = {0};

	(void)state;
	assert_success(secret_append_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", &err));
	for (int i = 1; i <= 10; i++) {
		snprintf(line, sizeof(line), "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
			 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
		assert_success(secret_append_text(&text, line, &err));
	}
	assert_error(pass(secret_span(&text), 0, &out, &err), VMCRED_FAILED,
		     "file:1: not valid YAML: excessive aliasing");
	secret_destroy(&text);
	secret_destroy(&out);
}

/* Quadratic time would take hours. */
static void large_documents_are_read_in_linear_time(void **state)
{
	static const struct {
		const char *before, *piece, *after;
		size_t count;
		bool good;
	} cases[] = {
		{"a: ", "x", "\n", 1000000, true},
		{"a: \"", "\\n", "\"\n", 100000, true},
		{"a: [", "[],", "]\n", 100000, true},
		{"a: [", "\xc3\xa9 ,", "]\n", 100000, true},
		{"a: |\n", "  x\n", "", 100000, true},
		{"a: x\n", "  y\n\n", "", 100000, true},
		{"", "# x\n", "a: 1\n", 100000, true},
		{"", "#x\n\n", "a: 1\n", 100000, true},
		{"a:\n  b:\n    c: 1\n", "  #x\n #y\n", "", 50000, true},
		{"a: 1\n", "---\n", "b: 2\n", 100000, true},
		{"a: 1\n", "\n", "b: 2\n", 1000000, true},
		{"a: 1", " ", "# b\n", 1000000, true},
		{"%TAG !a! b\n", "%TAG !a! b\n", "---\na: 1\n", 100000, false},
		{"a: ", "&a ", "x\n", 100000, false},
		{"a: ", "? ", "x\n", 100000, false},
		{"? ", "a", "\n: 1\n", 100000, true},
		{"a: [", "{a: ", "", 9000, false},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret text = {0}, out = {0};

		repeat(&text, cases[i].before, cases[i].piece, cases[i].count, cases[i].after);
		if (cases[i].good)
			assert_success(pass(secret_span(&text), 0, &out, &err));
		else
			assert_true(pass(secret_span(&text), 0, &out, &err) < 0);
		error_clear(&err);
		secret_destroy(&text);
		secret_destroy(&out);
	}
}

static void many_keys_and_anchors_are_compared_in_linear_time(void **state)
{
	struct secret text = {0}, out = {0};
	struct error err = {0};
	char line[64];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		snprintf(line, sizeof(line), "key_%d: &anchor_%d x\n", i, i);
		assert_success(secret_append_text(&text, line, &err));
	}
	assert_success(pass(secret_span(&text), 0, &out, &err));
	assert_success(secret_append_text(&text, "key_500: y\n", &err));
	assert_error(pass(secret_span(&text), 0, &out, &err), VMCRED_FAILED,
		     "file:100001: not valid YAML: duplicate key");
	secret_destroy(&text);
	secret_destroy(&out);
}

static void single_values_are_written_as_sops_extracts_them(void **state)
{
	static const struct {
		const char *key, *out;
	} cases[] = {
		{"map", "# head\nx: 1 # one\n# foot\n"},
		{"list", "- a\n- - b\n  - c\n"},
		{"empty", "{}\n"},
		{"none", "[]\n"},
		{"number", "1.5\n"},
		{"null", "null\n"},
		{"true", "true\n"},
	};
	struct secret text = {0};
	_cleanup_sops_tree_ struct sops_tree tree = {0};
	struct error err = {0};

	(void)state;
	assert_success(secret_copy(
		&text,
		span_of_text("map:\n  # head\n  x: 1 # one\n  # foot\n\nlist: [a, [b, c]]\nempty: "
			     "{}\nnone: []\nnumber: 1.5\n'null':\n'true': true\n"),
		&err));
	assert_success(sops_store_yaml.read_plain(&text, "file", &tree, &err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret out = {0};
		size_t node =
			sops_tree_child(&tree, SOPS_FIRST_DOCUMENT, span_of_text(cases[i].key));

		assert_success(sops_store_yaml.write_value(&tree, node, NULL, &out, &err));
		assert_span_equal(secret_span(&out), cases[i].out);
		secret_destroy(&out);
	}
	secret_destroy(&text);
}

static void the_example_is_written_unchanged(void **state)
{
	struct secret out = {0};
	struct error err = {0};

	(void)state;
	assert_success(pass(span_of_text(sops_store_yaml.example), 0, &out, &err));
	assert_span_equal(secret_span(&out), sops_store_yaml.example);
	secret_destroy(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_is_written_as_sops_writes_it),
		cmocka_unit_test(the_indentation_follows_the_setting),
		cmocka_unit_test(an_invalid_document_is_rejected_with_its_line),
		cmocka_unit_test(a_control_character_is_found_at_every_position),
		cmocka_unit_test(nesting_has_a_limit),
		cmocka_unit_test(exponential_aliases_are_rejected),
		cmocka_unit_test(large_documents_are_read_in_linear_time),
		cmocka_unit_test(many_keys_and_anchors_are_compared_in_linear_time),
		cmocka_unit_test(single_values_are_written_as_sops_extracts_them),
		cmocka_unit_test(the_example_is_written_unchanged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
