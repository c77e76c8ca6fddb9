/* SPDX-License-Identifier: Apache-2.0 */
#include "age/hpke.h"

#include "base/secret.h"

#define KDF_HKDF_SHA256        0x0001 /* RFC 9180, section 7.2 */
#define AEAD_CHACHA20_POLY1305 0x0003 /* section 7.3 */
#define MODE_BASE              0

/* "HPKE" and the three identifiers (section 5.1). */
#define SUITE_SIZE 10

struct schedule {
	uint8_t suite[SUITE_SIZE];
	uint8_t key[AGE_KEY_SIZE], nonce[AGE_NONCE_SIZE];
};

/* "HPKE-v1", the suite, a label and the input: what both labeled functions hash. */
static int label_add(struct secret *labeled, const struct schedule *s, const char *label,
		     struct span input, struct error *err)
{
	int r = secret_append_text(labeled, "HPKE-v1", err);

	if (r == 0)
		r = secret_append(labeled, span_of(s->suite, SUITE_SIZE), err);
	if (r == 0)
		r = secret_append_text(labeled, label, err);
	return r < 0 ? r : secret_append(labeled, input, err);
}

/* Section 4: LabeledExtract. */
static int labeled_extract(const struct schedule *s, struct span salt, const char *label,
			   struct span material, uint8_t out[AGE_KEY_SIZE], struct error *err)
{
	_cleanup_secret_ struct secret labeled = {0};
	int r = label_add(&labeled, s, label, material, err);

	return r < 0 ? r : age_hkdf_extract(salt, secret_span(&labeled), out, err);
}

/* Section 4: LabeledExpand. */
static int labeled_expand(const struct schedule *s, const uint8_t secret[AGE_KEY_SIZE],
			  const char *label, struct span info, uint8_t *out, size_t size,
			  struct error *err)
{
	const uint8_t length[] = {0, (uint8_t)size};
	_cleanup_secret_ struct secret labeled = {0};
	int r = secret_append(&labeled, span_of(length, sizeof(length)), err);

	if (r == 0)
		r = label_add(&labeled, s, label, info, err);
	return r < 0 ? r : age_hkdf_expand(secret, secret_span(&labeled), out, size, err);
}

/* Section 5.1: KeySchedule without a PSK. */
static int schedule_compute(struct schedule *s, uint16_t kem, struct span shared_secret,
			    const char *info, struct error *err)
{
	const struct span empty = span_of(NULL, 0);
	uint8_t context[1 + 2 * AGE_KEY_SIZE] = {MODE_BASE}, secret[AGE_KEY_SIZE];
	const uint8_t identifiers[] = {(uint8_t)(kem >> 8),   (uint8_t)kem, 0, KDF_HKDF_SHA256, 0,
				       AEAD_CHACHA20_POLY1305};
	struct span whole = span_of(context, sizeof(context));
	int r;

	memcpy(s->suite, "HPKE", 4);
	memcpy(s->suite + 4, identifiers, sizeof(identifiers));
	r = labeled_extract(s, empty, "psk_id_hash", empty, context + 1, err);
	if (r == 0)
		r = labeled_extract(s, empty, "info_hash", span_of_text(info),
				    context + 1 + AGE_KEY_SIZE, err);
	if (r == 0)
		r = labeled_extract(s, shared_secret, "secret", empty, secret, err);
	if (r == 0)
		r = labeled_expand(s, secret, "key", whole, s->key, AGE_KEY_SIZE, err);
	if (r == 0)
		r = labeled_expand(s, secret, "base_nonce", whole, s->nonce, AGE_NONCE_SIZE, err);
	memory_wipe(secret, sizeof(secret));
	return r;
}

int hpke_seal(uint16_t kem, struct span shared_secret, const char *info, struct span file_key,
	      uint8_t sealed[AGE_WRAPPED_SIZE], struct error *err)
{
	_cleanup_age_aead_ struct age_aead aead = {0};
	struct schedule s;
	int r = schedule_compute(&s, kem, shared_secret, info, err);

	if (r == 0)
		r = age_aead_create(&aead, s.key, AGE_ENCRYPT, err);
	/* The sequence number of the first message is 0, so the base nonce is its nonce. */
	if (r == 0)
		r = age_aead_seal(&aead, s.nonce, file_key, sealed, err);
	memory_wipe(&s, sizeof(s));
	return r;
}

int hpke_open(uint16_t kem, struct span shared_secret, const char *info, struct span sealed,
	      uint8_t file_key[AGE_FILE_KEY_SIZE], struct error *err)
{
	_cleanup_age_aead_ struct age_aead aead = {0};
	struct schedule s;
	int r = schedule_compute(&s, kem, shared_secret, info, err);

	if (r == 0)
		r = age_aead_create(&aead, s.key, AGE_DECRYPT, err);
	if (r == 0)
		r = age_aead_open(&aead, s.nonce, sealed, file_key, err);
	memory_wipe(&s, sizeof(s));
	return r;
}
