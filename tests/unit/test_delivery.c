/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "delivery/delivery.h"

#define SALT_LINE "vmcred-manifest-1 AAECAwQFBgcICQoLDA0ODw\n"
#define MAC       "AAAAAAAAAAAAAAAAAAAAAA"

/* Reads all entries; returns their number or a negative code. */
static int entries_count(const char *text)
{
	struct delivery_manifest manifest;
	struct delivery_entry entry;
	struct error err = {0};
	bool is_one = true;
	int count = 0, r = delivery_manifest_read(span_of_text(text), &manifest, &err);

	while (r == 0 && is_one) {
		r = delivery_manifest_next(&manifest, &entry, &is_one, &err);
		count += r == 0 && is_one;
	}
	error_clear(&err);
	return r < 0 ? r : count;
}

static void manifests_that_are_not_valid_are_refused(void **state)
{
	static const struct {
		const char *text;
		int count;
	} cases[] = {
		{SALT_LINE, 0},
		{SALT_LINE "a 0 " MAC "\n", 1},
		{SALT_LINE "a b 1048576 " MAC "\nc 1 " MAC "\n", 2},
		{"", -VMCRED_INTEGRITY},
		{"vmcred-manifest-1 AAECAwQFBgcICQoLDA0ODw", -VMCRED_INTEGRITY},
		{"vmcred-manifest-1 short\n", -VMCRED_INTEGRITY},
		{"vmcred-manifest-2 AAECAwQFBgcICQoLDA0ODw\n", -VMCRED_INTEGRITY},
		{SALT_LINE "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "a 0 " MAC, -VMCRED_INTEGRITY},
		{SALT_LINE "a 0 short\n", -VMCRED_INTEGRITY},
		{SALT_LINE MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE " " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "0 " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE " 0 " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "a  " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "a -1 " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "a 18446744073709551616 " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "../a 0 " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE ".. 0 " MAC "\n", -VMCRED_INTEGRITY},
		{SALT_LINE "\x1b[m 0 " MAC "\n", -VMCRED_INTEGRITY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(entries_count(cases[i].text), cases[i].count);
}

static void an_entry_is_found_whole_cut_or_changed(void **state)
{
	static const char name[] = "a b", value[] = "the value";
	struct delivery_manifest manifest;
	struct delivery_entry entry;
	struct secret text = {0};
	struct error err = {0};
	bool is_one;

	(void)state;
	assert_success(delivery_manifest_create(&text, &err));
	/* More than its first pages. */
	for (size_t i = 0; i < 1000; i++)
		assert_success(delivery_manifest_add(&text, name, span_of_text(value), &err));
	assert_success(delivery_manifest_read(secret_span(&text), &manifest, &err));
	for (size_t i = 0; i < 1000; i++) {
		assert_success(delivery_manifest_next(&manifest, &entry, &is_one, &err));
		assert_true(is_one);
		assert_string_equal(entry.name, name);
		assert_int_equal(delivery_entry_check(&manifest, &entry, span_of_text(value)),
				 CHANNEL_MORE);
	}
	assert_int_equal(delivery_entry_check(&manifest, &entry, span_of_text("the valu")),
			 CHANNEL_CUT);
	assert_int_equal(delivery_entry_check(&manifest, &entry, span_of_text("the Value")),
			 CHANNEL_CHANGED);
	assert_int_equal(delivery_entry_check(&manifest, &entry, span_of_text("the values")),
			 CHANNEL_CHANGED);
	assert_success(delivery_manifest_next(&manifest, &entry, &is_one, &err));
	assert_false(is_one);
	secret_destroy(&text);
}

static void the_state_of_a_credential_follows_from_the_report(void **state)
{
	struct channel_finding wrong[] = {{CHANNEL_CUT, "a"}, {CHANNEL_UNEXPECTED, "b"}};
	struct channel_finding more[] = {{CHANNEL_MISSING, "a"}, {CHANNEL_MORE, ""}};
	struct channel_finding harmless[] = {{CHANNEL_UNEXPECTED, "b"}, {CHANNEL_MORE, ""}};
	struct channel_finding nothing[] = {{CHANNEL_MISSING, DELIVERY_MANIFEST}};
	const struct {
		struct delivery_report report;
		enum delivery_state all, a, c;
	} cases[] = {
		{{.id = ""}, DELIVERY_SENT, DELIVERY_SENT, DELIVERY_SENT},
		{{.id = "x"}, DELIVERY_DELIVERED, DELIVERY_DELIVERED, DELIVERY_DELIVERED},
		{{"x", wrong, 2}, DELIVERY_REJECTED, DELIVERY_REJECTED, DELIVERY_DELIVERED},
		{{"x", more, 2}, DELIVERY_REJECTED, DELIVERY_REJECTED, DELIVERY_SENT},
		{{"x", harmless, 2}, DELIVERY_DELIVERED, DELIVERY_DELIVERED, DELIVERY_DELIVERED},
		{{"x", nothing, 1}, DELIVERY_REJECTED, DELIVERY_SENT, DELIVERY_SENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(delivery_report_state(&cases[i].report, NULL), cases[i].all);
		assert_int_equal(delivery_report_state(&cases[i].report, "a"), cases[i].a);
		assert_int_equal(delivery_report_state(&cases[i].report, "c"), cases[i].c);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifests_that_are_not_valid_are_refused),
		cmocka_unit_test(an_entry_is_found_whole_cut_or_changed),
		cmocka_unit_test(the_state_of_a_credential_follows_from_the_report),
	};

	return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
