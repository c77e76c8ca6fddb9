/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads SMBIOS tables, as far as OEM strings need it: the strings of each structure. The
 * hypervisors build the tables; a guest without systemd reads its table with it, and vmcred-run
 * those in a user's files.
 *
 * Tables are not trusted: every length is checked. Returned spans point into the caller's table.
 * Follows DSP0134 version 3.7, sections 6.1 (structures) and 7.12 (Type 11).
 */
#ifndef VMCRED_SMBIOS_SMBIOS_H
#define VMCRED_SMBIOS_SMBIOS_H

#include "base/error.h"
#include "base/span.h"

#define SMBIOS_TYPE_OEM_STRINGS  11
#define SMBIOS_TYPE_END_OF_TABLE 127

struct smbios_structure {
	uint8_t type;
	struct span strings; /* the string-set with its NULs, except the last */
};

/* Removes the first structure from `table`. VMCRED_FAILED: truncated or malformed. */
int smbios_structure_next(struct span *table, struct smbios_structure *structure,
			  struct error *err);

/* Removes the first string from a string-set; false at its end. */
bool smbios_string_next(struct span *strings, struct span *string);

#endif
