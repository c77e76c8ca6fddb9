/* SPDX-License-Identifier: Apache-2.0 */
/* A file of its own: what is linked for the version alone needs no more of the library. */
#include <vmcred.h>

const char *vmcred_version(void)
{
	return VMCRED_VERSION;
}
