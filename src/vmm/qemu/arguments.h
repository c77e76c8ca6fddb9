/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: what QEMU's command line says about OEM strings, and the reading of it that the
 * other questions share (qemu_machine.h). Only the options that matter here are read; all others
 * are QEMU's business. Syntax: qemu(1), "key=value,…" with a doubled comma for one in a value.
 */
#ifndef VMCRED_VMM_QEMU_ARGUMENTS_H
#define VMCRED_VMM_QEMU_ARGUMENTS_H

#include "vmm/vmm.h"

/* systemd looks for credentials in files of this name first, then in SMBIOS. */
#define QEMU_FW_CFG_PREFIX "opt/io.systemd.credentials/"

/* The driver's arguments_read(). */
int qemu_arguments_read(char *const *argv, struct oem_list *list, const struct report *report,
			struct error *err);

/*
 * Calls `each` for every option of the command line that this program reads, with its name ("M" as
 * "machine") and its value ("" where it takes none), and for the sections of a file of -readconfig,
 * which are options by another name. Stops at its first error.
 */
int qemu_options_visit(char *const *argv,
		       int (*each)(void *data, const char *option, const char *value,
				   struct error *err),
		       void *data, struct error *err);

/*
 * Calls `each` for every pair of an option's value. A first word without '=' is the value of
 * `implied` (may be NULL); others are switches, with an empty value.
 */
int qemu_pairs_visit(const char *option, const char *implied,
		     int (*each)(void *data, const char *key, const char *value, struct error *err),
		     void *data, struct error *err);

#endif
