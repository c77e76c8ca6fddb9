/* SPDX-License-Identifier: Apache-2.0 */
/* The policy as namespaces of our own. Each function returns NULL, or what failed, with errno. */
#ifndef VMCRED_SANDBOX_NAMESPACES_H
#define VMCRED_SANDBOX_NAMESPACES_H

#include "sandbox/policy.h"

/* In the process whose children are in the sandbox. */
const char *namespaces_enter(void);

/* In the first of these. The script's directory is `mount`, a detached mount, or else, if that is
 * -1, `directory`. The working directory is the script's afterwards. */
const char *namespaces_fill(struct policy *policy, const char *directory, int mount);

/* The same, at last: gives up what could undo the above. */
const char *namespaces_seal(void);

#endif
