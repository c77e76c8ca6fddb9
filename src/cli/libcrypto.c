/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>

#include "cli/cli.h"

/*
 * By default libcrypto reads openssl.cnf and fills tables for lookups of version 1.1, a third of
 * its start-up time. vmcred fetches all algorithms by name from the default provider. No cleanup at
 * exit: the owner of a key frees, and so wipes, it.
 */
void libcrypto_start(void)
{
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
					  OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_ATEXIT,
				  NULL);
}
