/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/address.h"

#include <stddef.h>
#include <string.h>

#include "base/span.h"

#define RANDOM_DIGITS_MAX 16 /* of a 64-bit number */
#define MARK              "/unit/"

static bool is_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Units and credentials have names of printable ASCII. Nothing else gets into a log. */
static bool is_printable(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return false;
	}
	return true;
}

static struct span skip(struct span text, size_t size)
{
	return span_of(text.data + size, text.size - size);
}

static void name_copy(char *name, struct span text)
{
	memcpy(name, text.data, text.size);
	name[text.size] = '\0';
}

static int not_systemd(struct error *err)
{
	error_set(err, VMCRED_FAILED, "the peer's address is not one of systemd's");
	return error_hint(err, "the socket is for LoadCredential= of the VMs' units");
}

int serve_address_parse(const struct sockaddr_un *address, socklen_t size,
			struct serve_address *parsed, struct error *err)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	struct span text;
	const uint8_t *slash;
	size_t digits = 0;

	*parsed = (struct serve_address){0};
	if (size <= head + 1 || size > sizeof(*address) || address->sun_family != AF_UNIX ||
	    address->sun_path[0] != '\0')
		return not_systemd(err);
	text = span_of(address->sun_path + 1, size - head - 1);
	parsed->is_full = text.size == SERVE_ADDRESS_MAX;
	while (digits < text.size && is_hex(text.data[digits]))
		digits++;
	text = skip(text, digits);
	if (digits == 0 || digits > RANDOM_DIGITS_MAX || !is_printable(text) ||
	    !span_starts_with(text, span_of_text(MARK)))
		return not_systemd(err);
	text = skip(text, strlen(MARK));
	slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
	if (!slash && parsed->is_full) {
		error_set(err, VMCRED_FAILED,
			  "the name of the unit is too long: the peer's address ends before it");
		return error_hint(err, "give the VM a unit with a shorter name");
	}
	if (!slash || slash == text.data)
		return not_systemd(err);
	name_copy(parsed->unit, span_of(text.data, (size_t)(slash - text.data)));
	text = skip(text, (size_t)(slash - text.data) + 1);
	/* Where the address is full, nothing may be left of the credential's name. */
	if ((text.size == 0 && !parsed->is_full) || memchr(text.data, '/', text.size))
		return not_systemd(err);
	name_copy(parsed->credential, text);
	return 0;
}
