/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/libcrypto.h"

#include <openssl/crypto.h>

/*
 * By default libcrypto reads openssl.cnf and fills tables for programs that look up algorithms as
 * before version 3, which takes a third of its start-up time. vmcred fetches everything by name
 * from the default provider. Nor is there anything to clean up at exit: the owner of a key frees,
 * and so wipes, it.
 */
void libcrypto_start(void)
{
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
					  OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_ATEXIT,
				  NULL);
}
