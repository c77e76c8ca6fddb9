/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The data of an age key has 58 characters. */
#define PRIVATE_KEY_SIZE_MIN 16

char *text_format_list(const char *format, va_list arguments)
{
	char *text = NULL;

	return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

char *text_format(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	return text;
}

size_t utf8_encode(uint32_t code_point, uint8_t bytes[UTF8_SIZE_MAX])
{
	size_t size = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};

	for (size_t i = size - 1; i > 0; i--) {
		bytes[i] = (uint8_t)(0x80 | (code_point & 0x3f));
		code_point >>= 6;
	}
	bytes[0] = (uint8_t)(lead[size] | code_point);
	return size;
}

size_t utf8_length(struct span bytes)
{
	/* RFC 3629, section 4: what the first two bytes may be. */
	static const struct {
		uint8_t first_low, first_high, second_low, second_high, length;
	} forms[] = {
		{0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; bytes.size > 0 && i < sizeof(forms) / sizeof(forms[0]); i++) {
		size_t at = 1;

		if (bytes.data[0] < forms[i].first_low || bytes.data[0] > forms[i].first_high)
			continue;
		if (bytes.size < forms[i].length ||
		    (forms[i].length > 1 &&
		     (bytes.data[1] < forms[i].second_low || bytes.data[1] > forms[i].second_high)))
			return 0;
		while (at < forms[i].length && (bytes.data[at] & 0xc0) == 0x80)
			at++;
		return at == forms[i].length ? at : 0;
	}
	return 0;
}

bool utf8_valid(struct span bytes)
{
	size_t length = 0;

	while (bytes.size > 0 && (length = utf8_length(bytes)) > 0)
		bytes = span_skip(bytes, length);
	return bytes.size == 0;
}

/* Control characters (Unicode, Cc), line and paragraph separators, and bidirectional formatting
 * (UAX #9, section 2). */
static bool is_obeyed(uint32_t code_point)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},
		      {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (code_point >= ranges[i].first && code_point <= ranges[i].last)
			return true;
	}
	return false;
}

static uint32_t utf8_decode(const uint8_t *bytes, size_t length)
{
	uint32_t code_point = length == 1 ? bytes[0] : bytes[0] & (0xffU >> (length + 1));

	for (size_t i = 1; i < length; i++)
		code_point = code_point << 6 | (bytes[i] & 0x3f);
	return code_point;
}

/* How many bytes at the beginning are printable ASCII, which most text is. */
static size_t printable_size(struct span text)
{
	size_t size = 0;

	while (size < text.size && text.data[size] >= ' ' && text.data[size] < 0x7f)
		size++;
	return size;
}

bool text_time(int64_t seconds, char text[TEXT_TIME_SIZE])
{
	const time_t time = (time_t)seconds;
	struct tm utc;

	return gmtime_r(&time, &utc) && strftime(text, TEXT_TIME_SIZE, "%FT%TZ", &utc) > 0;
}

/* What comes after the mark, or NULL. */
static const uint8_t *mark_find(const uint8_t *from, const uint8_t *end, const char *mark)
{
	const uint8_t *found = memmem(from, (size_t)(end - from), mark, strlen(mark));

	return found ? found + strlen(mark) : NULL;
}

/* How many bytes belong to a key: letters, digits and these. */
static size_t key_size(const uint8_t *key, const uint8_t *end, const char *others)
{
	size_t size = 0;

	while (key + size < end && (isalnum(key[size]) || (key[size] && strchr(others, key[size]))))
		size++;
	return size;
}

/* What comes before the secret part of the first private key. Sets the size of that part, 0 if
 * there is none. */
static struct span private_key_find(struct span text, size_t *size)
{
	const uint8_t *end = text.data + text.size, *key = text.data, *last;
	const uint8_t *begin = mark_find(text.data, end, "-----BEGIN ");
	const uint8_t *body = begin ? mark_find(begin, end, "PRIVATE KEY-----") : NULL;

	while ((key = mark_find(key, body ? body : end, "AGE-SECRET-KEY-"))) {
		*size = key_size(key, end, "-");
		/* Otherwise it is only the name of its type. */
		if (*size >= PRIVATE_KEY_SIZE_MIN)
			return span_of(text.data, (size_t)(key - text.data));
	}
	*size = 0;
	if (!body)
		return text;
	last = memmem(body, (size_t)(end - body), "-----END ", strlen("-----END "));
	*size = last ? (size_t)(last - body) : key_size(body, end, "+/=\\ \r\n");
	return span_of(text.data, (size_t)(body - text.data));
}

/* Returns the end of what it writes. */
static char *visible_write(char *to, struct span text, bool lines)
{
	while (text.size > 0) {
		size_t length = printable_size(text);
		uint32_t code_point = ' ';

		if (length == 0) {
			length = utf8_length(text);
			code_point = utf8_decode(text.data, length);
		}
		if (length == 0) {
			to += sprintf(to, "\\x%02x", text.data[0]);
			length = 1;
		} else if (is_obeyed(code_point) && code_point != '\t' &&
			   (code_point != '\n' || !lines)) {
			to += sprintf(to, "\\u%04x", code_point);
		} else {
			to = mempcpy(to, text.data, length);
		}
		text = span_skip(text, length);
	}
	return to;
}

char *text_visible(struct span text, bool lines)
{
	static const size_t escape_size = sizeof("\\u001b") - 1;
	size_t size_max = 0, secret_size = 0;
	char *visible, *to;

	if (__builtin_mul_overflow(text.size, escape_size, &size_max) || size_max == SIZE_MAX)
		return NULL;
	visible = to = malloc(size_max + 1);
	while (visible && text.size > 0) {
		const struct span before = private_key_find(text, &secret_size);

		to = visible_write(to, before, lines);
		if (secret_size > 0)
			to = stpcpy(to, "...");
		text = span_skip(text, before.size + secret_size);
	}
	if (visible)
		*to = '\0';
	return visible;
}

bool texts_contain(char *const *texts, const char *text)
{
	for (; texts && *texts; texts++) {
		if (strcmp(*texts, text) == 0)
			return true;
	}
	return false;
}

int texts_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int strings_take(struct strings *strings, char *text, struct error *err)
{
	char **larger =
		text ? reallocarray(strings->items, strings->count + 2, sizeof(char *)) : NULL;

	if (!larger) {
		free(text);
		return error_no_memory(err);
	}
	strings->items = larger;
	larger[strings->count++] = text;
	larger[strings->count] = NULL;
	return 0;
}

int strings_add(struct strings *strings, const char *text, struct error *err)
{
	return strings_take(strings, strdup(text), err);
}

int strings_add_format(struct strings *strings, struct error *err, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	return strings_take(strings, text, err);
}

int strings_add_all(struct strings *strings, char *const *texts, struct error *err)
{
	int r = 0;

	for (; r == 0 && texts && *texts; texts++)
		r = strings_add(strings, *texts, err);
	return r;
}

char *strings_join(const struct strings *strings, const char *separator)
{
	char *joined = strdup("");

	for (size_t i = 0; joined && i < strings->count; i++) {
		char *longer =
			text_format("%s%s%s", joined, i > 0 ? separator : "", strings->items[i]);

		free(joined);
		joined = longer;
	}
	return joined;
}

bool strings_contain(const struct strings *strings, const char *text)
{
	return texts_contain(strings->items, text);
}

void strings_destroy(struct strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct strings){0};
}
