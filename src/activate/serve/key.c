/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"

#define FILE_NAME "channel.key"
#define ID_SIZE   CHANNEL_ID_SIZE

#define INVOCATION_SIZE 32

int serve_key_read(const char *runtime, struct secret *boot_key, struct error *err)
{
	_cleanup_secret_ struct secret fresh = {0};
	_cleanup_close_ int dirfd = -1;
	int r;

	if (!runtime) {
		error_set(err, VMCRED_USAGE, "vmcred serve has no directory for the channel's key");
		return error_hint(err, "start it with vmcred.service, which has RuntimeDirectory=");
	}
	dirfd = dir_open(AT_FDCWD, runtime, err);
	if (dirfd < 0)
		return dirfd;
	r = file_read_secret(dirfd, FILE_NAME, SERVE_KEY_SIZE, boot_key, err);
	if (r == 0 && boot_key->size != SERVE_KEY_SIZE) {
		secret_destroy(boot_key);
		return error_set(err, VMCRED_INTEGRITY, "%s/" FILE_NAME " is damaged", runtime);
	}
	if (r != -VMCRED_MISSING)
		return r;
	error_clear(err);
	r = secret_create(&fresh, SERVE_KEY_SIZE, err);
	if (r == 0)
		r = secret_append_random(&fresh, SERVE_KEY_SIZE, err);
	if (r == 0)
		r = file_replace(dirfd, FILE_NAME, secret_span(&fresh), S_IRUSR | S_IWUSR, err);
	if (r == 0)
		secret_move(boot_key, &fresh);
	return r;
}

static int hmac(struct span key, struct span bytes, uint8_t mac[SERVE_KEY_SIZE], struct error *err)
{
	unsigned int size = SERVE_KEY_SIZE;

	if (HMAC(EVP_sha256(), key.data, (int)key.size, bytes.data, bytes.size, mac, &size))
		return 0;
	return error_set(err, VMCRED_FAILED, "HMAC-SHA256 failed in libcrypto");
}

static int unit_key_derive(const struct secret *boot_key, const uint8_t id[ID_SIZE],
			   const char *unit, struct serve_unit_key *unit_key, struct error *err)
{
	static const char label[] = "unit"; /* with its NUL */
	uint8_t bytes[sizeof(label) + ID_SIZE + LOAD_ADDRESS_MAX];
	const size_t unit_size = strnlen(unit, LOAD_ADDRESS_MAX);

	memcpy(bytes, label, sizeof(label));
	memcpy(bytes + sizeof(label), id, ID_SIZE);
	memcpy(bytes + sizeof(label) + ID_SIZE, unit, unit_size);
	memcpy(unit_key->unit, unit, unit_size);
	return hmac(secret_span(boot_key), span_of(bytes, sizeof(label) + ID_SIZE + unit_size),
		    unit_key->key, err);
}

/* The invocation of the unit, which is a random number and changes with each start, as systemd
 * shows it; without systemd, another random number. */
static int id_choose(const char *unit, uint8_t id[ID_SIZE], struct error *err)
{
	char path[sizeof(LOAD_INVOCATION) + LOAD_ADDRESS_MAX], target[INVOCATION_SIZE + 2] = "";
	size_t size = 0;

	snprintf(path, sizeof(path), LOAD_INVOCATION "%s", unit);
	if (readlink(path, target, sizeof(target) - 1) == INVOCATION_SIZE &&
	    OPENSSL_hexstr2buf_ex(id, ID_SIZE, &size, target, '\0') && size == ID_SIZE)
		return 0;
	return getrandom(id, ID_SIZE, 0) == ID_SIZE ? 0
						    : error_set_errno(err, errno, "getrandom(2)");
}

static void hex_write(char *out, const uint8_t *bytes, size_t size)
{
	static const char digits[16] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

int serve_key_issue(const struct secret *boot_key, const char *unit, struct secret *credential,
		    struct serve_unit_key *unit_key, struct error *err)
{
	char id_hex[2 * ID_SIZE], key_hex[2 * SERVE_KEY_SIZE];
	const struct span parts[] = {
		span_of_text(CHANNEL_KEY_BEGINNING),
		span_of_text(unit),
		span_of_text(" "),
		span_of(id_hex, sizeof(id_hex)),
		span_of_text(" "),
		span_of(key_hex, sizeof(key_hex)),
		span_of_text("\n"),
	};
	_cleanup_secret_ struct secret text = {0};
	uint8_t id[ID_SIZE];
	int r = id_choose(unit, id, err);

	if (r == 0)
		r = secret_create(&text, SERVE_KEY_CREDENTIAL_MAX, err);
	if (r == 0)
		r = unit_key_derive(boot_key, id, unit, unit_key, err);
	if (r < 0)
		return r;
	hex_write(id_hex, id, ID_SIZE);
	hex_write(key_hex, unit_key->key, SERVE_KEY_SIZE);
	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		r = secret_append(&text, parts[i], err);
	memory_wipe(key_hex, sizeof(key_hex));
	if (r == 0)
		secret_move(credential, &text);
	return r;
}

static int mac_compare(const uint8_t own[SERVE_KEY_SIZE], const uint8_t claimed[SERVE_KEY_SIZE],
		       struct error *err)
{
	if (secret_equal(span_of(own, SERVE_KEY_SIZE), span_of(claimed, SERVE_KEY_SIZE)))
		return 0;
	error_set(err, VMCRED_FAILED, "its channel key is not valid");
	return error_hint(err, "restart the VM's unit; keys are valid until the next boot");
}

int serve_key_check(const struct secret *boot_key, struct span credential,
		    struct serve_unit_key *unit_key, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	struct channel_key claimed;
	int r;

	*unit_key = (struct serve_unit_key){0};
	if (channel_key_parse(credential, &claimed, &ignored) < 0)
		return error_set(err, VMCRED_FAILED, "it sent no channel key");
	r = unit_key_derive(boot_key, claimed.id, claimed.unit, unit_key, err);
	if (r == 0)
		r = mac_compare(unit_key->key, claimed.key, err);
	memory_wipe(&claimed, sizeof(claimed));
	if (r < 0)
		memory_wipe(unit_key, sizeof(*unit_key));
	return r;
}

int serve_key_prove(const struct secret *boot_key, const uint8_t nonce[CHANNEL_NONCE_SIZE],
		    const struct channel_request *request, struct serve_unit_key *unit_key,
		    struct error *err)
{
	const struct channel_proof *proof = &request->proof;
	uint8_t mac[SERVE_KEY_SIZE];
	int r;

	*unit_key = (struct serve_unit_key){0};
	if (!proof->unit[0]) {
		error_set(err, VMCRED_FAILED, "it did not prove which VM it is");
		return error_hint(err, "restart the VM, so that it gets a channel key");
	}
	r = unit_key_derive(boot_key, proof->id, proof->unit, unit_key, err);
	if (r == 0) {
		channel_proof_mac(unit_key->key, nonce, request->frame, mac);
		r = mac_compare(mac, proof->mac, err);
	}
	if (r < 0)
		memory_wipe(unit_key, sizeof(*unit_key));
	return r;
}

int serve_key_version(const uint8_t key[SERVE_KEY_SIZE], const char *credential, struct span value,
		      uint8_t version[CHANNEL_VALUE_VERSION_SIZE], struct error *err)
{
	static const char label[] = "value"; /* with its NUL */
	uint8_t bytes[sizeof(label) + CREDENTIAL_NAME_SIZE_MAX], mac[SERVE_KEY_SIZE];
	const size_t size = strnlen(credential, CREDENTIAL_NAME_SIZE_MAX);
	int r;

	memcpy(bytes, label, sizeof(label));
	memcpy(bytes + sizeof(label), credential, size);
	r = hmac(span_of(key, SERVE_KEY_SIZE), span_of(bytes, sizeof(label) + size), mac, err);
	if (r == 0)
		r = hmac(span_of(mac, sizeof(mac)), value, mac, err);
	memcpy(version, mac, CHANNEL_VALUE_VERSION_SIZE);
	memory_wipe(mac, sizeof(mac));
	return r;
}
