/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside oem/: what a literal OEM string is.
 */
#ifndef VMCRED_OEM_OEM_STRING_H
#define VMCRED_OEM_OEM_STRING_H

#include "oem/oem.h"

struct oem_literal {
	enum oem_encoding encoding;
	struct span name;  /* points into the string; empty for OEM_PLAIN */
	struct span value; /* as it stands there: Base64 for OEM_BINARY */
	size_t value_size; /* bytes that the guest gets */
};

/*
 * Takes a string apart. VMCRED_USAGE: empty, with a NUL, or a credential that systemd would drop.
 */
int oem_literal_parse(struct span text, struct oem_literal *literal, struct error *err);

#endif
