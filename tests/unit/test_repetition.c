/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/repetition/repetition.h"
#include "forms.h"

static void a_secret_of_any_kind_is_found_in_every_form(void **state)
{
	(void)state;
	srandom(1);
	for (int i = 0; i < 1200; i++) {
		uint8_t secret[SECRET_SIZE_MAX];
		size_t size = REPETITION_SIZE_MIN + (size_t)random() % 30;
		bool utf8 = secret_random(i % 4, size, secret);
		const struct span spans[] = {span_of_text("another"), span_of(secret, size)};

		for (size_t form = 0; form < FORM_COUNT; form++) {
			struct text text = {.size = 0};

			if (forms[form].needs_utf8 && !utf8)
				continue;
			text_add(&text, "error %d: \"", i);
			forms[form].add(spans[1], &text);
			text_add(&text, "%c is wrong", '"');
			if (!repetition_found(span_of(text.bytes, text.size), spans, 2))
				fail_msg("%s: secret %d of %zu bytes: %.*s", forms[form].name, i,
					 size, (int)text.size, text.bytes);
		}
	}
}

static void eight_bytes_of_a_secret_are_found_in_every_form(void **state)
{
	(void)state;
	srandom(2);
	for (int i = 0; i < 400; i++) {
		uint8_t bytes[SECRET_SIZE_MAX];
		size_t size = 20 + (size_t)random() % 20, start = (size_t)random() % (size - 8);
		struct span secret = span_of(bytes, size);

		/* Without UTF-8, of which a part need not be UTF-8. */
		secret_random(i % 2, size, bytes);
		for (size_t form = 0; form < FORM_COUNT; form++) {
			struct text text = {.size = 0};

			text_add(&text, "%c", '[');
			forms[form].add(span_of(bytes + start, REPETITION_SIZE), &text);
			text_add(&text, "%c", ']');
			if (!repetition_found(span_of(text.bytes, text.size), &secret, 1))
				fail_msg("%s: byte %zu of secret %d: %.*s", forms[form].name, start,
					 i, (int)text.size, text.bytes);
		}
	}
}

static void a_secret_is_found_without_its_case_and_punctuation(void **state)
{
	static const char *const texts[] = {"HUNTERTWO1", "h u n t e r t w o 1", "hunter\ntwo1",
					    "h.u.n.t.e.r.t.w.o.1"};
	const struct span secret = span_of_text("Hunter-Two-1");

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_true(repetition_found(span_of_text(texts[i]), &secret, 1));
}

/* Messages of the real programs. */
static void text_that_repeats_no_secret_is_not_found(void **state)
{
	static const char *const texts[] = {
		"",
		"Error from device manager: Cannot open disk path: I/O error (path=/nope op=open): "
		"No such file or directory (os error 2)",
		"cloud-hypervisor:   0.012345s: <vmm> WARN:vmm/src/lib.rs:123 -- 0x7f3a2b1c 255, "
		"12",
		"SGVsbG8sIHdvcmxkIQ== 48656c6c6f2c20776f726c6421 [72, 101, 108, 108, 111] \\u0048",
		"the first seven bytes of it are hunter-",
	};
	const struct span secrets[] = {span_of_text("hunter-two \"3\""),
				       span_of_text("\1\2\3\4\5\6"), span_of_text("q7"),
				       span_of_text("")};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(repetition_found(span_of_text(texts[i]), secrets, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_of_any_kind_is_found_in_every_form),
		cmocka_unit_test(eight_bytes_of_a_secret_are_found_in_every_form),
		cmocka_unit_test(a_secret_is_found_without_its_case_and_punctuation),
		cmocka_unit_test(text_that_repeats_no_secret_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
