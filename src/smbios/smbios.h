/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMBIOS tables, as far as OEM strings need them: encodes and decodes the Type 11 structure, and
 * walks over all others. The hypervisors build their own tables; the tests check those with it, and
 * a guest without systemd reads its table with it.
 *
 * Tables come from a guest or a file and are not trusted: every length is checked. Returned spans
 * point into the caller's table. Follows DSP0134 version 3.7, sections 5.2.2 (entry point), 6.1
 * (structures) and 7.12 (Type 11).
 */
#ifndef VMCRED_SMBIOS_SMBIOS_H
#define VMCRED_SMBIOS_SMBIOS_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define SMBIOS_TYPE_OEM_STRINGS  11
#define SMBIOS_TYPE_END_OF_TABLE 127

/* Size of the 64-bit entry point, section 5.2.2. */
#define SMBIOS_ENTRY_POINT_SIZE 24

struct smbios_structure {
	uint8_t type;
	uint16_t handle;
	struct span formatted; /* header included */
	struct span strings;   /* the string-set with its NULs, except the last */
};

/* Removes the first structure from `table`. VMCRED_FAILED: truncated or malformed. */
int smbios_structure_next(struct span *table, struct smbios_structure *structure,
			  struct error *err);

/* Removes the first string from a string-set; false at its end. */
bool smbios_string_next(struct span *strings, struct span *string);

/*
 * Appends a Type 11 structure to `table`, with 1 to 255 strings that are not empty and contain no
 * NUL (else VMCRED_FAILED).
 */
int smbios_type11_encode(const struct span *strings, size_t count, uint16_t handle,
			 struct secret *table, struct error *err);

/* Appends the structure that ends a table. */
int smbios_end_encode(uint16_t handle, struct secret *table, struct error *err);

/* A 64-bit entry point for a table of `table_size` bytes at `table_address`. */
void smbios_entry_point_encode(uint64_t table_address, uint32_t table_size,
			       uint8_t entry_point[SMBIOS_ENTRY_POINT_SIZE]);

#endif
