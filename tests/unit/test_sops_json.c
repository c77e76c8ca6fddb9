/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "sops/stores/json.h"
#include "sops/tree/number.h"
#include "sops/tree/timestamp.h"
#include "sops/walk.h"

/* The tree in one line: each node's kind, key and text. */
static void describe(const struct sops_tree *tree, char *out, size_t size)
{
	static const char kinds[] = "{[sbtifonc";
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 1; i < tree->count; i++) {
		const struct sops_node *node = &tree->nodes[i];

		used += (size_t)snprintf(out + used, size - used, "%s%zu%c%.*s=%.*s",
					 i > 1 ? " " : "", node->end, kinds[node->kind],
					 (int)node->key.size, (const char *)node->key.data,
					 (int)node->text.size, (const char *)node->text.data);
	}
}

static int parse(const char *json, struct secret *text, struct sops_tree *tree, struct error *err)
{
	int r = secret_copy(text, span_of_text(json), err);

	return r < 0 ? r : sops_json_read(text, "file", tree, err);
}

static void read_keeps_the_order(void **state)
{
	static const struct {
		const char *json, *tree;
	} cases[] = {
		{"{}", "2{="},
		{" {\n} \t\r\n", "2{="},
		{"{\"a\":1,\"b\":\"x\"}", "4{= 3ia=1 4sb=x"},
		{"{\"a\":[1,[true],{\"b\":null}],\"a\":[]}",
		 "9{= 8[a= 4i=1 6[= 6o=True 8{= 8nb= 9[a="},
		{"{\"\":\"\"}", "3{= 3s="},
		{"{\"a\":-0,\"b\":-0.0,\"c\":1E+2,\"d\":false}",
		 "6{= 3ia=0 4fb=-0.0 5fc=1E+2 6od=False"},
		{"{\"a\":9223372036854775807,\"b\":9223372036854775808,\"c\":-9223372036854775808}",
		 "5{= 3ia=9223372036854775807 4fb=9223372036854775808 5ic=-9223372036854775808"},
		{"{\"a\\n\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "3{= 3sa\n=\"\\/\b\f\n\r\t"},
		{"{\"a\":\"\\u00fc\\u65e5\\ud834\\udd1e\"}", "3{= 3sa=ü日𝄞"},
		{"{\"a\":\"\\ud834x\\udd1e\\ud834\\ud834\\udd1e\"}",
		 "3{= 3sa=\uFFFDx\uFFFD\uFFFD𝄞"},
	};
	char description[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret text = {0};
		struct sops_tree tree = {0};
		struct error err = {0};

		assert_success(parse(cases[i].json, &text, &tree, &err));
		describe(&tree, description, sizeof(description));
		assert_string_equal(description, cases[i].tree);
		sops_tree_destroy(&tree);
		secret_destroy(&text);
	}
}

static void read_reports_errors_with_line_and_column(void **state)
{
#define CUT "file is truncated: unexpected end of JSON "
#define BAD "file is not valid JSON "
	static const struct {
		const char *json, *message;
	} cases[] = {
		{"", "file is empty"},
		{" \n", "file is empty"},
		{"[]", "file is not a JSON object"},
		{"\"x\"", "file is not a JSON object"},
		{"db: x\n", "file is not a JSON object"},
		{"{", CUT "(line 1, column 2)"},
		{"{\"a", CUT "(line 1, column 4)"},
		{"{\"a\"", CUT "(line 1, column 5)"},
		{"{\"a\":\n", CUT "(line 2, column 1)"},
		{"{\"a\":tru", BAD "(line 1, column 6)"},
		{"{\"a\":\"\\u12", CUT "(line 1, column 11)"},
		{"{\"a\":1", CUT "(line 1, column 7)"},
		{"{\"a\":1,", CUT "(line 1, column 8)"},
		{"{\"a\":1,}", BAD "(line 1, column 8)"},
		{"{,}", BAD "(line 1, column 2)"},
		{"{\"a\" 1}", BAD "(line 1, column 6)"},
		{"{a:1}", BAD "(line 1, column 2)"},
		{"{\"a\":01}", BAD "(line 1, column 6)"},
		{"{\"a\":+1}", BAD "(line 1, column 6)"},
		{"{\"a\":.5}", BAD "(line 1, column 6)"},
		{"{\"a\":1.}", BAD "(line 1, column 6)"},
		{"{\"a\":NaN}", BAD "(line 1, column 6)"},
		{"{\"a\":1e999}", "a number is too large: " BAD "(line 1, column 6)"},
		{"{\"a\":\"\\x\"}", BAD "(line 1, column 8)"},
		{"{\"a\":\"\n\"}", BAD "(line 1, column 7)"},
		{"{\"a\":[1}", BAD "(line 1, column 8)"},
		{"{\"a\":1]", BAD "(line 1, column 7)"},
		{"{} x", BAD "(line 1, column 4)"},
		{"{}{}", BAD "(line 1, column 3)"},
		{"{\"a\":\"\xff\"}", "file is not valid JSON: not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret text = {0};
		struct sops_tree tree = {0};
		struct error err = {0};

		assert_error(parse(cases[i].json, &text, &tree, &err), VMCRED_FAILED,
			     cases[i].message);
		sops_tree_destroy(&tree);
		secret_destroy(&text);
	}
}

static void read_limits_nesting(void **state)
{
	static char json[32768] = "{\"a\":";
	struct secret text = {0};
	struct sops_tree tree = {0};
	struct error err = {0};

	(void)state;
	memset(json + strlen(json), '[', sizeof(json) - strlen(json) - 1);
	assert_error(parse(json, &text, &tree, &err), VMCRED_FAILED,
		     "file is nested more than 10000 levels deep");
	sops_tree_destroy(&tree);
	secret_destroy(&text);
}

static void walk_path_omits_positions_and_describe_shows_them(void **state)
{
	struct secret text = {0};
	struct sops_tree tree = {0};
	struct error err = {0};
	struct sops_walk walk = {0};
	struct span path;
	char *description;

	(void)state;
	assert_success(parse("{\"a\":{\"b\":[1,[2,{\"c\\n\":3}]]}}", &text, &tree, &err));
	walk.tree = &tree;
	walk.prefix_of = SIZE_MAX;
	assert_success(sops_walk_path(&walk, 8, &path, &err));
	description = sops_tree_describe(&tree, 8);
	assert_span_equal(path, "a:b:c\n:");
	assert_string_equal(description, "a.b[1][1].c?");
	free(description);
	sops_walk_destroy(&walk);
	sops_tree_destroy(&tree);
	secret_destroy(&text);
}

static void write_escapes_strings_like_sops(void **state)
{
	static const char plain[] = "\"\\/\b\f\n\r\t\x01\x7f<>&ü\u2028\u2029\u203a\xff\xe2\x80";
	struct secret text = {0};
	struct sops_tree tree = {0};
	struct error err = {0};

	(void)state;
	assert_success(parse("{\"<\": \"\", \"empty\": []}", &text, &tree, &err));
	assert_int_equal(tree.count, 4);
	if (tree.nodes)
		tree.nodes[2].text = span_of(plain, sizeof(plain) - 1);
	assert_success(sops_store_json.write(&tree, NULL, NULL, &text, &err));
	assert_span_equal(
		secret_span(&text),
		"{\n\t\"\\u003c\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\\u003c\\u003e\\u0026ü"
		"\\u2028\\u2029\u203a\\ufffd\\ufffd\\ufffd\",\n\t\"empty\": []\n}\n");
	sops_tree_destroy(&tree);
	secret_destroy(&text);
}

static void floats_are_printed_like_go(void **state)
{
	static const struct {
		const char *text, *plain, *json;
	} cases[] = {
		{"0.0", "0", "0"},
		{"-0.0", "-0", "-0"},
		{"1.50", "1.5", "1.5"},
		{"1e2", "100", "100"},
		{"0.1", "0.1", "0.1"},
		{"1e-6", "0.000001", "0.000001"},
		{"1e-7", "0.0000001", "1e-7"},
		{"1.25e-10", "0.000000000125", "1.25e-10"},
		{"1e20", "100000000000000000000", "100000000000000000000"},
		{"1e21", "1000000000000000000000", "1e+21"},
		{"12345678901234567890", "12345678901234567000", "12345678901234567000"},
		{"-123456.789", "-123456.789", "-123456.789"},
		/* Powers of two, where the nearest decimal is not among the shortest that do. */
		{"9.5367431640625e-07", "0.00000095367431640625", "9.5367431640625e-7"},
		{"7.12023634722304443e-307", NULL, "7.120236347223045e-307"},
		{"2.2250738585072014e-308", NULL, "2.2250738585072014e-308"},
		{"1.7976931348623157e308", NULL, "1.7976931348623157e+308"},
		{"5e-324", NULL, "5e-324"},
	};
	char out[SOPS_NUMBER_SIZE_MAX];
	size_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = span_of_text(cases[i].text);

		size = sops_float_print(text, SOPS_NUMBER_PLAIN, out);
		if (cases[i].plain)
			assert_span_equal(span_of(out, size), cases[i].plain);
		size = sops_float_print(text, SOPS_NUMBER_JSON, out);
		assert_span_equal(span_of(out, size), cases[i].json);
	}
}

static void times_are_normalized_like_go(void **state)
{
	static const struct {
		const char *text, *normal;
	} cases[] = {
		{"2026-11-24T08:38:14Z", "2026-11-24T08:38:14Z"},
		{"2026-11-24T08:38:14.123Z", "2026-11-24T08:38:14Z"},
		{"2026-11-24T08:38:14+02:00", "2026-11-24T08:38:14+02:00"},
		{"2026-11-24T08:38:14+00:00", "2026-11-24T08:38:14Z"},
		{"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"", NULL},
		{"2026-11-24", NULL},
		{"2026-11-24T08:38:14", NULL},
		{"2026-11-24 08:38:14Z", NULL},
		{"2026-11-24T08:38:14z", NULL},
		{"2026-11-24T08:38:14.Z", NULL},
		{"2026-11-24T08:38:14Zx", NULL},
		{"2026-11-24T08:38:14+0200", NULL},
		{"2026-11-24T08:38:14+24:00", NULL},
		{"2026-13-24T08:38:14Z", NULL},
		{"2026-00-24T08:38:14Z", NULL},
		{"2025-02-29T08:38:14Z", NULL},
		{"1900-02-29T08:38:14Z", NULL},
		{"2026-11-31T08:38:14Z", NULL},
		{"2026-11-24T24:00:00Z", NULL},
		{"2026-11-24T08:60:00Z", NULL},
		{"2026-11-24T08:38:60Z", NULL},
	};
	char out[SOPS_TIMESTAMP_SIZE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = sops_timestamp_normalize(span_of_text(cases[i].text), out);

		assert_int_equal(r, cases[i].normal ? 0 : -1);
		if (cases[i].normal)
			assert_string_equal(out, cases[i].normal);
	}
}

static void times_are_counted_in_seconds(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-24T08:38:14Z", 1795509494},
		{"2026-11-24T08:38:14+02:30", 1795509494 - 9000},
		{"2026-11-24T08:38:14-02:30", 1795509494 + 9000},
		{"1969-12-31T23:59:59Z", -1},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(sops_timestamp_seconds(cases[i].text), cases[i].seconds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_keeps_the_order),
		cmocka_unit_test(read_reports_errors_with_line_and_column),
		cmocka_unit_test(read_limits_nesting),
		cmocka_unit_test(walk_path_omits_positions_and_describe_shows_them),
		cmocka_unit_test(write_escapes_strings_like_sops),
		cmocka_unit_test(floats_are_printed_like_go),
		cmocka_unit_test(times_are_normalized_like_go),
		cmocka_unit_test(times_are_counted_in_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
