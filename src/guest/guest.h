/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 7, receive: vmcred-guest, a small static program for guests whose init is not systemd,
 * and for initrds; with systemd, for values that change while the guest runs.
 *
 * `import` does what systemd's PID 1 does at boot, by the same rules: it puts the credentials from
 * QEMU's fw_cfg, the SMBIOS table and the initrd into /run/credentials/@system. The first
 * credential of a name wins, and one that is not valid is skipped with a warning: the others must
 * arrive. `exec` does what LoadCredential= does: a program sees its own credentials and no others.
 * `serve` answers LoadCredential= of units with the host's current value, and `watch` restarts or
 * reloads units when it has changed. `verify` compares what arrived at boot with the host's
 * manifest, and reports the result to the host.
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

/* What the host has appended to the initrd; the root of a guest that is one itself. */
#define GUEST_EXTRA        "/.extra/system_credentials"
#define GUEST_EXTRA_SUFFIX ".cred"

/* The credential's name of a file there, which the caller frees; NULL: it is not a credential. */
int guest_extra_name(const char *file, char **name, struct error *err);

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

/*
 * Answers one LoadCredential=CREDENTIAL:/run/vmcred/socket with the host's current value
 * (docs/protocol.md). `fd` is systemd's connection. On failure, the unit that waits for it fails.
 * `host` is a Unix socket that replaces the host's vsock port, or NULL. VMCRED_USAGE: the peer or
 * the VM may not have it.
 */
int guest_serve(int fd, const char *host, const struct report *report, struct error *err);

/* Sends what makes the unit fail that waits for an answer. */
void guest_refuse(int fd);

/*
 * Answers the connections to the socket that systemd passed, each with guest_serve() in a child;
 * returns there too, and in this process when none has come for a while.
 */
int guest_listen(const char *host, const struct report *report, struct error *err);

/*
 * Restarts or reloads units whenever the host announces another version of a credential than they
 * got from guest_serve(). Connects again whenever the connection ends, and never returns.
 */
int guest_watch(const char *host, const struct report *report);

/*
 * Compares /run/credentials/@system, or else GUEST_EXTRA, with the manifest in it
 * (delivery/delivery.h), and reports the result to the host. Needs root. VMCRED_INTEGRITY:
 * something did not arrive whole, and the host knows it. VMCRED_MISSING: no manifest arrived, and
 * the host knows it.
 */
int guest_verify(const char *host, const struct report *report, struct error *err);

#endif
