/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/base64.h"
#include "base/name.h"
#include "base/text.h"
#include "oem/oem.h"

static const char prefix_text[] = "io.systemd.credential:";
static const char prefix_binary[] = "io.systemd.credential.binary:";

/*
 * Whether a value can be sent as text. systemd accepts any byte but NUL, but JSON carries only
 * UTF-8, and dmidecode and other readers alter control characters. Spaces at either end and an
 * empty value are preserved: nothing trims them, and the string itself is never empty.
 */
static bool value_is_text(struct span value)
{
	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] < 0x20 || value.data[i] == 0x7f)
			return false;
	}
	return utf8_valid(value);
}

/* A credential's name; in an OEM string it also must not contain '=', which ends it. */
static int name_check(const char *name, struct error *err)
{
	int r = credential_name_check(name, err);

	if (r == 0 && strchr(name, '='))
		r = error_set(err, VMCRED_USAGE,
			      "credential name \"%s\" must not contain '=': an OEM string ends "
			      "the name there",
			      name);
	return r;
}

int oem_string_encode(const char *name, struct span value, struct secret *out,
		      enum oem_encoding *encoding, struct error *err)
{
	int r = name_check(name, err);

	if (r < 0)
		return r;
	r = oem_limit_check(OEM_LIMIT_CREDENTIAL, value.size, err);
	if (r < 0)
		return error_wrap(err, "credential %s", name);
	*encoding = value_is_text(value) ? OEM_TEXT : OEM_BINARY;
	/* All at once: growing would move the secret and wipe its old pages. */
	r = secret_reserve(out,
			   out->size + sizeof(prefix_binary) + strlen(name) + 1 +
				   base64_encoded_size(value.size, BASE64_PADDED),
			   err);
	if (r < 0)
		return r;
	r = secret_append_text(out, *encoding == OEM_TEXT ? prefix_text : prefix_binary, err);
	if (r == 0)
		r = secret_append_text(out, name, err);
	if (r == 0)
		r = secret_append_text(out, "=", err);
	if (r < 0)
		return r;
	if (*encoding == OEM_TEXT)
		return secret_append(out, value, err);
	return base64_encode_secret(value, BASE64_PADDED, out, err);
}

/* As systemd (unbase64mem_full() of 252): white space is skipped, and only the canonical form with
 * padding is accepted; it drops the credential otherwise. */
static int base64_decode_literal(struct span text, struct secret *bytes, struct error *err)
{
	_cleanup_secret_ struct secret characters = {0};
	int r = secret_reserve(&characters, text.size + 1, err);

	for (size_t i = 0; i < text.size && r == 0; i++) {
		if (!strchr(" \t\r\n", text.data[i]))
			r = secret_append(&characters, span_of(text.data + i, 1), err);
	}
	return r < 0 ? r
		     : base64_decode_secret(secret_span(&characters), BASE64_PADDED, bytes, err);
}

size_t oem_string_size(struct span value)
{
	/* The NUL of a prefix stands for the '='. */
	return value_is_text(value)
		       ? sizeof(prefix_text) + value.size
		       : sizeof(prefix_binary) + base64_encoded_size(value.size, BASE64_PADDED);
}

int oem_literal_parse(struct span text, struct oem_literal *literal, struct error *err)
{
	const struct span binary = span_of_text(prefix_binary), plain = span_of_text(prefix_text);
	const uint8_t *equals;
	size_t start, name_size;
	char name[CREDENTIAL_NAME_SIZE_MAX + 2];
	int r;

	*literal =
		(struct oem_literal){.encoding = OEM_PLAIN, .value = text, .value_size = text.size};
	if (text.size == 0)
		return error_set(err, VMCRED_USAGE,
				 "an OEM string is empty, which would end the table");
	if (memchr(text.data, '\0', text.size))
		return error_set(err, VMCRED_USAGE, "an OEM string contains a NUL byte");
	if (span_starts_with(text, binary))
		start = binary.size;
	else if (span_starts_with(text, plain))
		start = plain.size;
	else
		return 0;
	equals = memchr(text.data + start, '=', text.size - start);
	if (!equals)
		/* Name and secret cannot be told apart, so neither is shown. */
		return error_set(
			err, VMCRED_USAGE,
			"an OEM string that starts with \"io.systemd.credential\" has no '='");
	name_size = (size_t)(equals - text.data) - start;
	if (name_size > CREDENTIAL_NAME_SIZE_MAX)
		name_size = CREDENTIAL_NAME_SIZE_MAX + 1;
	memcpy(name, text.data + start, name_size);
	name[name_size] = '\0';
	literal->encoding = start == binary.size ? OEM_BINARY : OEM_TEXT;
	literal->name = span_of(text.data + start, name_size);
	literal->value = span_of(equals + 1, text.size - (size_t)(equals + 1 - text.data));
	literal->value_size = literal->value.size;
	r = name_check(name, err);
	if (r == 0 && literal->encoding == OEM_BINARY) {
		_cleanup_secret_ struct secret bytes = {0};

		r = base64_decode_literal(literal->value, &bytes, err);
		literal->value_size = bytes.size;
		if (r == -VMCRED_FAILED) {
			/* The error is in the caller's text. */
			err->code = VMCRED_USAGE;
			r = error_wrap(err,
				       "systemd in the guest would drop the credential %s: "
				       "invalid Base64",
				       name);
		}
	}
	return r;
}

int oem_literal_value(const struct oem_literal *literal, struct secret *value, struct error *err)
{
	if (literal->encoding == OEM_BINARY)
		return base64_decode_literal(literal->value, value, err);
	return secret_copy(value, literal->value, err);
}

int oem_string_value(const struct oem_string *string, struct secret *value, struct error *err)
{
	struct oem_literal literal = {0};
	int r = oem_literal_parse(secret_span(&string->text), &literal, err);

	return r < 0 ? r : oem_literal_value(&literal, value, err);
}
