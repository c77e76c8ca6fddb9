/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random secrets, and the forms in which a program may print them. Each form is written here as its
 * language prescribes, without what src/ does to undo it.
 */
#ifndef VMCRED_TESTS_FORMS_H
#define VMCRED_TESTS_FORMS_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/span.h"

#define FORM_SIZE_MAX 4096

struct text {
	char bytes[FORM_SIZE_MAX];
	size_t size;
};

__attribute__((format(printf, 2, 3))) static inline void text_add(struct text *text,
								  const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text->size += (size_t)vsnprintf(text->bytes + text->size, sizeof(text->bytes) - text->size,
					format, arguments);
	va_end(arguments);
}

static inline void form_plain(struct span secret, struct text *text)
{
	memcpy(text->bytes + text->size, secret.data, secret.size);
	text->size += secret.size;
}

/* The code point at the start of valid UTF-8; returns its length. */
static inline size_t code_point_read(const uint8_t *bytes, unsigned int *code)
{
	size_t size = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;

	*code = size == 1 ? bytes[0] : bytes[0] & (0xffU >> (size + 1));
	for (size_t i = 1; i < size; i++)
		*code = *code << 6 | (bytes[i] & 0x3fU);
	return size;
}

static inline void json_add(struct span secret, bool ascii, struct text *text)
{
	static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";

	for (size_t i = 0; i < secret.size;) {
		unsigned int code;
		size_t size = code_point_read(secret.data + i, &code);
		const char *found = code > 0 && code < 0x80 ? strchr(special, (int)code) : NULL;

		if (found)
			text_add(text, "\\%c", letters[found - special]);
		else if (code < ' ' || (ascii && code > '~' && code < 0x10000))
			text_add(text, "\\u%04x", code);
		else if (ascii && code >= 0x10000) {
			text_add(text, "\\u%04X", 0xd800 + ((code - 0x10000) >> 10));
			text_add(text, "\\u%04X", 0xdc00 + ((code - 0x10000) & 0x3ff));
		} else {
			form_plain(span_of(secret.data + i, size), text);
		}
		i += size;
	}
}

static inline void form_json(struct span secret, struct text *text)
{
	json_add(secret, false, text);
}

static inline void form_json_ascii(struct span secret, struct text *text)
{
	json_add(secret, true, text);
}

/* {:?} of a str. */
static inline void form_rust(struct span secret, struct text *text)
{
	static const char special[] = "\"\\\n\r\t", letters[] = "\"\\nrt";

	for (size_t i = 0; i < secret.size;) {
		unsigned int code;
		size_t size = code_point_read(secret.data + i, &code);
		const char *found = code > 0 && code < 0x80 ? strchr(special, (int)code) : NULL;

		if (found)
			text_add(text, "\\%c", letters[found - special]);
		else if (code == 0)
			text_add(text, "\\%c", '0');
		else if (code < ' ' || (code > '~' && code < 0xa0))
			text_add(text, "\\u{%x}", code);
		else
			form_plain(span_of(secret.data + i, size), text);
		i += size;
	}
}

/* {:?} of Rust's ByteStr, Python's bytes, and systemd. */
static inline void form_bytes(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++) {
		if (secret.data[i] < ' ' || secret.data[i] > '~')
			text_add(text, "\\x%02x", secret.data[i]);
		else if (strchr("\"'\\", secret.data[i]))
			text_add(text, "\\%c", secret.data[i]);
		else
			text_add(text, "%c", secret.data[i]);
	}
}

static inline void form_rust_in_json(struct span secret, struct text *text)
{
	struct text inner = {.size = 0};

	form_rust(secret, &inner);
	form_json(span_of(inner.bytes, inner.size), text);
}

static inline void form_shell_quotes(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++) {
		if (secret.data[i] == '\'')
			form_plain(span_of_text("'\\''"), text);
		else
			form_plain(span_of(secret.data + i, 1), text);
	}
}

/* printf %q of a shell: $'…' with octal numbers. */
static inline void form_shell_octal(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++) {
		if (secret.data[i] < ' ' || secret.data[i] > '~')
			text_add(text, "\\%03o", secret.data[i]);
		else if (strchr("'\\", secret.data[i]))
			text_add(text, "\\%c", secret.data[i]);
		else
			text_add(text, "%c", secret.data[i]);
	}
}

static inline void form_percent(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++) {
		if (secret.data[i] > ' ' && secret.data[i] <= '~' &&
		    !strchr("%&+,/:;=?@\"'\\<>", secret.data[i]))
			text_add(text, "%c", secret.data[i]);
		else
			text_add(text, "%%%02X", secret.data[i]);
	}
}

static inline void form_hex(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++)
		text_add(text, "%02x", secret.data[i]);
}

static inline void form_hex_dump(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++)
		text_add(text, "%s%02X", i % 2 > 0 ? ":" : " ", secret.data[i]);
}

/* {:?} of a Vec<u8>. */
static inline void form_numbers(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++)
		text_add(text, "%s%u", i > 0 ? ", " : "[", secret.data[i]);
}

static inline void base64_add(struct span secret, size_t offset, bool url, struct text *text)
{
	uint8_t bytes[FORM_SIZE_MAX / 4] = {'x', 'y', 'z'};
	size_t start = text->size;

	memcpy(bytes + offset, secret.data, secret.size);
	base64_encode(span_of(bytes, offset + secret.size), BASE64_PADDED, text->bytes + start);
	text->size += base64_encoded_size(offset + secret.size, BASE64_PADDED);
	for (size_t i = start; url && i < text->size; i++) {
		if (text->bytes[i] == '+')
			text->bytes[i] = '-';
		else if (text->bytes[i] == '/')
			text->bytes[i] = '_';
	}
}

static inline void form_base64(struct span secret, struct text *text)
{
	base64_add(secret, 0, false, text);
}

static inline void form_base64_1(struct span secret, struct text *text)
{
	base64_add(secret, 1, true, text);
}

static inline void form_base64_2(struct span secret, struct text *text)
{
	base64_add(secret, 2, false, text);
}

/* Cloud Hypervisor's own command line. */
static inline void form_doubled_quotes(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++) {
		if (secret.data[i] == '"')
			form_plain(span_of_text("\""), text);
		form_plain(span_of(secret.data + i, 1), text);
	}
}

static inline void form_shell_double(struct span secret, struct text *text)
{
	for (size_t i = 0; i < secret.size; i++) {
		if (secret.data[i] == '\'')
			form_plain(span_of_text("'\"'\"'"), text);
		else
			form_plain(span_of(secret.data + i, 1), text);
	}
}

struct form {
	const char *name;
	void (*add)(struct span secret, struct text *text);
	bool needs_utf8;
};

static const struct form forms[] = {
	{"plain", form_plain, false},
	{"JSON", form_json, true},
	{"JSON in ASCII", form_json_ascii, true},
	{"a Rust string", form_rust, true},
	{"Rust bytes", form_bytes, false},
	{"a Rust string in JSON", form_rust_in_json, true},
	{"shell quotes", form_shell_quotes, false},
	{"shell double quotes", form_shell_double, false},
	{"shell octal", form_shell_octal, false},
	{"percent", form_percent, false},
	{"hex", form_hex, false},
	{"a hex dump", form_hex_dump, false},
	{"a list of numbers", form_numbers, false},
	{"Base64", form_base64, false},
	{"Base64 at offset 1", form_base64_1, false},
	{"Base64 at offset 2", form_base64_2, false},
	{"doubled quotes", form_doubled_quotes, false},
};

#define FORM_COUNT (sizeof(forms) / sizeof(forms[0]))

#define SECRET_SIZE_MAX 40

/* Of `kind` 0 to 3: letters and digits; mostly quotes and escapes; UTF-8; any bytes. Returns
 * whether it is UTF-8. */
static inline bool secret_random(int kind, size_t size, uint8_t secret[SECRET_SIZE_MAX])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789",
			  escapes[] = "\"\\'\n\t%+ abuxn01${}\x1b&,=";
	static const char *const wide[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x91",
					   "\xc2\x85", "q"};

	for (size_t i = 0; i < size;) {
		const struct span text = span_of_text(wide[random() % 5]);

		if (kind == 2 && i + text.size <= size) {
			memcpy(secret + i, text.data, text.size);
			i += text.size;
			continue;
		}
		secret[i++] = kind == 3 ? (uint8_t)random()
			      : kind == 1
				      ? (uint8_t)escapes[(size_t)random() % (sizeof(escapes) - 1)]
				      : (uint8_t)letters[(size_t)random() % (sizeof(letters) - 1)];
	}
	return kind < 3;
}

#endif
