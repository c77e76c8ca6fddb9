/* SPDX-License-Identifier: Apache-2.0 */
#include "base/repetition/repetition.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/text.h"

/* Forms inside each other: a shell's quotes in a Rust string in JSON. */
#define DEPTH_MAX 3

/* Every pass writes at most one byte for each that it reads, into `out`, which has the room. */
static void put(struct secret *out, uint8_t byte)
{
	out->data[out->size++] = byte;
}

static int digit_value(uint8_t byte)
{
	if (isdigit(byte))
		return byte - '0';
	return isxdigit(byte) ? tolower(byte) - 'a' + 10 : INT32_MAX;
}

/* Reads up to `max` digits; returns their number. */
static size_t digits_read(struct span text, int base, size_t max, uint32_t *number)
{
	size_t count = 0;

	*number = 0;
	while (count < text.size && count < max && digit_value(text.data[count]) < base)
		*number = *number * (uint32_t)base + (uint32_t)digit_value(text.data[count++]);
	return count;
}

static void code_point_put(struct secret *out, uint32_t code_point)
{
	out->size += utf8_encode(code_point, out->data + out->size);
}

/* "u{…}", "uXXXX" and "UXXXXXXXX", with the second half of a surrogate pair; 0: it is not one. */
static size_t unicode_undo(struct span text, struct secret *out)
{
	bool braces = text.size > 1 && text.data[1] == '{';
	size_t want = text.data[0] == 'U' ? 8 : 4, start = braces ? 2 : 1, size;
	uint32_t code, low;

	size = digits_read(span_skip(text, start), 16, braces ? 6 : want, &code);
	if (size == 0 || (!braces && size < want) || code > 0x10ffff)
		return 0;
	size += start;
	if (braces)
		size += size < text.size && text.data[size] == '}';
	else if (code >= 0xd800 && code < 0xdc00 && text.size >= size + 6 &&
		 text.data[size] == '\\' && text.data[size + 1] == 'u' &&
		 digits_read(span_skip(text, size + 2), 16, 4, &low) == 4 && low >= 0xdc00 &&
		 low < 0xe000) {
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		size += 6;
	}
	code_point_put(out, code);
	return size;
}

/* What follows a backslash; returns its size. */
static size_t escape_undo(struct span text, bool octal, struct secret *out)
{
	static const char letters[] = "abeEfnrtv0", bytes[] = "\a\b\033\033\f\n\r\t\v";
	const char *letter = strchr(letters, text.data[0]);
	size_t size = 0;
	uint32_t code;

	if (octal && (size = digits_read(text, 8, 3, &code)) > 0) {
		put(out, (uint8_t)code);
	} else if (text.data[0] == 'x' && (size = digits_read(span_skip(text, 1), 16, 2, &code))) {
		put(out, (uint8_t)code);
		size++;
	} else if (text.data[0] == 'u' || text.data[0] == 'U') {
		size = unicode_undo(text, out);
	} else if (text.data[0] && letter) {
		put(out, (uint8_t)bytes[letter - letters]);
		size = 1;
	}
	if (size > 0)
		return size;
	put(out, text.data[0]);
	return 1;
}

/* JSON, Rust, C, Python and the shell; `octal`: "\033" is one byte, not NUL and two digits. */
static void backslashes_undo(struct span text, int octal, struct secret *out)
{
	while (text.size > 0) {
		size_t size = 1;

		if (text.data[0] == '\\' && text.size > 1)
			size += escape_undo(span_skip(text, 1), octal, out);
		else
			put(out, text.data[0]);
		text = span_skip(text, size);
	}
}

/* `form`: '+' is a space. */
static void percents_undo(struct span text, int form, struct secret *out)
{
	for (uint32_t code; text.size > 0;) {
		bool escape =
			text.data[0] == '%' && digits_read(span_skip(text, 1), 16, 2, &code) == 2;

		if (escape)
			put(out, (uint8_t)code);
		else
			put(out, form && text.data[0] == '+' ? ' ' : text.data[0]);
		text = span_skip(text, escape ? 3 : 1);
	}
}

/* A quote within quotes: in a shell, and in Cloud Hypervisor's options and YAML. */
static void quotes_undo(struct span text, int form, struct secret *out)
{
	static const char *const quotes[] = {"'\\''", "'\"'\"'", "\"\"", "''"};
	const struct span quote = span_of_text(quotes[form]);

	while (text.size > 0) {
		put(out, text.data[0]);
		text = span_skip(text, span_starts_with(text, quote) ? quote.size : 1);
	}
}

/* Pairs of digits, with anything but letters between them; skips `phase` digits of each run. */
static void hex_undo(struct span text, int phase, struct secret *out)
{
	int seen = 0, high = 0;

	for (size_t i = 0; i < text.size; i++) {
		int value = digit_value(text.data[i]);

		if (!isalnum(text.data[i]))
			continue;
		if (value >= 16) {
			seen = 0;
			continue;
		}
		if (seen++ >= phase && (seen - phase) % 2 == 0)
			put(out, (uint8_t)(high << 4 | value));
		high = value;
	}
}

/* Such as Rust's and Python's lists of bytes. */
static void numbers_undo(struct span text, int unused, struct secret *out)
{
	(void)unused;
	while (text.size > 0) {
		uint32_t number;
		size_t size = digits_read(text, 10, 4, &number);

		if (size > 0 && number <= UINT8_MAX)
			put(out, (uint8_t)number);
		text = span_skip(text, size > 0 ? size : 1);
	}
}

/* Both alphabets of RFC 4648; -1: the byte belongs to neither. */
static int base64_value(uint8_t byte)
{
	if (byte >= 'A' && byte <= 'Z')
		return byte - 'A';
	if (byte >= 'a' && byte <= 'z')
		return byte - 'a' + 26;
	if (isdigit(byte))
		return byte - '0' + 52;
	return byte == '+' || byte == '-' ? 62 : byte == '/' || byte == '_' ? 63 : -1;
}

/* Runs of Base64, which white space does not end; skips `phase` characters of each. */
static void base64_undo(struct span text, int phase, struct secret *out)
{
	uint32_t bits = 0;
	int seen = 0;

	for (size_t i = 0; i < text.size; i++) {
		int value = base64_value(text.data[i]);

		if (isspace(text.data[i]))
			continue;
		if (value < 0) {
			seen = 0;
			continue;
		}
		bits = bits << 6 | (uint32_t)value;
		seen++;
		/* The first of four characters completes no byte. */
		if (seen > phase && (seen - phase) % 4 != 1)
			put(out, (uint8_t)(bits >> (4 - (seen - phase) % 4) % 4 * 2));
	}
}

struct pass {
	void (*undo)(struct span text, int variant, struct secret *out);
	int variant;
	bool decodes; /* ordinary text becomes random bytes, which need no second such pass */
};

static const struct pass passes[] = {
	{backslashes_undo, false, false},
	{backslashes_undo, true, false},
	{percents_undo, false, false},
	{percents_undo, true, false},
	{quotes_undo, 0, false},
	{quotes_undo, 1, false},
	{quotes_undo, 2, false},
	{quotes_undo, 3, false},
	{hex_undo, 0, true},
	{hex_undo, 1, true},
	{numbers_undo, 0, true},
	{base64_undo, 0, true},
	{base64_undo, 1, true},
	{base64_undo, 2, true},
	{base64_undo, 3, true},
};

/* What remains if case, white space and punctuation do not count. */
static void fold(struct span text, struct secret *out)
{
	for (size_t i = 0; i < text.size; i++) {
		if (isalnum(text.data[i]) || text.data[i] >= 0x80)
			put(out, (uint8_t)tolower(text.data[i]));
	}
}

/* The positions of all windows of a text, by their content. */
#define HEADS 4096

struct windows {
	struct span text;
	uint32_t *next; /* owned; position + 1 of the next one with the same hash, or 0 */
	uint32_t heads[HEADS];
};

static uint64_t window_load(const uint8_t *bytes)
{
	uint64_t window;

	memcpy(&window, bytes, sizeof(window));
	return window;
}

static size_t window_hash(uint64_t window)
{
	return (size_t)((window * 0x9e3779b97f4a7c15U) >> 52) % HEADS;
}

static bool windows_index(struct windows *windows, struct span text)
{
	memset(windows->heads, 0, sizeof(windows->heads));
	windows->text = text;
	windows->next = calloc(text.size + 1, sizeof(*windows->next));
	for (size_t i = 0; windows->next && i + REPETITION_SIZE <= text.size; i++) {
		uint32_t *head = &windows->heads[window_hash(window_load(text.data + i))];

		windows->next[i] = *head;
		*head = (uint32_t)i + 1;
	}
	return windows->next;
}

static bool windows_share(const struct windows *windows, struct span secret)
{
	_Static_assert(REPETITION_SIZE == sizeof(uint64_t), "a window is one number");

	if (secret.size < REPETITION_SIZE_MIN || windows->text.size == 0)
		return false;
	if (secret.size < REPETITION_SIZE)
		return memmem(windows->text.data, windows->text.size, secret.data, secret.size);
	for (size_t i = 0; i + REPETITION_SIZE <= secret.size; i++) {
		uint64_t window = window_load(secret.data + i);

		for (uint32_t at = windows->heads[window_hash(window)]; at > 0;
		     at = windows->next[at - 1]) {
			if (window_load(windows->text.data + at - 1) == window)
				return true;
		}
	}
	return false;
}

struct search {
	const struct span *secrets, *folded;
	size_t count;
};

static bool any_shares(const struct span *secrets, size_t count, struct span text)
{
	struct windows windows;
	bool found = !windows_index(&windows, text);

	for (size_t i = 0; i < count && !found; i++)
		found = windows_share(&windows, secrets[i]);
	free(windows.next);
	return found;
}

/* Checks one form of the text, and the forms that may be in it. */
static bool form_check(const struct search *search, struct span text, int depth, bool decoded)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret form = {0};

	if (text.size < REPETITION_SIZE_MIN)
		return false;
	if (any_shares(search->secrets, search->count, text) ||
	    secret_reserve(&form, text.size, &ignored) < 0)
		return true;
	fold(text, &form);
	if (any_shares(search->folded, search->count, secret_span(&form)))
		return true;
	for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]) && depth > 0; i++) {
		const struct pass *pass = &passes[i];

		if (decoded && pass->decodes)
			continue;
		form.size = 0;
		pass->undo(text, pass->variant, &form);
		if (!span_equal(secret_span(&form), text) &&
		    form_check(search, secret_span(&form), depth - 1, decoded || pass->decodes))
			return true;
	}
	return false;
}

bool repetition_found(struct span text, const struct span *secrets, size_t count)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret bytes = {0};
	_cleanup_free_ struct span *folded = calloc(count + 1, sizeof(*folded));
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += secrets[i].size;
	if (!folded || secret_reserve(&bytes, size + 1, &ignored) < 0)
		return true;
	for (size_t i = 0; i < count; i++) {
		size_t start = bytes.size;

		fold(secrets[i], &bytes);
		folded[i] = span_of(bytes.data + start, bytes.size - start);
	}
	return form_check(&(struct search){.secrets = secrets, .folded = folded, .count = count},
			  text, DEPTH_MAX, false);
}
