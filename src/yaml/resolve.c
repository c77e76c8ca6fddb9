/* SPDX-License-Identifier: Apache-2.0 */
/* The type and value of a scalar. */
#include "yaml/text.h"
#include "yaml/yaml.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

/* Longer numbers, padded with zeros, are copied to secret memory. */
#define NUMBER_SIZE 128

/* Words that are not strings. */
static const struct {
	const char *word;
	enum yaml_type type;
	bool truth;
	double number;
} words[] = {
	{"true", YAML_BOOL, true, 0},
	{"True", YAML_BOOL, true, 0},
	{"TRUE", YAML_BOOL, true, 0},
	{"false", YAML_BOOL, false, 0},
	{"False", YAML_BOOL, false, 0},
	{"FALSE", YAML_BOOL, false, 0},
	{"", YAML_NULL, false, 0},
	{"~", YAML_NULL, false, 0},
	{"null", YAML_NULL, false, 0},
	{"Null", YAML_NULL, false, 0},
	{"NULL", YAML_NULL, false, 0},
	{".nan", YAML_FLOAT, false, NAN},
	{".NaN", YAML_FLOAT, false, NAN},
	{".NAN", YAML_FLOAT, false, NAN},
	{".inf", YAML_FLOAT, false, HUGE_VAL},
	{".Inf", YAML_FLOAT, false, HUGE_VAL},
	{".INF", YAML_FLOAT, false, HUGE_VAL},
	{"+.inf", YAML_FLOAT, false, HUGE_VAL},
	{"+.Inf", YAML_FLOAT, false, HUGE_VAL},
	{"+.INF", YAML_FLOAT, false, HUGE_VAL},
	{"-.inf", YAML_FLOAT, false, -HUGE_VAL},
	{"-.Inf", YAML_FLOAT, false, -HUGE_VAL},
	{"-.INF", YAML_FLOAT, false, -HUGE_VAL},
};

#define WORD_SIZE_MAX 5

static bool word_find(struct span text, struct yaml_scalar *scalar)
{
	if (text.size > WORD_SIZE_MAX)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!span_equal(text, span_of_text(words[i].word)))
			continue;
		scalar->type = words[i].type;
		scalar->truth = words[i].truth;
		scalar->number = words[i].number;
		return true;
	}
	return false;
}

/* As strconv.ParseInt and ParseUint read digits: 1 a number, 0 not one or beyond 64 bits. */
static int digits_read(const char *at, int base, bool sign_allowed, bool *negative, uint64_t *value)
{
	*value = 0;
	if (sign_allowed && (*at == '+' || *at == '-'))
		*negative = *at++ == '-';
	if (!*at)
		return 0;
	for (; *at; at++) {
		int digit = yaml_hex((uint8_t)*at);

		if (digit < 0 || digit >= base ||
		    __builtin_mul_overflow(*value, (uint64_t)base, value) ||
		    __builtin_add_overflow(*value, (uint64_t)digit, value))
			return 0;
	}
	return 1;
}

/* Base 0 of Go's ParseInt: the prefixes 0x, 0b, 0o and 0. */
static int prefixed_read(const char *at, bool *negative, uint64_t *value)
{
	int base = 10;

	if (*at == '+' || *at == '-')
		*negative = *at++ == '-';
	if (*at == '0' && at[1]) {
		char letter = (char)(at[1] | 0x20);

		base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
		at += letter == 'x' || letter == 'b' || letter == 'o' ? 2 : 1;
	}
	return digits_read(at, base, false, negative, value);
}

/* go-yaml tries 0b and 0o again itself, and allows a sign after the prefix. */
static int prefixed_again(const char *at, bool *negative, uint64_t *value)
{
	bool minus = *at == '-';
	int base;

	at += minus;
	if (at[0] != '0' || (at[1] != 'b' && at[1] != 'o'))
		return 0;
	base = at[1] == 'b' ? 2 : 8;
	*negative = minus;
	return digits_read(at + 2, base, !minus, negative, value);
}

static bool is_float(const char *at)
{
	size_t digits = 0;

	at += *at == '+' || *at == '-';
	for (; yaml_is_digit((uint8_t)*at); at++)
		digits++;
	if (*at == '.') {
		bool none_before = digits == 0;

		for (at++; yaml_is_digit((uint8_t)*at); at++)
			digits++;
		if (none_before && digits == 0)
			return false;
	}
	if (digits == 0)
		return false;
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '+' || *at == '-';
		if (!yaml_is_digit((uint8_t)*at))
			return false;
		while (yaml_is_digit((uint8_t)*at))
			at++;
	}
	return !*at;
}

/* In the "C" locale, whose decimal point is a point. */
static double double_read(const char *text)
{
	locale_t numeric = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	locale_t before = uselocale(numeric);
	double value = strtod(text, NULL);

	uselocale(before);
	freelocale(numeric);
	return value;
}

/* Numbers beyond the range of a double are strings. */
static bool float_set(const char *text, struct yaml_scalar *scalar)
{
	double value = double_read(text);

	if (isinf(value))
		return false;
	scalar->type = YAML_FLOAT;
	scalar->number = value;
	return true;
}

/* Beyond 64 bits with a sign, Go has an unsigned type, which sops refuses, but no negative one. */
static bool integer_set(bool negative, uint64_t value, struct yaml_scalar *scalar)
{
	bool too_large = value > (uint64_t)INT64_MAX + negative;

	if (too_large && negative)
		return false;
	scalar->type = YAML_INT;
	scalar->negative = negative && value > 0;
	scalar->integer = value;
	scalar->too_large = too_large;
	if (negative)
		scalar->number = -(double)value;
	else
		scalar->number = (double)value;
	return true;
}

/* The text begins with a digit or a sign; underscores are gone. */
static bool number_read(const char *text, struct yaml_scalar *scalar)
{
	bool negative = false;
	uint64_t value = 0;

	if (prefixed_read(text, &negative, &value)) {
		/* ParseUint accepts no sign. */
		if ((value <= INT64_MAX || *text != '+') && integer_set(negative, value, scalar))
			return true;
	}
	if (is_float(text) && float_set(text, scalar))
		return true;
	negative = false;
	if (prefixed_again(text, &negative, &value))
		return integer_set(negative, value, scalar);
	return false;
}

/* A float that begins with a point: Go's own syntax, with underscores between digits. */
static bool point_read(struct span text, const char *plain, struct yaml_scalar *scalar)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '_' &&
		    (i == 0 || i + 1 == text.size || !yaml_is_digit(text.data[i - 1]) ||
		     !yaml_is_digit(text.data[i + 1])))
			return false;
	}
	return is_float(plain) && float_set(plain, scalar);
}

/* A copy without underscores and with a NUL, for the C library. */
static bool number_try(struct span text, char *plain, struct yaml_scalar *scalar)
{
	size_t size = 0;

	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] != '_')
			plain[size++] = (char)text.data[i];
	}
	plain[size] = '\0';
	return text.data[0] == '.' ? point_read(text, plain, scalar) : number_read(plain, scalar);
}

static bool may_be_number(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i], lower = c | 0x20;

		if (!yaml_is_digit(c) && !(lower >= 'a' && lower <= 'f') && lower != 'x' &&
		    lower != 'o' && c != '_' && c != '.' && c != '+' && c != '-')
			return false;
	}
	return true;
}

static int number_find(struct span text, struct yaml_scalar *scalar, struct error *err)
{
	_cleanup_secret_ struct secret long_copy = {0};
	char copy[NUMBER_SIZE] = {0};
	bool found;
	int r;

	if (!may_be_number(text))
		return 0;
	if (text.size >= sizeof(copy)) {
		r = secret_create(&long_copy, text.size + 1, err);
		return r < 0 ? r : number_try(text, (char *)long_copy.data, scalar);
	}
	found = number_try(text, copy, scalar);
	memory_wipe(copy, sizeof(copy));
	return found;
}

/* Whether a scalar of this type matches the tag; an integer matches float. */
static int tag_check(enum yaml_tag tag, struct yaml_scalar *scalar)
{
	static const enum yaml_type types[] = {
		[YAML_TAG_INT] = YAML_INT,        [YAML_TAG_FLOAT] = YAML_FLOAT,
		[YAML_TAG_BOOL] = YAML_BOOL,      [YAML_TAG_NULL] = YAML_NULL,
		[YAML_TAG_TIMESTAMP] = YAML_TIME,
	};

	if (tag == YAML_TAG_NONE)
		return 1;
	if (tag == YAML_TAG_FLOAT && scalar->type == YAML_INT && !scalar->too_large)
		scalar->type = YAML_FLOAT;
	return scalar->type == types[tag];
}

int yaml_resolve(enum yaml_tag tag, struct span text, struct yaml_scalar *scalar, struct error *err)
{
	uint8_t first = text.size > 0 ? text.data[0] : '~';
	int r = 0;

	*scalar = (struct yaml_scalar){.type = YAML_STRING};
	/* Only strings begin with other characters. */
	if (!yaml_is_digit(first) && !strchr("+-.~tTfFnN", first))
		return tag_check(tag, scalar);
	if (word_find(text, scalar))
		return tag_check(tag, scalar);
	if (yaml_is_digit(first) && (tag == YAML_TAG_NONE || tag == YAML_TAG_TIMESTAMP) &&
	    yaml_time_read(text, scalar->time))
		scalar->type = YAML_TIME;
	else if (yaml_is_digit(first) || strchr("+-.", first))
		r = number_find(text, scalar, err);
	return r < 0 ? r : tag_check(tag, scalar);
}
