/* SPDX-License-Identifier: Apache-2.0 */
#include "smbios/smbios.h"

/* Every structure starts with type, length and handle (DSP0134, 6.1.2). */
#define HEADER_SIZE   4
/* Type 11: the header and the number of strings (7.12). */
#define TYPE11_SIZE   5
/* The version that Cloud Hypervisor writes, and that every reader supports. */
#define VERSION_MAJOR 3
#define VERSION_MINOR 2

int smbios_structure_next(struct span *table, struct smbios_structure *structure, struct error *err)
{
	const uint8_t *data = table->data;
	size_t end;

	if (table->size < HEADER_SIZE || data[1] < HEADER_SIZE || data[1] > table->size)
		return error_set(err, VMCRED_FAILED, "truncated SMBIOS structure");
	structure->type = data[0];
	structure->handle = (uint16_t)(data[2] | data[3] << 8);
	structure->formatted = span_of(data, data[1]);
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

static int header_append(struct secret *table, uint8_t type, uint8_t size, uint16_t handle,
			 struct error *err)
{
	const uint8_t header[HEADER_SIZE] = {type, size, (uint8_t)(handle & 0xff),
					     (uint8_t)(handle >> 8)};

	return secret_append(table, span_of(header, sizeof(header)), err);
}

static int type11_check(const struct span *strings, size_t count, struct error *err)
{
	if (count == 0 || count > UINT8_MAX)
		return error_set(err, VMCRED_FAILED,
				 "a Type 11 structure must have 1 to 255 strings, not %zu", count);
	for (size_t i = 0; i < count; i++) {
		if (strings[i].size == 0)
			return error_set(err, VMCRED_FAILED, "empty SMBIOS string");
		if (memchr(strings[i].data, '\0', strings[i].size))
			return error_set(err, VMCRED_FAILED, "NUL byte in an SMBIOS string");
	}
	return 0;
}

int smbios_type11_encode(const struct span *strings, size_t count, uint16_t handle,
			 struct secret *table, struct error *err)
{
	const uint8_t nul = 0, number = (uint8_t)count;
	size_t size = TYPE11_SIZE + 1;
	int r = type11_check(strings, count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		size += strings[i].size + 1;
	r = secret_reserve(table, table->size + size, err);
	if (r == 0)
		r = header_append(table, SMBIOS_TYPE_OEM_STRINGS, TYPE11_SIZE, handle, err);
	if (r == 0)
		r = secret_append(table, span_of(&number, 1), err);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = secret_append(table, strings[i], err);
		if (r == 0)
			r = secret_append(table, span_of(&nul, 1), err);
	}
	return r == 0 ? secret_append(table, span_of(&nul, 1), err) : r;
}

int smbios_end_encode(uint16_t handle, struct secret *table, struct error *err)
{
	const uint8_t no_strings[] = {0, 0};
	int r = header_append(table, SMBIOS_TYPE_END_OF_TABLE, HEADER_SIZE, handle, err);

	return r == 0 ? secret_append(table, span_of(no_strings, sizeof(no_strings)), err) : r;
}

static void little_endian_put(uint8_t *to, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

void smbios_entry_point_encode(uint64_t table_address, uint32_t table_size,
			       uint8_t entry_point[SMBIOS_ENTRY_POINT_SIZE])
{
	static const uint8_t anchor[] = {'_', 'S', 'M', '3', '_'};
	uint8_t sum = 0;

	memset(entry_point, 0, SMBIOS_ENTRY_POINT_SIZE);
	memcpy(entry_point, anchor, sizeof(anchor));
	entry_point[6] = SMBIOS_ENTRY_POINT_SIZE;
	entry_point[7] = VERSION_MAJOR;
	entry_point[8] = VERSION_MINOR;
	entry_point[10] = 1; /* the entry point's own revision: SMBIOS 3.0 */
	little_endian_put(entry_point + 12, table_size, 4);
	little_endian_put(entry_point + 16, table_address, 8);
	for (size_t i = 0; i < SMBIOS_ENTRY_POINT_SIZE; i++)
		sum = (uint8_t)(sum + entry_point[i]);
	entry_point[5] = (uint8_t)-sum;
}
