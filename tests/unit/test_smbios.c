/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "smbios/smbios.h"

static void a_type_11_structure_has_the_specified_layout(void **state)
{
	/* DSP0134, 7.12 and 6.1.3: type, length, handle, count, the strings, one more NUL. */
	static const uint8_t expected[] = {11, 5, 0x34, 0x12, 2, 'a', '=', '1', 0, 'b', 0, 0};
	const struct span strings[] = {span_of("a=1", 3), span_of("b", 1)};
	struct secret table = {0};
	struct error err = {0};

	(void)state;
	assert_success(smbios_type11_encode(strings, 2, 0x1234, &table, &err));
	assert_int_equal(table.size, sizeof(expected));
	assert_memory_equal(table.data, expected, sizeof(expected));
	secret_destroy(&table);
}

static void an_encoded_table_decodes_to_the_same_strings(void **state)
{
	const struct span strings[] = {span_of_text("io.systemd.credential:A=b,c\"[]"),
				       span_of_text("CLUSTER=x")};
	struct secret table = {0};
	struct smbios_structure structure;
	struct span rest, string;
	struct error err = {0};

	(void)state;
	assert_success(smbios_type11_encode(strings, 2, 1, &table, &err));
	assert_success(smbios_end_encode(2, &table, &err));
	rest = secret_span(&table);
	assert_success(smbios_structure_next(&rest, &structure, &err));
	assert_int_equal(structure.type, SMBIOS_TYPE_OEM_STRINGS);
	assert_int_equal(structure.handle, 1);
	assert_int_equal(structure.formatted.data[4], 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(smbios_string_next(&structure.strings, &string));
		assert_true(span_equal(string, strings[i]));
	}
	assert_false(smbios_string_next(&structure.strings, &string));
	assert_success(smbios_structure_next(&rest, &structure, &err));
	assert_int_equal(structure.type, SMBIOS_TYPE_END_OF_TABLE);
	assert_false(smbios_string_next(&structure.strings, &string));
	assert_int_equal(rest.size, 0);
	secret_destroy(&table);
}

static void a_truncated_table_is_an_error(void **state)
{
	const struct span strings[] = {span_of_text("abc")};
	struct secret table = {0};
	struct error err = {0};

	(void)state;
	assert_success(smbios_type11_encode(strings, 1, 1, &table, &err));
	for (size_t size = 0; size < table.size; size++) {
		/* Memory of its own, so that a sanitizer sees a byte too many. */
		uint8_t *copy = malloc(size > 0 ? size : 1);
		struct span rest = span_of(copy, size);
		struct smbios_structure structure;

		memcpy(copy, table.data, size);
		assert_int_equal(smbios_structure_next(&rest, &structure, &err), -VMCRED_FAILED);
		error_clear(&err);
		free(copy);
	}
	secret_destroy(&table);
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

static void invalid_strings_are_refused(void **state)
{
	struct span strings[256];
	struct secret table = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < 256; i++)
		strings[i] = span_of("x", 1);
	assert_success(smbios_type11_encode(strings, 255, 1, &table, &err));
	assert_error(smbios_type11_encode(strings, 256, 1, &table, &err), VMCRED_FAILED,
		     "a Type 11 structure must have 1 to 255 strings, not 256");
	assert_error(smbios_type11_encode(strings, 0, 1, &table, &err), VMCRED_FAILED,
		     "a Type 11 structure must have 1 to 255 strings, not 0");
	strings[0] = span_of("", 0);
	assert_error(smbios_type11_encode(strings, 1, 1, &table, &err), VMCRED_FAILED,
		     "empty SMBIOS string");
	strings[0] = span_of("a\0b", 3);
	assert_error(smbios_type11_encode(strings, 1, 1, &table, &err), VMCRED_FAILED,
		     "NUL byte in an SMBIOS string");
	secret_destroy(&table);
}

static void an_entry_point_has_checksum_zero(void **state)
{
	uint8_t entry_point[SMBIOS_ENTRY_POINT_SIZE], sum = 0;

	(void)state;
	smbios_entry_point_encode(0x123456789abcULL, 0x10203, entry_point);
	for (size_t i = 0; i < sizeof(entry_point); i++)
		sum = (uint8_t)(sum + entry_point[i]);
	assert_int_equal(sum, 0);
	assert_memory_equal(entry_point, "_SM3_", 5);
	assert_memory_equal(entry_point + 12, "\x03\x02\x01\x00", 4);
	assert_memory_equal(entry_point + 16, "\xbc\x9a\x78\x56\x34\x12\x00\x00", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_type_11_structure_has_the_specified_layout),
		cmocka_unit_test(an_encoded_table_decodes_to_the_same_strings),
		cmocka_unit_test(a_truncated_table_is_an_error),
		cmocka_unit_test(a_length_below_the_header_is_an_error),
		cmocka_unit_test(invalid_strings_are_refused),
		cmocka_unit_test(an_entry_point_has_checksum_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
