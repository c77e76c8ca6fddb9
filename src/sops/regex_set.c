/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/regex_set.h"

#include <stdlib.h>

#include "base/text.h"

static const struct {
	const char *name;
	bool bracketed; /* only inside of [ ] */
	struct regex_range ranges[4];
} classes[] = {
	{"\\d", false, {{'0', '9'}}},
	{"\\s", false, {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}},
	{"\\w", false, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
	{"[:alnum:]", true, {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
	{"[:alpha:]", true, {{'A', 'Z'}, {'a', 'z'}}},
	{"[:ascii:]", true, {{0, 0x7f}}},
	{"[:blank:]", true, {{'\t', '\t'}, {' ', ' '}}},
	{"[:cntrl:]", true, {{0, 0x1f}, {0x7f, 0x7f}}},
	{"[:digit:]", true, {{'0', '9'}}},
	{"[:graph:]", true, {{'!', '~'}}},
	{"[:lower:]", true, {{'a', 'z'}}},
	{"[:print:]", true, {{' ', '~'}}},
	{"[:punct:]", true, {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
	{"[:space:]", true, {{'\t', '\r'}, {' ', ' '}}},
	{"[:upper:]", true, {{'A', 'Z'}}},
	{"[:word:]", true, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
	{"[:xdigit:]", true, {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
};

size_t regex_character(struct span text, uint32_t *c)
{
	uint8_t first = text.data[0];
	size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < 0x80) {
		*c = first;
		return 1;
	}
	if (size > text.size || !utf8_valid(span_of(text.data, size))) {
		*c = 0xfffd;
		return 1;
	}
	*c = first & (0xffU >> (size + 1));
	for (size_t i = 1; i < size; i++)
		*c = *c << 6 | (text.data[i] & 0x3f);
	return size;
}

bool regex_is_word(uint32_t c)
{
	uint32_t lower = c | 0x20;

	return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') || c == '_';
}

int regex_set_add(struct sops_regex *regex, uint32_t low, uint32_t high, struct error *err)
{
	if (regex->range_count == regex->range_capacity) {
		uint32_t capacity = regex->range_capacity ? regex->range_capacity * 2 : 16;
		struct regex_range *grown = reallocarray(regex->ranges, capacity, sizeof(*grown));

		if (!grown)
			return error_no_memory(err);
		regex->ranges = grown;
		regex->range_capacity = capacity;
	}
	regex->ranges[regex->range_count++] = (struct regex_range){low, high};
	return 0;
}

static int range_order(const void *a, const void *b)
{
	uint32_t first = ((const struct regex_range *)a)->low,
		 second = ((const struct regex_range *)b)->low;

	return (first > second) - (first < second);
}

/* Replaces the ranges from `first` on by all that they do not hold. */
static int ranges_negate(struct sops_regex *regex, uint32_t first, struct error *err)
{
	uint32_t count = regex->range_count - first, next = 0;
	struct regex_range *ranges = reallocarray(NULL, count + 1, sizeof(*ranges));
	int r = 0;

	if (!ranges)
		return error_no_memory(err);
	memcpy(ranges, &regex->ranges[first], count * sizeof(*ranges));
	qsort(ranges, count, sizeof(*ranges), range_order);
	regex->range_count = first;
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		if (ranges[i].low > next)
			r = regex_set_add(regex, next, ranges[i].low - 1, err);
		if (ranges[i].high >= next)
			next = ranges[i].high + 1;
	}
	if (r == 0)
		r = regex_set_add(regex, next, REGEX_CHARACTER_MAX, err);
	free(ranges);
	return r;
}

/* The class in its positive or, as \D or [:^alpha:], negative form. Returns its length, or 0. */
static size_t class_match(struct span text, const char *name, bool bracketed, bool *negated)
{
	size_t size = strlen(name);

	*negated = false;
	if (span_starts_with(text, span_of_text(name)))
		return size;
	*negated = true;
	if (!bracketed)
		return text.size >= 2 && text.data[0] == '\\' && text.data[1] == (name[1] ^ 0x20)
			       ? 2
			       : 0;
	return span_starts_with(text, span_of_text("[:^")) &&
			       span_starts_with(span_of(text.data + 3, text.size - 3),
						span_of_text(name + 2))
		       ? size + 1
		       : 0;
}

int regex_set_add_class(struct sops_regex *regex, struct span text, bool bracketed, bool fold,
			size_t *size, struct error *err)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		uint32_t first = regex->range_count;
		bool negated;
		int r = 0;

		if (classes[i].bracketed && !bracketed)
			break;
		*size = class_match(text, classes[i].name, classes[i].bracketed, &negated);
		if (*size == 0)
			continue;
		for (size_t j = 0; r == 0 && j < 4 && classes[i].ranges[j].high > 0; j++)
			r = regex_set_add(regex, classes[i].ranges[j].low,
					  classes[i].ranges[j].high, err);
		if (r == 0 && fold)
			r = regex_set_fold(regex, first, err);
		if (r == 0 && negated)
			r = ranges_negate(regex, first, err);
		return r < 0 ? r : 1;
	}
	*size = 0;
	return 0;
}

static bool holds(struct regex_range range, uint32_t c)
{
	return range.low <= c && c <= range.high;
}

/* The part of a range that is in [low, high], moved by `distance`. */
static int part_add(struct sops_regex *regex, struct regex_range range, uint32_t low, uint32_t high,
		    int distance, struct error *err)
{
	uint32_t from = range.low > low ? range.low : low;
	uint32_t to = range.high < high ? range.high : high;

	if (from > to)
		return 0;
	return regex_set_add(regex, (uint32_t)((int)from + distance),
			     (uint32_t)((int)to + distance), err);
}

int regex_set_fold(struct sops_regex *regex, uint32_t first, struct error *err)
{
	/* Letters beyond ASCII whose other case is an ASCII letter: the long s, and Kelvin. */
	static const struct {
		uint32_t letter, other;
	} strangers[] = {{'s', 0x17f}, {'k', 0x212a}};
	uint32_t end = regex->range_count;
	int r = 0;

	for (uint32_t i = first; r == 0 && i < end; i++) {
		struct regex_range range = regex->ranges[i];

		r = part_add(regex, range, 'a', 'z', 'A' - 'a', err);
		if (r == 0)
			r = part_add(regex, range, 'A', 'Z', 'a' - 'A', err);
		for (size_t j = 0; r == 0 && j < 2; j++) {
			uint32_t letter = strangers[j].letter, other = strangers[j].other;

			if (holds(range, letter) || holds(range, letter - 0x20))
				r = regex_set_add(regex, other, other, err);
			if (r == 0 && holds(range, other))
				r = regex_set_add(regex, letter, letter, err);
			if (r == 0 && holds(range, other))
				r = regex_set_add(regex, letter - 0x20, letter - 0x20, err);
		}
		if (r == 0 && range.high >= 0x80 && range.high < REGEX_CHARACTER_MAX &&
		    !(range.low == range.high && (range.low == 0x17f || range.low == 0x212a)))
			r = error_set(
				err, VMCRED_FAILED,
				"regular expressions with letters beyond ASCII under (?i) are "
				"not supported");
	}
	return r;
}
