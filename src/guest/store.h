/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory in /run/credentials that only root can enter. @system is as systemd makes it: a
 * memory file system of its own, read-only outside of an import. @initrd is a plain directory,
 * which systemd removes. Another import waits.
 */
#ifndef VMCRED_GUEST_STORE_H
#define VMCRED_GUEST_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/lock.h"
#include "base/span.h"

struct store {
	bool is_initrd;   /* @initrd, not @system */
	int parent_dirfd; /* owned */
	struct lock lock; /* of it */
	int dirfd;        /* owned; -1 until the first credential comes */
	size_t size;      /* of the values that were added */
};

#define STORE_NONE                                                  \
	{                                                           \
		.parent_dirfd = -1, .lock = LOCK_NONE, .dirfd = -1, \
	}
#define _cleanup_store_ __attribute__((cleanup(store_close)))

/* Whether one more value of that size keeps systemd's limits; else VMCRED_FAILED. */
int store_size_check(const struct store *store, size_t size, struct error *err);

/* Adds a credential whose name and size have been checked. One that exists stays as it is. */
int store_add(struct store *store, const char *name, struct span value, struct error *err);

/* Makes it read-only again. */
void store_close(struct store *store);

/* Makes the mount at `path` writable or read-only. Returns 0, or -1 with errno set. */
int store_mount_set(const char *path, bool writable);

#endif
