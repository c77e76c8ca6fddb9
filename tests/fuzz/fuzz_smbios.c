/* SPDX-License-Identifier: Apache-2.0 */
/* An SMBIOS table as vmcred-guest reads it: what is found is inside the table, and a credential has
 * the size that was promised. */
#include <stdlib.h>

#include "base/name.h"
#include "oem/oem.h"
#include "smbios/smbios.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside_check(struct span part, const uint8_t *data, size_t size)
{
	if (part.size > size ||
	    (part.size > 0 && (part.data < data || part.data + part.size > data + size)))
		abort();
}

static void literal_check(struct span string, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	struct oem_literal literal;

	if (oem_literal_parse(string, &literal, err) < 0 || literal.encoding == OEM_PLAIN)
		return;
	if (literal.name.size == 0 || literal.name.size > CREDENTIAL_NAME_SIZE_MAX ||
	    memchr(literal.name.data, '/', literal.name.size))
		abort();
	if (oem_literal_value(&literal, &value, err) < 0 || value.size != literal.value_size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span table = span_of(data, size), string;
	struct smbios_structure structure;
	struct error err = {0};

	while (table.size > 0 && smbios_structure_next(&table, &structure, &err) == 0) {
		inside_check(structure.strings, data, size);
		while (smbios_string_next(&structure.strings, &string)) {
			inside_check(string, data, size);
			literal_check(string, &err);
		}
	}
	error_clear(&err);
	return 0;
}
