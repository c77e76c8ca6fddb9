/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_VMCRED_SOPS_USER_H
#define VMCRED_CLI_VMCRED_SOPS_USER_H

#include "base/error.h"

/*
 * Becomes another user for good, with the groups of that user, and sets HOME, USER and LOGNAME of
 * our environment accordingly (--user of exec-env and exec-file).
 */
int user_become(const char *name, struct error *err);

#endif
