/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is announced to guests that watch. Files are checked, since a store can be replaced in many
 * ways, and a watch of inotify(7) would miss some, such as another target of a link. A changed
 * document is decrypted, and announced if its value has changed.
 */
#include <string.h>

#include "activate/serve/source.h"
#include "base/cleanup.h"
#include "base/clock.h"

/* FNV-1a: the numbers are not an attacker's. */
static void mix(uint64_t *hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ bytes[i]) * 0x100000001b3;
}

static void mix_file(uint64_t *hash, const struct stat *file)
{
	mix(hash, &file->st_dev, sizeof(file->st_dev));
	mix(hash, &file->st_ino, sizeof(file->st_ino));
	mix(hash, &file->st_size, sizeof(file->st_size));
	mix(hash, &file->st_mtim, sizeof(file->st_mtim));
	mix(hash, &file->st_ctim, sizeof(file->st_ctim));
}

/* Changes when the document does, or the identity. */
static uint64_t fingerprint(const struct serve_source *source, const struct config_vm *vm,
			    const struct config_load *load)
{
	const struct stat document = serve_source_stat(source, vm, load);
	uint64_t hash = 0xcbf29ce484222325;

	mix_file(&hash, &source->identity_watch.seen);
	mix_file(&hash, &document);
	mix(&hash, load->credential, strlen(load->credential));
	return hash;
}

/* Reads a credential. One that cannot be read stays unreadable until its document changes. */
static int seen_read(const struct serve_source *source, const struct config_load *load,
		     const char *unit, struct serve_guest *guest, struct serve_seen *seen,
		     struct error *err)
{
	struct serve_request request = {.is_guest = true};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret value = {0};
	bool left_out;

	memcpy(request.asked.unit, unit, strnlen(unit, LOAD_ADDRESS_MAX));
	memcpy(request.asked.credential, load->credential,
	       strnlen(load->credential, CREDENTIAL_NAME_SIZE_MAX));
	guest->cost += GUEST_DOCUMENT_BYTES;
	if (serve_source_read(source, &request, &value, &left_out, &ignored) < 0)
		return 0;
	guest->cost += value.size;
	seen->is_readable = true;
	return serve_key_version(guest->key, load->credential, secret_span(&value), seen->version,
				 err);
}

static int seen_update(const struct serve_source *source, const struct config_vm *vm, size_t index,
		       const char *unit, struct serve_guest *guest, struct error *err)
{
	const struct config_load *load = &vm->channel[index];
	struct serve_seen *seen = &guest->seen[index];
	/* First: a change while the document is read is noticed at the next check. */
	struct serve_seen now = {.fingerprint = fingerprint(source, vm, load)};
	int r;

	if (now.fingerprint == seen->fingerprint)
		return 0;
	r = seen_read(source, load, unit, guest, &now, err);
	if (now.is_readable != seen->is_readable ||
	    memcmp(now.version, seen->version, sizeof(now.version)) != 0)
		guest->has_news = true;
	*seen = now;
	return r;
}

static int announce_write(const struct config_vm *vm, const struct serve_guest *guest,
			  uint8_t *bytes, size_t *size, struct error *err)
{
	*size = channel_announce_write(bytes);
	for (size_t i = 0; i < guest->seen_count; i++) {
		const char *name = vm->channel[i].credential;
		struct channel_version version = {0};

		if (!guest->seen[i].is_readable)
			continue;
		memcpy(version.credential, name, strnlen(name, CREDENTIAL_NAME_SIZE_MAX));
		memcpy(version.version, guest->seen[i].version, sizeof(version.version));
		*size = channel_announce_add(bytes, *size, &version);
		if (*size == 0)
			return error_set(
				err, VMCRED_FAILED,
				"channelCredentials are more than an announcement can have");
	}
	return 0;
}

int serve_source_announce(const struct serve_source *source, const char *unit,
			  struct serve_guest *guest, int64_t until, bool *is_complete,
			  uint8_t **announce, size_t *size, struct error *err)
{
	const struct config_vm *vm = config_vm_of_unit(&source->config, unit);
	const size_t count = vm ? vm->channel_count : 0, cost = guest->cost;
	int r = 0;

	*size = 0;
	if (!guest->seen || guest->seen_count != count) {
		free(guest->seen);
		guest->seen = calloc(count + 1, sizeof(*guest->seen));
		guest->seen_count = guest->seen ? count : 0;
		guest->seen_next = 0;
		guest->has_news = true;
		if (!guest->seen)
			return error_no_memory(err);
	}
	/* The names may be others. */
	if (guest->seen_reading != source->readings)
		guest->seen_next = 0;
	guest->seen_reading = source->readings;
	/* At least one document, so that it comes to an end. */
	while (r == 0 && guest->seen_next < count &&
	       (guest->cost == cost || clock_now_ms() <= until))
		r = seen_update(source, vm, guest->seen_next++, unit, guest, err);
	*is_complete = guest->seen_next >= count;
	if (r < 0 || !*is_complete)
		return r;
	guest->seen_next = 0;
	if (!guest->has_news)
		return 0;
	guest->has_news = false;
	*announce = malloc(CHANNEL_ANNOUNCE_SIZE_MAX);
	return *announce ? announce_write(vm, guest, *announce, size, err) : error_no_memory(err);
}
