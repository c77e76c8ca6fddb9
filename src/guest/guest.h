/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 7, receive: vmcred-guest, a small static program for guests whose init is not systemd,
 * and for initrds.
 *
 * `import` does what systemd's PID 1 does at boot, by the same rules: it puts the credentials from
 * QEMU's fw_cfg, the SMBIOS table and the initrd into /run/credentials/@system. The first
 * credential of a name wins, and one that is not valid is skipped with a warning: the others must
 * arrive. `exec` does what LoadCredential= does: a program sees its own credentials and no others.
 *
 * Trusted: the host, which could change the guest's memory anyway, and so the guest's firmware and
 * initrd. All the same every length is checked. Not trusted: other processes of the guest, unless
 * they are root's. Specifications: systemd(1) "System credentials", systemd's
 * src/core/import-creds.c, systemd.exec(5) LoadCredential=.
 */
#ifndef VMCRED_GUEST_GUEST_H
#define VMCRED_GUEST_GUEST_H

#include "base/error.h"
#include "base/report.h"

#define GUEST_CREDENTIALS "/run/credentials"
/* In that directory. */
#define GUEST_SYSTEM      "@system"
#define GUEST_INITRD      "@initrd"

enum guest_import {
	GUEST_IMPORT_ALL,
	/* In an initrd, for systemd 254 or later in the system that is booted: it takes over what
	 * is in /run/credentials/@initrd, and reads the other sources itself. */
	GUEST_IMPORT_INITRD,
};

/* Imports what there is. Needs root. VMCRED_FAILED: a credential could not be stored. */
int guest_import(enum guest_import kind, const struct report *report, struct error *err);

struct guest_exec {
	const char *user;   /* owns the credentials and runs the program; NULL: this one */
	char *const *names; /* NULL-terminated: NAME=CREDENTIAL, or a NAME that is the same */
	char *const *argv;  /* NULL-terminated */
};

/*
 * Executes a program that finds its credentials in $CREDENTIALS_DIRECTORY. Needs root. Returns only
 * on failure; VMCRED_MISSING: a credential, the user or the program does not exist.
 */
int guest_exec(const struct guest_exec *exec, struct error *err);

#endif
