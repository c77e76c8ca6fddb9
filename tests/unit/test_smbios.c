/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "smbios/smbios.h"

/* DSP0134, 7.12 and 6.1.3: type, length, handle, count, the strings, one more NUL. */
static const uint8_t oem_strings[] = {11, 5, 0x34, 0x12, 2, 'a', '=', '1', 0, 'b', 0, 0};
static const uint8_t end[] = {127, 4, 0x35, 0x12, 0, 0};

static void a_table_decodes_to_its_strings(void **state)
{
	uint8_t table[sizeof(oem_strings) + sizeof(end)] = {0};
	struct smbios_structure structure;
	struct span rest = span_of(table, sizeof(table)), string;
	struct error err = {0};

	(void)state;
	memcpy(table, oem_strings, sizeof(oem_strings));
	memcpy(table + sizeof(oem_strings), end, sizeof(end));
	assert_success(smbios_structure_next(&rest, &structure, &err));
	assert_int_equal(structure.type, SMBIOS_TYPE_OEM_STRINGS);
	assert_true(smbios_string_next(&structure.strings, &string));
	assert_true(span_equal(string, span_of_text("a=1")));
	assert_true(smbios_string_next(&structure.strings, &string));
	assert_true(span_equal(string, span_of_text("b")));
	assert_false(smbios_string_next(&structure.strings, &string));
	assert_success(smbios_structure_next(&rest, &structure, &err));
	assert_int_equal(structure.type, SMBIOS_TYPE_END_OF_TABLE);
	assert_false(smbios_string_next(&structure.strings, &string));
	assert_int_equal(rest.size, 0);
}

static void a_truncated_table_is_an_error(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t size = 0; size < sizeof(oem_strings); size++) {
		/* Memory of its own, so that a sanitizer sees a byte too many. */
		uint8_t *copy = malloc(size > 0 ? size : 1);
		struct span rest = span_of(copy, size);
		struct smbios_structure structure;

		memcpy(copy, oem_strings, size);
		assert_int_equal(smbios_structure_next(&rest, &structure, &err), -VMCRED_FAILED);
		error_clear(&err);
		free(copy);
	}
}

static void a_length_below_the_header_is_an_error(void **state)
{
	const uint8_t bytes[] = {11, 3, 0, 0, 0, 0};
	struct span rest = span_of(bytes, sizeof(bytes));
	struct smbios_structure structure;
	struct error err = {0};

	(void)state;
	assert_error(smbios_structure_next(&rest, &structure, &err), VMCRED_FAILED,
		     "truncated SMBIOS structure");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_decodes_to_its_strings),
		cmocka_unit_test(a_truncated_table_is_an_error),
		cmocka_unit_test(a_length_below_the_header_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
