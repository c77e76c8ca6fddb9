/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMBIOS tables, as far as OEM strings need them: the Type 11 structure is written and read, other
 * structures are walked over. The hypervisors write their own tables; this is for checking what
 * they wrote, and for tables that real readers (dmidecode, the kernel) are tested with.
 *
 * Tables that are read come from a guest or a file and are not trusted: every length is checked.
 * Spans that are given out point into the caller's table. Followed: DSP0134 version 3.7,
 * sections 5.2.2 (entry point), 6.1 (structures), 7.12 (Type 11).
 */
#ifndef VMCRED_SMBIOS_SMBIOS_H
#define VMCRED_SMBIOS_SMBIOS_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define SMBIOS_TYPE_OEM_STRINGS  11
#define SMBIOS_TYPE_END_OF_TABLE 127

/* The 64-bit entry point's size, section 5.2.2. */
#define SMBIOS_ENTRY_POINT_SIZE 24

struct smbios_structure {
	uint8_t type;
	uint16_t handle;
	struct span formatted; /* header included */
	struct span strings;   /* the string-set with its NULs, without the one that ends it */
};

/* Takes the next structure off the front of `table`. VMCRED_FAILED: cut off or malformed. */
int smbios_structure_next(struct span *table, struct smbios_structure *structure,
			  struct error *err);

/* Takes the next string off the front of a string-set; false at its end. */
bool smbios_string_next(struct span *strings, struct span *string);

/*
 * Adds a Type 11 structure to `table`. The strings may not be empty or hold a NUL, and there may be
 * 1 to 255 of them (VMCRED_FAILED).
 */
int smbios_type11_encode(const struct span *strings, size_t count, uint16_t handle,
			 struct secret *table, struct error *err);

/* Adds the structure that ends a table. */
int smbios_end_encode(uint16_t handle, struct secret *table, struct error *err);

/* A 64-bit entry point for a table of `table_size` bytes at `table_address`. */
void smbios_entry_point_encode(uint64_t table_address, uint32_t table_size,
			       uint8_t entry_point[SMBIOS_ENTRY_POINT_SIZE]);

#endif
