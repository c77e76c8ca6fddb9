/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "oem/oem.h"

/*
 * What the hypervisors put into the same table, with room to spare. Measured: QEMU 7.2 (q35, one
 * CPU, 128 MiB) 309 bytes, and some 50 more for each further socket, memory slot or -smbios field
 * of the user; Cloud Hypervisor v53 24 for the entry point, 120 for its own structures, up to a few
 * hundred more for system_* and chassis_asset_tag, and behind the table its MP table with 220 bytes
 * and 20 for each CPU, which it leaves out with a warning where there is no room.
 */
#define HYPERVISOR_RESERVE 4096U

/* The 16-bit length field of the 32-bit entry point (DSP0134, 5.2.1). QEMU refuses more; Cloud
 * Hypervisor has a 64 KiB window from 0xF0000 and writes on into the kernel at 0x100000. With a
 * 64-bit entry point SeaBIOS cuts larger tables or loses them, without an error. */
#define SMBIOS_TABLE_SIZE_MAX 65535U

#define MEBIBYTE ((size_t)1024 * 1024)

static const struct limit {
	size_t max;
	const char *owner;
	const char *format; /* used, max */
	const char *source;
} limits[] = {
	[OEM_LIMIT_CREDENTIAL] = {MEBIBYTE, "systemd",
				  "the value has %zu bytes, and a credential may have %zu",
				  "systemd's limit, systemd.exec(5)"},
	[OEM_LIMIT_CREDENTIALS] = {MEBIBYTE, "systemd",
				   "all credentials together have %zu bytes, and may have %zu",
				   "systemd's limit, systemd.exec(5)"},
	[OEM_LIMIT_STRINGS] = {255, "SMBIOS",
			       "there are %zu OEM strings, and a table holds at most %zu",
			       "the count in an SMBIOS Type 11 structure is one byte"},
	[OEM_LIMIT_TABLE] =
		{SMBIOS_TABLE_SIZE_MAX - HYPERVISOR_RESERVE, "SMBIOS",
		 "the OEM strings need %zu bytes of the SMBIOS table, and have %zu",
		 "the whole table has 64 KiB, and the hypervisor's own structures need some"},
	/* Measured; micro_http's HTTP_MAX_PAYLOAD_SIZE. */
	[OEM_LIMIT_API_BODY] =
		{51200, "Cloud Hypervisor up to v53",
		 "the API request that carries the OEM strings has %zu bytes, and may have %zu",
		 "Cloud Hypervisor refuses more up to v53; later versions take 4 MiB"},
	[OEM_LIMIT_API_BODY_LARGE] =
		{4 * MEBIBYTE, "Cloud Hypervisor after v53",
		 "the API request that carries the OEM strings has %zu bytes, and may have %zu",
		 "Cloud Hypervisor refuses more"},
	/* FW_CFG_MAX_FILE_PATH without its NUL. */
	[OEM_LIMIT_FW_CFG_NAME] = {55, "QEMU",
				   "the fw_cfg file's name has %zu bytes, and may have %zu",
				   "QEMU refuses longer ones"},
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
	return error_set(err, VMCRED_FAILED, "%s (%s)", text, limits[limit].source);
}
