/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: what QEMU's command line says about OEM strings. Only the options that matter here
 * are read; all others are QEMU's business. Syntax: qemu(1), "key=value,…" with a doubled comma for
 * one in a value.
 */
#ifndef VMCRED_VMM_QEMU_ARGUMENTS_H
#define VMCRED_VMM_QEMU_ARGUMENTS_H

#include "vmm/vmm.h"

/* systemd looks for credentials in files of this name first, then in SMBIOS. */
#define QEMU_FW_CFG_PREFIX "opt/io.systemd.credentials/"

/* The driver's arguments_read(). */
int qemu_arguments_read(char *const *argv, struct oem_list *list, const struct report *report,
			struct error *err);

/* Whether the machine that the arguments ask for gives its guest an SMBIOS table at all. */
int qemu_machine_has_smbios(char *const *argv, bool *has, struct error *err);

#endif
