/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/digest/sha256.h"
#include "delivery/delivery.h"

#define BEGINNING "vmcred-manifest-1 "
#define SALT_SIZE 16
#define MAC_SIZE  16 /* the first bytes of HMAC-SHA256 */
#define MAC_TEXT  22 /* in Base64 */

#define NUMBER_SIZE sizeof("18446744073709551615")

int delivery_manifest_create(struct secret *manifest, struct error *err)
{
	_cleanup_secret_ struct secret salt = {0};
	int r = secret_create(&salt, SALT_SIZE, err);

	if (r == 0)
		r = secret_append_random(&salt, SALT_SIZE, err);
	if (r == 0)
		r = secret_create(manifest, 4096, err);
	if (r == 0)
		r = secret_append_text(manifest, BEGINNING, err);
	if (r == 0)
		r = base64_encode_secret(secret_span(&salt), BASE64_UNPADDED, manifest, err);
	return r < 0 ? r : secret_append_text(manifest, "\n", err);
}

static void mac_write(struct span salt, const char *name, struct span value, char text[MAC_TEXT])
{
	/* The name with its NUL: neither can be moved into the other. */
	const struct span parts[] = {span_of(name, strlen(name) + 1), value};
	uint8_t mac[SHA256_SIZE];

	hmac_sha256(salt, parts, 2, mac);
	base64_encode(span_of(mac, MAC_SIZE), BASE64_UNPADDED, text);
	memory_wipe(mac, sizeof(mac));
}

int delivery_manifest_add(struct secret *manifest, const char *name, struct span value,
			  struct error *err)
{
	const struct span salt = span_of(manifest->data + strlen(BEGINNING), MAC_TEXT);
	char size[NUMBER_SIZE + 2], mac[MAC_TEXT + 1];
	int r;

	snprintf(size, sizeof(size), " %zu ", value.size);
	memset(mac, '-', MAC_TEXT);
	/* First: the manifest moves when it grows. */
	if (value.data || value.size == 0)
		mac_write(salt, name, value, mac);
	mac[MAC_TEXT] = '\n';
	r = secret_append_text(manifest, name, err);
	if (r == 0)
		r = secret_append_text(manifest, size, err);
	if (r == 0)
		r = secret_append(manifest, span_of(mac, sizeof(mac)), err);
	memory_wipe(mac, sizeof(mac));
	return r;
}

static int damaged(struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY, "credential " DELIVERY_MANIFEST " is damaged");
}

/* Removes the first line, which must be whole. */
static bool line_take(struct span *text, struct span *line)
{
	return text->size > 0 && memchr(text->data, '\n', text->size) && span_take_line(text, line);
}

int delivery_manifest_read(struct span text, struct delivery_manifest *manifest, struct error *err)
{
	const struct span beginning = span_of_text(BEGINNING);
	struct span line;

	if (!line_take(&text, &line) || !span_starts_with(line, beginning) ||
	    line.size != beginning.size + MAC_TEXT)
		return damaged(err);
	*manifest = (struct delivery_manifest){span_skip(line, beginning.size), text};
	return 0;
}

/* Reads a number up to its end, without a sign. */
static bool number_read(struct span digits, size_t *number)
{
	*number = 0;
	for (size_t i = 0; i < digits.size; i++) {
		const uint8_t digit = digits.data[i];

		if (digit < '0' || digit > '9' || *number > DELIVERY_MANIFEST_SIZE_MAX)
			return false;
		*number = *number * 10 + (size_t)(digit - '0');
	}
	return digits.size > 0;
}

/* "NAME SIZE MAC": a name can have spaces. */
static bool entry_parse(struct span line, struct delivery_entry *entry)
{
	size_t name, digits;

	if (line.size < 1 + MAC_TEXT || line.data[line.size - MAC_TEXT - 1] != ' ')
		return false;
	entry->mac = span_of(line.data + line.size - MAC_TEXT, MAC_TEXT);
	line.size -= MAC_TEXT + 1;
	for (name = line.size; name > 0 && line.data[name - 1] != ' ';)
		name--;
	digits = line.size - name;
	if (name < 2 || name - 1 > CREDENTIAL_NAME_SIZE_MAX ||
	    !number_read(span_of(line.data + name, digits), &entry->size))
		return false;
	memcpy(entry->name, line.data, name - 1);
	entry->name[name - 1] = '\0';
	return !memchr(line.data, '\0', name - 1);
}

int delivery_manifest_next(struct delivery_manifest *manifest, struct delivery_entry *entry,
			   bool *is_one, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	struct span line;

	*is_one = manifest->rest.size > 0;
	if (!*is_one)
		return 0;
	/* The name becomes that of a file. */
	if (!line_take(&manifest->rest, &line) || !entry_parse(line, entry) ||
	    credential_name_check(entry->name, &ignored) < 0)
		return damaged(err);
	return 0;
}

enum channel_problem delivery_entry_check(const struct delivery_manifest *manifest,
					  const struct delivery_entry *entry, struct span value)
{
	char mac[MAC_TEXT];
	bool is_same;

	if (value.size < entry->size)
		return CHANNEL_CUT;
	mac_write(manifest->salt, entry->name, value, mac);
	is_same = value.size == entry->size && secret_equal(span_of(mac, sizeof(mac)), entry->mac);
	memory_wipe(mac, sizeof(mac));
	return is_same ? CHANNEL_MORE : CHANNEL_CHANGED;
}
