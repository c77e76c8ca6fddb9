/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "oem/oem.h"

/*
 * Space for the hypervisors' own structures in the same table, with a margin. Measured: QEMU 7.2
 * (q35, one CPU, 128 MiB) 309 bytes, plus about 50 for each further socket, memory slot or -smbios
 * field of the user; Cloud Hypervisor v53 24 for the entry point, 120 for its own structures, up to
 * a few hundred for system_* and chassis_asset_tag, and after the table its MP table of 220 bytes
 * plus 20 for each CPU, which it omits with a warning if it does not fit.
 */
#define HYPERVISOR_RESERVE 4096U

/* The 16-bit length field of the 32-bit entry point (DSP0134, 5.2.1). QEMU refuses more; Cloud
 * Hypervisor has a 64 KiB window from 0xF0000 and overwrites the kernel at 0x100000. With a 64-bit
 * entry point SeaBIOS truncates or drops larger tables without an error. */
#define SMBIOS_TABLE_SIZE_MAX 65535U

/* Header, handle and count of a Type 11 structure (DSP0134, 7.12), and the NUL that ends its
 * string-set. */
#define TYPE11_FIXED_SIZE 6

#define MEBIBYTE ((size_t)1024 * 1024)

static const struct {
	size_t max;
	const char *owner;
	const char *format; /* used, max */
} limits[] = {
	[OEM_LIMIT_CREDENTIAL] = {MEBIBYTE, "systemd",
				  "the value has %zu bytes; the limit is %zu (systemd.exec(5))"},
	[OEM_LIMIT_CREDENTIALS] = {MEBIBYTE, "systemd",
				   "all credentials together have %zu bytes; the limit is %zu "
				   "(systemd.exec(5))"},
	/* The count in the structure is one byte. */
	[OEM_LIMIT_STRINGS] = {255, "SMBIOS", "%zu OEM strings; an SMBIOS table holds at most %zu"},
	[OEM_LIMIT_TABLE] = {SMBIOS_TABLE_SIZE_MAX - HYPERVISOR_RESERVE, "SMBIOS",
			     "the OEM strings need %zu bytes of the SMBIOS table; the limit is %zu "
			     "(64 KiB minus space for the hypervisor)"},
	/* Measured; micro_http's HTTP_MAX_PAYLOAD_SIZE. */
	[OEM_LIMIT_API_BODY] = {51200, "Cloud Hypervisor up to v53",
				"the API request with the OEM strings has %zu bytes; the limit of "
				"Cloud Hypervisor up to v53 is %zu (later versions: 4 MiB)"},
	[OEM_LIMIT_API_BODY_LARGE] = {4 * MEBIBYTE, "Cloud Hypervisor after v53",
				      "the API request with the OEM strings has %zu bytes; the "
				      "limit of Cloud Hypervisor is %zu"},
};

size_t oem_limit_max(enum oem_limit limit)
{
	return limits[limit].max;
}

const char *oem_limit_owner(enum oem_limit limit)
{
	return limits[limit].owner;
}

int oem_limit_check(enum oem_limit limit, size_t used, struct error *err)
{
	char text[160];

	if (used <= limits[limit].max)
		return 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the table's own literals */
	snprintf(text, sizeof(text), limits[limit].format, used, limits[limit].max);
#pragma GCC diagnostic pop
	return error_set(err, VMCRED_FAILED, "%s", text);
}

size_t oem_list_table_size(const struct oem_list *list)
{
	size_t size = TYPE11_FIXED_SIZE;

	for (size_t i = 0; i < list->count; i++)
		size += list->strings[i].text.size + 1;
	return list->count > 0 ? size : 0;
}

size_t oem_list_values_size(const struct oem_list *list)
{
	size_t size = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].name)
			size += list->strings[i].value_size;
	}
	return size;
}

/* Adds the largest string to an error. */
static int largest_hint(const struct oem_list *list, struct error *err)
{
	const struct oem_string *largest = list->strings;

	for (size_t i = 1; i < list->count; i++) {
		if (list->strings[i].text.size > largest->text.size)
			largest = &list->strings[i];
	}
	/* Plain strings have no name to show. */
	return error_hint(err, "the largest is %s with %zu bytes",
			  largest->name ? largest->name : "a plain string", largest->text.size);
}

int oem_list_check_values(const struct oem_list *list, struct error *err)
{
	int r = oem_limit_check(OEM_LIMIT_CREDENTIALS, oem_list_values_size(list), err);

	return r < 0 ? largest_hint(list, err) : 0;
}

int oem_list_check(const struct oem_list *list, struct error *err)
{
	int r = oem_limit_check(OEM_LIMIT_STRINGS, list->count, err);

	if (r < 0)
		return r;
	r = oem_limit_check(OEM_LIMIT_TABLE, oem_list_table_size(list), err);
	return r < 0 ? largest_hint(list, err) : oem_list_check_values(list, err);
}
