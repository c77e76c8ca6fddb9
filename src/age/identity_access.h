/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else can get at an identity file.
 */
#ifndef VMCRED_AGE_IDENTITY_ACCESS_H
#define VMCRED_AGE_IDENTITY_ACCESS_H

#include "base/error.h"

/*
 * Checks that an open file is a pipe, or a regular file to which nobody but its owner and the user
 * of this process has access. VMCRED_FAILED: it is not.
 */
int age_identity_access_check(int fd, const char *path, struct error *err);

#endif
