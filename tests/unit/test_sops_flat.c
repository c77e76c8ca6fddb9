/* SPDX-License-Identifier: Apache-2.0 */
/* The stores without nesting, dotenv and INI. The expected texts are those of sops 3.13. */
#include "unit.h"

#include <stdio.h>

#include "sops/stores/flat.h"
#include "sops/stores/stores.h"

/* Converts a document from one store to another. */
static int convert(const struct sops_store *from, const struct sops_store *to, const char *text,
		   struct secret *out, struct error *err)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0};
	_cleanup_secret_ struct secret bytes = {0};
	int r = secret_copy(&bytes, span_of_text(text), err);

	if (r == 0)
		r = from->read_plain(&bytes, "file", &tree, err);
	return r < 0 ? r : to->write(&tree, NULL, NULL, out, err);
}

struct conversion {
	const char *text, *written;
};

static void conversions_check(const struct sops_store *from, const struct sops_store *to,
			      const struct conversion *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_secret_ struct secret out = {0};
		struct error err = {0};

		assert_success(convert(from, to, cases[i].text, &out, &err));
		if (!span_equal(secret_span(&out), span_of_text(cases[i].written)))
			fail_msg("%s became %.*s", cases[i].text, (int)out.size,
				 (const char *)out.data);
	}
}

#define CONVERSIONS_CHECK(from, to, cases) \
	conversions_check(from, to, cases, sizeof(cases) / sizeof((cases)[0]))

static void dotenv_round_trip(void **state)
{
	static const struct conversion cases[] = {
		{"", ""},
		{"\n\n", ""},
		{"A=b", "A=b\n"},
		{"# c\n#\nA=\nexport B=\"x\"\n=y\n", "# c\n#\nA=\nexport B=\"x\"\n=y\n"},
		{"A=1\nA=2\n", "A=1\nA=2\n"},
		{"A=a\\nb\\n\n", "A=a\\nb\\n\n"},
		{"A=a\\\\n\\\r\n", "A=a\\\\n\\\r\n"},
	};

	(void)state;
	CONVERSIONS_CHECK(&sops_store_dotenv, &sops_store_dotenv, cases);
}

static void ini_layout_of_sops(void **state)
{
	static const struct conversion cases[] = {
		{"", ""},
		{"a=1\nlong : 2\n[s]\nb=\n", "a    = 1\nlong = 2\n\n[s]\nb = \n"},
		{"[DEFAULT]\na=1\n", "[DEFAULT]\na = 1\n"},
		{"; one\n;two\n\n[s] # three\n# of a\na=1 ; inline\n",
		 "; one\n; two\n# three\n[s]\n; of a\n; inline\na = 1\n"},
		{"[s]\na=1\nb=2\na=3\n", "[s]\na = 3\nb = 2\n"},
		{"[s]\na=1\n[s]\na=2\n", "[s]\na = 1\n\n[s]\na = 2\n"},
		{"[s]\n-=x\n-=y\n", "[s]\n`#1` = x\n`#2` = y\n"},
		{"[s]\na='x y'\nb=\" z \"\nc=`#;`\nd=\"\"\"1\n2\"\"\"\ne=x\\\n  y\n",
		 "[s]\na = x y\nb = \" z \"\nc = `#;`\nd = \"\"\"1\n2\"\"\"\ne = xy\n"},
		{"[s]\n\"x=y\"=1\n`a:b`=2\n\"\"\"k`y\"\"\"=3\n",
		 "[s]\n`x=y`     = 1\n`a:b`     = 2\n\"\"\"k`y\"\"\" = 3\n"},
		{"\xef\xbb\xbf[s]\n\xc2\xa0"
		 "a\xe2\x80\x83=\xc2\x85"
		 "1\xe3\x80\x80\n",
		 "[s]\na = 1\n"},
		{"#\n; x\na=1\n", "; x\na = 1\n"},
	};

	(void)state;
	CONVERSIONS_CHECK(&sops_store_ini, &sops_store_ini, cases);
}

static void values_of_other_stores_become_text(void **state)
{
	static const struct conversion dotenv[] = {
		{"{\"s\":\"a\\nb\",\"i\":7,\"t\":true,\"f\":false,\"n\":null}",
		 "s=a\\nb\ni=7\nt=true\nf=false\nn=<nil>\n"},
		{"{\"a\":1.0,\"b\":-0.5,\"c\":123456.5,\"d\":1234567.5,\"e\":0.0001,\"f\":0.00001}",
		 "a=1.0\nb=-0.5\nc=123456.5\nd=1.2345675E+06\ne=0.0001\nf=1E-05\n"},
		{"{\"a\":1e100,\"b\":1e21}", "a=1E+100\nb=1E+21\n"},
	};
	static const struct conversion ini[] = {
		{"{\"s\":{\"a\":true,\"b\":\"x\\ny\"},\"default\":{\"c\":null}}",
		 "[s]\na = true\nb = \"\"\"x\ny\"\"\"\n\n[default]\nc = <nil>\n"},
	};

	(void)state;
	CONVERSIONS_CHECK(&sops_store_json, &sops_store_dotenv, dotenv);
	CONVERSIONS_CHECK(&sops_store_json, &sops_store_ini, ini);
}

static void write_rejects_what_a_flat_store_cannot_represent(void **state)
{
	static const struct {
		const struct sops_store *from, *to;
		const char *text, *line;
	} cases[] = {
		{&sops_store_dotenv, &sops_store_dotenv, "A=1\nsecret\n",
		 "file: line 2: expected NAME=value: comments begin with #"},
		{&sops_store_json, &sops_store_dotenv, "{\"a\":[1]}",
		 "the value a cannot be stored in a dotenv file: it is a map or a list"},
		{&sops_store_json, &sops_store_ini, "{\"a\":1}",
		 "the value a cannot be stored in an INI file: it is not in a section"},
		{&sops_store_json, &sops_store_ini, "{\"s\":{\"a\":{}}}",
		 "the value a cannot be stored in an INI file: it is a map or a list"},
		{&sops_store_json, &sops_store_ini, "{\"s\":{\"\":1}}",
		 "an INI file cannot have a key without a name"},
		{&sops_store_json, &sops_store_ini, "{\"\":{}}",
		 "an INI file cannot have a section without a name"},
		{&sops_store_ini, &sops_store_ini, "[s\n",
		 "file: line 1: missing ] after a section name"},
		{&sops_store_ini, &sops_store_ini, "[]\n", "file: line 1: section without a name"},
		{&sops_store_ini, &sops_store_ini, "\nsecret\n",
		 "file: line 2: expected NAME = value"},
		{&sops_store_ini, &sops_store_ini, "=secret\n", "file: line 1: missing name"},
		{&sops_store_ini, &sops_store_ini, "\"secret=1\n",
		 "file: line 1: unterminated quote in a name"},
		{&sops_store_ini, &sops_store_ini, "a=`secret\nb\n",
		 "file: line 3: unterminated quote before this line"},
		{&sops_store_ini, &sops_store_ini,
		 "\xff\xfe"
		 "a",
		 "file is UTF-16, not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_secret_ struct secret out = {0};
		struct error err = {0};

		assert_error(convert(cases[i].from, cases[i].to, cases[i].text, &out, &err),
			     VMCRED_FAILED, cases[i].line);
	}
}

/* Metadata through a store and back: what comes out, written flat again, is what went in. */
static void metadata_check(const struct sops_store *store, const char *text)
{
	_cleanup_sops_tree_ struct sops_tree tree = {0}, metadata = {0};
	_cleanup_secret_ struct secret bytes = {0}, out = {0};
	struct error err = {0};

	assert_success(secret_copy(&bytes, span_of_text(text), &err));
	assert_success(store->read(&bytes, "file", &tree, &err));
	assert_true(store->has_metadata(&tree));
	assert_int_equal(store->metadata_take(&tree, "file", &metadata, &err), 1);
	assert_false(store->has_metadata(&tree));
	assert_success(store->write(&tree, &metadata, NULL, &out, &err));
	assert_span_equal(secret_span(&out), text);
}

static void metadata_round_trip(void **state)
{
	(void)state;
	metadata_check(
		&sops_store_dotenv,
		"A=1\nsops_age__list_0__map_enc=one\\ntwo\\n\nsops_age__list_0__map_recipient"
		"=r\nsops_age__list_1__map_recipient=s\nsops_mac=m\n");
	metadata_check(&sops_store_ini,
		       "[s]\na = 1\n\n[sops]\nage__list_0__map_enc = one\\ntwo\\n\nmac"
		       "                  = m\n");
}

static void lists_of_ten_and_more_keep_their_order(void **state)
{
	_cleanup_sops_tree_ struct sops_tree metadata = {0};
	struct sops_flat_value values[12];
	char paths[12][32];
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		snprintf(paths[i], sizeof(paths[i]), "l__list_%zu", 11 - i);
		values[i] = (struct sops_flat_value){span_of_text(paths[i]),
						     span_of_text(paths[i] + 8)};
	}
	assert_success(sops_unflatten(values, 12, "file", &metadata, &err));
	assert_int_equal(metadata.count, 14);
	for (size_t i = 0; i < 12; i++) {
		snprintf(paths[0], sizeof(paths[0]), "%zu", i);
		assert_span_equal(metadata.nodes[2 + i].text, paths[0]);
	}
}

static void contradictory_metadata(void **state)
{
	static const struct {
		const char *paths[2], *line;
	} cases[] = {
		{{"a", "a"}, "file: metadata \"a\" is a duplicate"},
		{{"a", "a__map_b"}, "file: metadata \"a__map_b\" is inside a value"},
		{{"a__list_0", "a__map_b"},
		 "file: metadata \"a__list_0\" is in a list and in a map"},
		{{"a__list_0", "a__list_2"},
		 "file: metadata \"a__list_2\" follows a gap in its list"},
		{{"b", "a__list_x"}, "file: metadata \"a__list_x\" is not a valid path"},
		{{"b", "a__list_"}, "file: metadata \"a__list_\" is not a valid path"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_sops_tree_ struct sops_tree metadata = {0};
		struct sops_flat_value values[2];
		struct error err = {0};

		for (size_t j = 0; j < 2; j++)
			values[j] = (struct sops_flat_value){span_of_text(cases[i].paths[j]),
							     span_of_text("x")};
		assert_error(sops_unflatten(values, 2, "file", &metadata, &err), VMCRED_FAILED,
			     cases[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dotenv_round_trip),
		cmocka_unit_test(ini_layout_of_sops),
		cmocka_unit_test(values_of_other_stores_become_text),
		cmocka_unit_test(write_rejects_what_a_flat_store_cannot_represent),
		cmocka_unit_test(metadata_round_trip),
		cmocka_unit_test(lists_of_ten_and_more_keep_their_order),
		cmocka_unit_test(contradictory_metadata),
	};

	return cmocka_run_group_tests_name("sops_flat", tests, NULL, NULL);
}
