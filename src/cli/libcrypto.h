/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_LIBCRYPTO_H
#define VMCRED_CLI_LIBCRYPTO_H

/* Initializes libcrypto with no more than vmcred needs. Called first in main(). */
void libcrypto_start(void);

#endif
