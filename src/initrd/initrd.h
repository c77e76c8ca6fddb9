/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 6, launch, for hypervisors without OEM strings: credentials as the last segment of an
 * initrd. The kernel unpacks segment after segment, so the guest's initrd gets these files:
 *
 *     /.extra                                  0555
 *     /.extra/system_credentials               0500
 *     /.extra/system_credentials/NAME.cred     0400
 *
 * systemd in an initrd imports them since version 262; older ones need help in the guest.
 *
 * The VMM reads a memory file with the user's initrd and the segment; nothing is written to a disk.
 * Its secret pages are locked, and overwritten once the VMM needs them no more, if that is known.
 *
 * Trusted: the path of the initrd, which is the user's. Not trusted: the values. Specifications:
 * the kernel's Documentation/driver-api/early-userspace/buffer-format.rst; systemd's
 * src/core/import-creds.c.
 */
#ifndef VMCRED_INITRD_INITRD_H
#define VMCRED_INITRD_INITRD_H

#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"
#include "oem/oem.h"

/* NAME.cred is a file name: NAME_MAX without the suffix. */
#define INITRD_NAME_SIZE_MAX 250

/* Whether a segment can carry all strings that the VMM's own arguments do not. VMCRED_USAGE: a
 * string that is not a credential, or a name that is too long. */
int initrd_check(const struct oem_list *list, struct error *err);

/* Appends the archive of these credentials to `out`. */
int initrd_segment_encode(const struct oem_list *list, struct secret *out, struct error *err);

struct initrd {
	int fd;   /* owned, O_CLOEXEC; for the VMM, which can only read it; -1: there is none */
	int file; /* owned, O_CLOEXEC; the same file, for writing */
	off_t size;
	uint8_t *secrets; /* owned; the mapped pages with the segment, or NULL */
	size_t secrets_size;
};

#define INITRD_NONE                  \
	(struct initrd)              \
	{                            \
		.fd = -1, .file = -1 \
	}

#define _cleanup_initrd_ __attribute__((cleanup(initrd_destroy)))

/*
 * Creates the memory file from the initrd at `path` and the list. Only this process's user can open
 * it as /dev/fd/N. `*initrd` is INITRD_NONE.
 */
int initrd_create(const char *path, const struct oem_list *list, struct initrd *initrd,
		  struct error *err);

/* For a VMM that reads the file again when the guest restarts: nobody can change it any more. */
int initrd_seal(struct initrd *initrd, struct error *err);

/* Overwrites the segment and frees the file's memory, for every process that has it open. The VMM
 * must have read it. */
void initrd_wipe(struct initrd *initrd);

/* Closes it; what another process has open keeps its content. */
void initrd_destroy(struct initrd *initrd);

#endif
