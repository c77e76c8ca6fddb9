/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's address: if it is accepted, its parts put together again are the address. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The name must be a number of 1 to 16 digits, then "/unit/UNIT/CREDENTIAL". */
static void parsed_check(const struct load_address *parsed, const char *name, size_t size)
{
	char end[2 * LOAD_ADDRESS_MAX + 16];
	int length = snprintf(end, sizeof(end), "/unit/%s/%s", parsed->unit, parsed->credential);

	if (length < 0 || (size_t)length >= size || size - (size_t)length > 16 ||
	    memcmp(name + size - (size_t)length, end, (size_t)length) != 0)
		abort();
	if (!parsed->unit[0] || strchr(parsed->unit, '/') || strchr(parsed->credential, '/'))
		abort();
	if (parsed->is_full != (size == LOAD_ADDRESS_MAX) ||
	    (!parsed->credential[0] && !parsed->is_full))
		abort();
	for (const char *c = end; *c; c++) {
		if (*c <= ' ' || *c > '~')
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct load_address parsed;
	struct error err = {0};

	/* The first byte decides whether it is an abstract address. */
	if (size > sizeof(address.sun_path))
		size = sizeof(address.sun_path);
	memcpy(address.sun_path, data, size);
	if (load_address_parse(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size),
			       &parsed, &err) == 0) {
		if (size < 1 || data[0] != 0)
			abort();
		parsed_check(&parsed, address.sun_path + 1, size - 1);
	}
	error_clear(&err);
	return 0;
}
