/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/builtin/pem.h"

#include <openssl/err.h>
#include <string.h>

#include "base/base64.h"

#define PEM_COLUMNS 64 /* RFC 7468, section 2 */

#define LABEL_PRIVATE     "PRIVATE KEY"
#define LABEL_PUBLIC      "PUBLIC KEY"
#define LABEL_CERTIFICATE "CERTIFICATE"

int key_failed(struct error *err, const char *what)
{
	ERR_clear_error();
	return error_set(err, VMCRED_FAILED, "libcrypto failed to %s", what);
}

static int boundary_append(const char *keyword, const char *label, struct secret *out,
			   struct error *err)
{
	const char *const parts[] = {"-----", keyword, " ", label, "-----\n"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		r = secret_append_text(out, parts[i], err);
	return r;
}

int pem_append(const char *label, struct span bytes, size_t columns, struct secret *out,
	       struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = base64_encode_secret(bytes, BASE64_PADDED, &text, err);

	if (r == 0)
		r = boundary_append("BEGIN", label, out, err);
	for (size_t at = 0; r == 0 && at < text.size; at += columns) {
		size_t left = text.size - at;

		r = secret_append(out, span_of(text.data + at, left < columns ? left : columns),
				  err);
		if (r == 0)
			r = secret_append_text(out, "\n", err);
	}
	return r < 0 ? r : boundary_append("END", label, out, err);
}

/* The bytes between two texts; without them, a span with data NULL. */
static struct span between(struct span text, struct span before, struct span after)
{
	const uint8_t *start = memmem(text.data, text.size, before.data, before.size), *end;

	if (!start || !after.data)
		return span_of(NULL, 0);
	start += before.size;
	end = memmem(start, text.size - (size_t)(start - text.data), after.data, after.size);
	return end ? span_of(start, (size_t)(end - start)) : span_of(NULL, 0);
}

/* Appends the bytes of the first block with the label. VMCRED_FAILED: there is none. */
static int pem_read(struct span text, const char *label, struct secret *bytes, struct error *err)
{
	_cleanup_secret_ struct secret begin = {0}, end = {0}, joined = {0};
	struct span body;
	int r = boundary_append("BEGIN", label, &begin, err);

	if (r == 0)
		r = boundary_append("END", label, &end, err);
	if (r < 0)
		return r;
	/* The last newline is optional. */
	body = between(text, secret_span(&begin), span_of(end.data, end.size - 1));
	if (!body.data)
		return error_set(err, VMCRED_FAILED, "no PEM block %s", label);
	for (size_t i = 0; r == 0 && i < body.size; i++) {
		if (!strchr("\r\n", body.data[i]))
			r = secret_append(&joined, span_of(body.data + i, 1), err);
	}
	return r < 0 ? r : base64_decode_secret(secret_span(&joined), BASE64_PADDED, bytes, err);
}

/* Calls an i2d function twice: for the size, then to write to secret memory. */
#define DER_APPEND(call, object, der, err)                                              \
	__extension__({                                                                 \
		int der_size = call(object, NULL);                                      \
		int der_r = der_size <= 0 ? key_failed(err, "encode a key")             \
					  : secret_reserve(der, (size_t)der_size, err); \
		if (der_r == 0) {                                                       \
			unsigned char *der_to = (der)->data;                            \
			(der)->size = (size_t)call(object, &der_to);                    \
		}                                                                       \
		der_r;                                                                  \
	})

int key_private_pem(const EVP_PKEY *key, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret der = {0};
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int r = info ? DER_APPEND(i2d_PKCS8_PRIV_KEY_INFO, info, &der, err)
		     : key_failed(err, "encode a key");

	PKCS8_PRIV_KEY_INFO_free(info);
	return r < 0 ? r : pem_append(LABEL_PRIVATE, secret_span(&der), PEM_COLUMNS, out, err);
}

int key_public_pem(const EVP_PKEY *key, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret der = {0};
	int r = DER_APPEND(i2d_PUBKEY, key, &der, err);

	return r < 0 ? r : pem_append(LABEL_PUBLIC, secret_span(&der), PEM_COLUMNS, out, err);
}

int key_private_read(struct span text, EVP_PKEY **key, struct error *err)
{
	_cleanup_secret_ struct secret der = {0};
	int r = pem_read(text, LABEL_PRIVATE, &der, err);
	const unsigned char *at = der.data;

	if (r < 0)
		return r;
	*key = d2i_AutoPrivateKey(NULL, &at, (long)der.size);
	return *key ? 0 : key_failed(err, "read the private key");
}

int certificate_pem(const X509 *certificate, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret der = {0};
	int r = DER_APPEND(i2d_X509, certificate, &der, err);

	return r < 0 ? r : pem_append(LABEL_CERTIFICATE, secret_span(&der), PEM_COLUMNS, out, err);
}

int certificate_read(struct span text, X509 **certificate, struct error *err)
{
	_cleanup_secret_ struct secret der = {0};
	int r = pem_read(text, LABEL_CERTIFICATE, &der, err);
	const unsigned char *at = der.data;

	if (r < 0)
		return r;
	*certificate = d2i_X509(NULL, &at, (long)der.size);
	return *certificate ? 0 : key_failed(err, "read the certificate");
}
