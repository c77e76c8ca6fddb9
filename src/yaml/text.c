/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/text.h"

#include "base/text.h"
#include "yaml/yaml.h"

/* Lines and node numbers have 32 bits. */
#define TEXT_SIZE_MAX (UINT32_MAX - 1024)

bool yaml_is_printable(const uint8_t *at)
{
	if (at[0] < 0x80)
		return (at[0] >= ' ' && at[0] <= '~') || at[0] == '\n';
	if (at[0] == 0xc2)
		return at[1] >= 0xa0;
	if (at[0] == 0xef)
		return !(at[1] == 0xbb && at[2] == 0xbf) && !(at[1] == 0xbf && at[2] >= 0xbe);
	return at[0] < 0xf0;
}

static int refuse(const struct yaml *yaml, const struct secret *text, size_t at,
		  const char *problem, struct error *err)
{
	int64_t line = 1;

	for (size_t i = 0; i < at && i < text->size; i++)
		line += text->data[i] == '\n';
	return yaml_fail(yaml, line, problem, err);
}

/* The 16 bits at a position, in the byte order of the mark. */
static uint32_t unit(const struct secret *text, size_t at, bool big)
{
	return big ? (uint32_t)text->data[at] << 8 | text->data[at + 1]
		   : (uint32_t)text->data[at + 1] << 8 | text->data[at];
}

static int utf16_decode(struct secret *text, const struct yaml *yaml, bool big, struct error *err)
{
	_cleanup_secret_ struct secret decoded = {0};
	uint8_t *to;
	int r = secret_create(&decoded, text->size / 2 * 3, err);

	if (r < 0)
		return r;
	to = decoded.data;
	for (size_t at = 2; at < text->size; at += 2) {
		uint32_t c, low;

		if (text->size - at < 2)
			return refuse(yaml, text, at, "truncated UTF-16", err);
		c = unit(text, at, big);
		if (c >= 0xd800 && c < 0xe000) {
			low = c < 0xdc00 && text->size - at >= 4 ? unit(text, at + 2, big) : 0;
			if (low < 0xdc00 || low >= 0xe000)
				return refuse(yaml, text, at, "unpaired UTF-16 surrogate", err);
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			at += 2;
		}
		to += utf8_encode(c, to);
	}
	decoded.size = (size_t)(to - decoded.data);
	secret_destroy(text);
	secret_move(text, &decoded);
	return 0;
}

/* YAML 1.1, section 5.1, without the byte order mark: inside a text, go-yaml sometimes takes one
 * for the beginning of a line, so what it reads there is unreliable. */
static const char *character_problem(const uint8_t *at)
{
	if (at[0] < ' ')
		return at[0] == '\t' || at[0] == '\n' || at[0] == '\r' ? NULL : "control character";
	if (at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0 && at[1] != 0x85))
		return "control character";
	if (at[0] != 0xef)
		return NULL;
	if (at[1] == 0xbb && at[2] == 0xbf)
		return "byte order mark inside the text: write it as \\uFEFF";
	return at[1] == 0xbf && at[2] >= 0xbe ? "invalid character" : NULL;
}

static int characters_check(const struct secret *text, const struct yaml *yaml, struct error *err)
{
	for (size_t at = 0; at < text->size; at += yaml_width(text->data[at])) {
		const char *problem = character_problem(text->data + at);

		if (problem)
			return refuse(yaml, text, at, problem, err);
	}
	return 0;
}

/* The same byte eight times. */
#define ALL(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t eight_bytes(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

bool yaml_is_ascii(struct span text)
{
	const uint8_t *at = text.data, *end = at + text.size;

	for (; end - at >= 8; at += 8) {
		if (eight_bytes(at) & ALL(0x80))
			return false;
	}
	for (; at < end; at++) {
		if (*at >= 0x80)
			return false;
	}
	return true;
}

static bool is_plain(uint8_t c)
{
	return (c >= ' ' && c < 0x7f) || c == '\n' || c == '\t';
}

static bool is_plain_ascii(const struct secret *text)
{
	const uint8_t *at = text->data, *end = at + text->size;

	/* A fixed number of bytes without a branch becomes vector instructions. */
	for (; end - at >= 64; at += 64) {
		uint8_t wrong = 0;

		for (size_t i = 0; i < 64; i++)
			wrong |= (uint8_t)((at[i] >= 0x7f) |
					   ((at[i] < ' ') & (at[i] != '\n') & (at[i] != '\t')));
		if (wrong)
			return false;
	}
	while (at < end && is_plain(*at))
		at++;
	return at == end;
}

int yaml_text_prepare(struct secret *text, const struct yaml *yaml, bool *ascii, struct error *err)
{
	static const uint8_t padding[YAML_PADDING], mark[] = {0xef, 0xbb, 0xbf};
	struct span rest, line;
	int r = 0;

	if (text->size > TEXT_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "%s is larger than 4 GiB", yaml->name);
	if (text->size >= 2 && text->data[0] == 0xff && text->data[1] == 0xfe)
		r = utf16_decode(text, yaml, false, err);
	else if (text->size >= 2 && text->data[0] == 0xfe && text->data[1] == 0xff)
		r = utf16_decode(text, yaml, true, err);
	else if (span_starts_with(secret_span(text), span_of(mark, sizeof(mark))))
		memmove(text->data, text->data + sizeof(mark), text->size -= sizeof(mark));
	*ascii = is_plain_ascii(text);
	rest = secret_span(text);
	while (r == 0 && !*ascii && span_take_line(&rest, &line)) {
		if (!utf8_valid(line))
			return refuse(yaml, text, (size_t)(line.data - text->data), "not UTF-8",
				      err);
	}
	/* Only with the padding is it safe to look ahead at the end. */
	if (r == 0)
		r = secret_append(text, span_of(padding, sizeof(padding)), err);
	if (r < 0)
		return r;
	text->size -= sizeof(padding);
	return *ascii ? 0 : characters_check(text, yaml, err);
}
