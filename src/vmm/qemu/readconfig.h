/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: a file of QEMU's -readconfig: `[group "id"]` and, below it, lines `key = "value"`.
 */
#ifndef VMCRED_VMM_QEMU_READCONFIG_H
#define VMCRED_VMM_QEMU_READCONFIG_H

#include "base/error.h"

/*
 * Calls `each` for every section with its group's name and its pairs as "key=value,…" with commas
 * doubled. A file that is not there or has another form is QEMU's to complain about: not an error.
 */
int qemu_readconfig_visit(const char *path,
			  int (*each)(void *data, const char *group, const char *pairs,
				      struct error *err),
			  void *data, struct error *err);

#endif
