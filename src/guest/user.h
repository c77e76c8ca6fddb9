/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users of the guest, from /etc/passwd and /etc/group only: a static program cannot load the
 * modules that other sources need (nsswitch.conf(5)).
 */
#ifndef VMCRED_GUEST_USER_H
#define VMCRED_GUEST_USER_H

#include <sys/types.h>

#include "base/error.h"

struct user {
	uid_t uid;
	gid_t gid;
	char *name, *home; /* owned */
	gid_t *groups;     /* owned; the supplementary ones */
	size_t group_count;
};

#define _cleanup_user_ __attribute__((cleanup(user_destroy)))

/* `*user` must own nothing. VMCRED_MISSING: the user does not exist. */
int user_find(const char *name, struct user *user, struct error *err);

/* Gives up all privileges of root for the user's, and sets $HOME, $LOGNAME and $USER. */
int user_become(const struct user *user, struct error *err);

void user_destroy(struct user *user);

#endif
