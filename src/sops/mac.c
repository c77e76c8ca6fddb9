/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/cipher.h"

/*
 * What a MAC over encrypted values alone starts with, so that it never equals the other kind: the
 * SHA-256 of "sops", a constant of the format (MACOnlyEncryptedInitialization in its sources).
 */
static const uint8_t only_encrypted_start[] = {
	0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34,
	0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f,
	0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
};

int sops_mac_create(struct sops_mac *mac, bool only_encrypted, struct error *err)
{
	EVP_MD *digest = EVP_MD_fetch(NULL, "SHA512", NULL);
	int done = 0;

	mac->context = EVP_MD_CTX_new();
	if (digest && mac->context)
		done = EVP_DigestInit_ex2(mac->context, digest, NULL);
	EVP_MD_free(digest);
	if (done != 1) {
		sops_mac_destroy(mac);
		return sops_crypto_failed(err, "set up SHA-512");
	}
	if (only_encrypted)
		return sops_mac_add(
			mac, span_of(only_encrypted_start, sizeof(only_encrypted_start)), err);
	return 0;
}

void sops_mac_destroy(struct sops_mac *mac)
{
	EVP_MD_CTX_free(mac->context);
	mac->context = NULL;
}

int sops_mac_add(struct sops_mac *mac, struct span value, struct error *err)
{
	if (EVP_DigestUpdate(mac->context, value.data, value.size) != 1)
		return sops_crypto_failed(err, "compute SHA-512");
	return 0;
}

int sops_mac_finish(struct sops_mac *mac, uint8_t text[SOPS_MAC_TEXT_SIZE], struct error *err)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t digest[SOPS_MAC_TEXT_SIZE / 2];
	unsigned int size = 0;

	if (EVP_DigestFinal_ex(mac->context, digest, &size) != 1 || size != sizeof(digest))
		return sops_crypto_failed(err, "compute SHA-512");
	for (size_t i = 0; i < sizeof(digest); i++) {
		text[2 * i] = (uint8_t)digits[digest[i] >> 4];
		text[2 * i + 1] = (uint8_t)digits[digest[i] & 15];
	}
	memory_wipe(digest, sizeof(digest));
	return 0;
}
