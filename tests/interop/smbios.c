/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smbios encode STRING...: a table with these OEM strings, as `dmidecode --dump-bin` would write
 * it, to stdout. smbios decode: the OEM strings of the table on stdin, each with a NUL behind it,
 * to stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smbios/smbios.h"

/* Where dmidecode puts the table in a dump. */
#define DUMP_TABLE_OFFSET 32

static int encode(char **texts, size_t count, struct error *err)
{
	uint8_t head[DUMP_TABLE_OFFSET] = {0};
	struct secret table = {0};
	struct span *strings = calloc(count, sizeof(*strings));
	int r;

	for (size_t i = 0; strings && i < count; i++)
		strings[i] = span_of_text(texts[i]);
	r = strings ? smbios_type11_encode(strings, count, 0x0b00, &table, err)
		    : error_no_memory(err);
	free(strings);
	if (r == 0)
		r = smbios_end_encode(0x7f00, &table, err);
	if (r == 0) {
		smbios_entry_point_encode(DUMP_TABLE_OFFSET, (uint32_t)table.size, head);
		fwrite(head, 1, sizeof(head), stdout);
		fwrite(table.data, 1, table.size, stdout);
	}
	secret_destroy(&table);
	return r;
}

static int decode(struct error *err)
{
	struct secret table = {0};
	struct smbios_structure structure = {0};
	struct span rest, string;
	int r = secret_read(&table, STDIN_FILENO, (size_t)1024 * 1024, "stdin", err);

	rest = secret_span(&table);
	while (r == 0 && structure.type != SMBIOS_TYPE_END_OF_TABLE) {
		r = smbios_structure_next(&rest, &structure, err);
		if (r < 0 || structure.type != SMBIOS_TYPE_OEM_STRINGS)
			continue;
		while (smbios_string_next(&structure.strings, &string)) {
			fwrite(string.data, 1, string.size, stdout);
			fputc('\0', stdout);
		}
	}
	secret_destroy(&table);
	return r;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	int r = -1;

	if (argc > 2 && strcmp(argv[1], "encode") == 0)
		r = encode(argv + 2, (size_t)argc - 2, &err);
	else if (argc == 2 && strcmp(argv[1], "decode") == 0)
		r = decode(&err);
	if (r < 0)
		fprintf(stderr, "%s\n",
			err.text ? err.text : "usage: smbios encode STRING...|decode");
	error_clear(&err);
	return r < 0;
}
