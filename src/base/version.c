/* SPDX-License-Identifier: Apache-2.0 */

#include <vmcred.h>

const char *vmcred_version(void)
{
	return VMCRED_VERSION;
}
