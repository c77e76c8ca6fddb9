/* SPDX-License-Identifier: Apache-2.0 */
#include "smbios/smbios.h"

/* Every structure starts with type, length and handle (DSP0134, 6.1.2). */
#define HEADER_SIZE 4

int smbios_structure_next(struct span *table, struct smbios_structure *structure, struct error *err)
{
	const uint8_t *data = table->data;
	size_t end;

	if (table->size < HEADER_SIZE || data[1] < HEADER_SIZE || data[1] > table->size)
		return error_set(err, VMCRED_FAILED, "truncated SMBIOS structure");
	structure->type = data[0];
	/* Two NULs end the string-set; an empty one consists of them (6.1.3). */
	for (end = data[1]; end + 1 < table->size; end++) {
		if (data[end] != '\0' || data[end + 1] != '\0')
			continue;
		structure->strings =
			span_of(data + data[1], end == data[1] ? 0 : end + 1 - data[1]);
		*table = span_of(data + end + 2, table->size - end - 2);
		return 0;
	}
	return error_set(err, VMCRED_FAILED, "unterminated strings of an SMBIOS structure");
}

bool smbios_string_next(struct span *strings, struct span *string)
{
	const uint8_t *nul;

	if (strings->size == 0)
		return false;
	nul = memchr(strings->data, '\0', strings->size);
	*string = span_of(strings->data, nul ? (size_t)(nul - strings->data) : strings->size);
	*strings = nul ? span_of(nul + 1, strings->size - string->size - 1)
		       : span_of(strings->data + strings->size, 0);
	return true;
}
