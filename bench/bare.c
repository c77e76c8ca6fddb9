/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a program which opens an age file must do: load libcrypto and compute one X25519.
 */
#include <openssl/evp.h>
#include <string.h>

int main(void)
{
	unsigned char scalar[32], shared[32];
	size_t size = sizeof(shared);
	EVP_PKEY *key, *peer;
	EVP_PKEY_CTX *context;

	memset(scalar, 0x42, sizeof(scalar));
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, scalar, sizeof(scalar));
	scalar[0] = 9;
	peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, scalar, sizeof(scalar));
	context = EVP_PKEY_CTX_new(key, NULL);
	if (!context || EVP_PKEY_derive_init(context) <= 0 ||
	    EVP_PKEY_derive_set_peer(context, peer) <= 0 ||
	    EVP_PKEY_derive(context, shared, &size) <= 0)
		return 1;
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(key);
	return 0;
}
