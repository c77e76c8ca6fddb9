/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/tree/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

/* From here on strconv's 'G' with the fewest digits has an exponent. */
#define FLAT_EXPONENT_MIN 6

#define DIGITS_MAX 17 /* distinguish all doubles */

/* A longer number is padded with zeros. */
#define TOKEN_SIZE_MAX 1024

static size_t digits_count(struct span text, size_t from)
{
	size_t at = from;

	while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9')
		at++;
	return at - from;
}

size_t sops_number_scan(struct span text)
{
	size_t at = 0, count;

	if (text.size > 0 && text.data[0] == '-')
		at++;
	count = digits_count(text, at);
	if (count == 0 || (count > 1 && text.data[at] == '0'))
		return 0;
	at += count;
	if (at < text.size && text.data[at] == '.') {
		count = digits_count(text, at + 1);
		if (count == 0)
			return 0;
		at += 1 + count;
	}
	if (at < text.size && (text.data[at] | 0x20) == 'e') {
		at++;
		if (at < text.size && (text.data[at] == '+' || text.data[at] == '-'))
			at++;
		count = digits_count(text, at);
		if (count == 0)
			return 0;
		at += count;
	}
	return at;
}

/* The digits have no leading zeros. */
static bool fits_int64(struct span number)
{
	static const char positive[] = "9223372036854775807", negative[] = "9223372036854775808";
	bool is_negative = number.data[0] == '-';
	struct span digits = span_of(number.data + is_negative, number.size - is_negative);
	size_t limit_size = sizeof(positive) - 1;

	if (digits.size != limit_size)
		return digits.size < limit_size;
	return memcmp(digits.data, is_negative ? negative : positive, limit_size) <= 0;
}

/* Called in the "C" locale, whose decimal separator is a point. */
static double text_to_double(struct span number)
{
	char text[TOKEN_SIZE_MAX + 1];
	double value;

	memcpy(text, number.data, number.size);
	text[number.size] = '\0';
	value = strtod(text, NULL);
	memory_wipe(text, sizeof(text));
	return value;
}

static double double_read(struct span number)
{
	locale_t numeric = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	locale_t before = uselocale(numeric);
	double value = text_to_double(number);

	uselocale(before);
	freelocale(numeric);
	return value;
}

/* Increments the last digit of d.ddde±x. All nines stay: the sum has fewer digits and was tried
 * before. */
static void digits_increment(char *text)
{
	char *last = strchr(text, 'e') - 1;

	while (last > text && (*last == '9' || *last == '.'))
		last--;
	if (*last == '9')
		return;
	(*last)++;
	while (*++last != 'e') {
		if (*last != '.')
			*last = '0';
	}
}

/*
 * Prints the fewest digits that give the same double, as d.ddde±x. Above a power of two, doubles
 * are twice as far apart as below it, so the next decimal can work where the nearest one does not.
 */
static void double_print_shortest(double value, char out[64])
{
	locale_t numeric = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	locale_t before = uselocale(numeric);

	for (int digits = 1; digits <= DIGITS_MAX; digits++) {
		snprintf(out, 64, "%.*e", digits - 1, value);
		if (strtod(out, NULL) == value)
			break;
		digits_increment(out);
		if (strtod(out, NULL) == value)
			break;
	}
	uselocale(before);
	freelocale(numeric);
}

int sops_number_read(struct span number, enum sops_kind *kind, struct span *canonical)
{
	bool is_integer = digits_count(number, number.data[0] == '-') + (number.data[0] == '-') ==
			  number.size;

	*canonical = number;
	*kind = SOPS_FLOAT;
	if (is_integer && fits_int64(number)) {
		*kind = SOPS_INT;
		if (span_equal(number, span_of_text("-0")))
			*canonical = span_of_text("0");
		return 0;
	}
	if (number.size > TOKEN_SIZE_MAX || !isfinite(double_read(number)))
		return -1;
	return 0;
}

/* Go's 'f' form of sign, digits and decimal exponent. */
static size_t plain_write(bool negative, const char *digits, int count, int exponent, char *out)
{
	char *to = out;

	if (negative)
		*to++ = '-';
	if (exponent < 0) {
		*to++ = '0';
		*to++ = '.';
		for (int i = -1; i > exponent; i--)
			*to++ = '0';
	}
	for (int i = 0; i < count || i <= exponent; i++) {
		if (exponent >= 0 && i == exponent + 1)
			*to++ = '.';
		if (i < count)
			*to++ = digits[i];
		else
			*to++ = '0';
	}
	return (size_t)(to - out);
}

static size_t exponent_write(bool negative, const char *digits, int count, int exponent, char *out)
{
	int length = snprintf(out, SOPS_NUMBER_SIZE_MAX, "%s%c%s%.*se%+d", negative ? "-" : "",
			      digits[0], count > 1 ? "." : "", count - 1, digits + 1, exponent);

	return (size_t)length;
}

/* Go's 'G' form, whose exponent has at least two digits, or the 'f' form with at least one decimal.
 */
static size_t flat_write(bool negative, const char *digits, int count, int exponent, char *out)
{
	size_t length;

	if (exponent < -4 || exponent >= FLAT_EXPONENT_MIN)
		return (size_t)snprintf(out, SOPS_NUMBER_SIZE_MAX, "%s%c%s%.*sE%c%02d",
					negative ? "-" : "", digits[0], count > 1 ? "." : "",
					count - 1, digits + 1, exponent < 0 ? '-' : '+',
					abs(exponent));
	length = plain_write(negative, digits, count, exponent, out);
	if (!memchr(out, '.', length)) {
		out[length++] = '.';
		out[length++] = '0';
	}
	return length;
}

int sops_int_read(struct span text, struct span *canonical)
{
	bool negative = text.size > 0 && text.data[0] == '-';
	bool positive = text.size > 0 && text.data[0] == '+';
	size_t sign = negative || positive;

	if (text.size == sign || digits_count(text, sign) != text.size - sign)
		return -1;
	if (!negative) {
		text = span_of(text.data + sign, text.size - sign);
		while (text.size > 1 && text.data[0] == '0')
			text = span_of(text.data + 1, text.size - 1);
	}
	if (!fits_int64(text) || (negative && text.data[1] == '0'))
		return -1;
	*canonical = text;
	return 0;
}

int sops_bool_read(struct span text, struct span *canonical)
{
	static const char *const yes[] = {"True", "true", "TRUE", "T", "t", "1"};
	static const char *const no[] = {"False", "false", "FALSE", "F", "f", "0"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		bool is_true = span_equal(text, span_of_text(yes[i]));

		if (!is_true && !span_equal(text, span_of_text(no[i])))
			continue;
		*canonical = span_of_text(is_true ? yes[0] : no[0]);
		return 0;
	}
	return -1;
}

static const char *const not_finite[] = {"+Inf", "-Inf", "NaN"};

static bool is_not_finite(struct span text)
{
	for (size_t i = 0; i < sizeof(not_finite) / sizeof(not_finite[0]); i++) {
		if (span_equal(text, span_of_text(not_finite[i])))
			return true;
	}
	return false;
}

int sops_float_check(struct span text)
{
	size_t sign = text.size > 0 && text.data[0] == '-';
	struct span digits = span_of(text.data + sign, text.size - sign);

	if (is_not_finite(text))
		return 0;
	if (sops_number_scan(digits) != digits.size || digits.size == 0 || digits.data[0] == '-' ||
	    text.size > TOKEN_SIZE_MAX || !isfinite(double_read(text)))
		return -1;
	return 0;
}

double sops_float_value(struct span text)
{
	return double_read(text);
}

static size_t not_finite_print(double value, enum sops_number_form form, char *out)
{
	const char *text = not_finite[isnan(value) ? 2 : value < 0];

	if (form == SOPS_NUMBER_JSON)
		return 0;
	return (size_t)snprintf(out, SOPS_NUMBER_SIZE_MAX, "%s", text);
}

size_t sops_float_print(struct span number, enum sops_number_form form,
			char out[SOPS_NUMBER_SIZE_MAX])
{
	return sops_double_print(double_read(number), form, out);
}

size_t sops_double_print(double value, enum sops_number_form form, char out[SOPS_NUMBER_SIZE_MAX])
{
	double size = fabs(value);
	char shortest[64], digits[DIGITS_MAX + 1];
	int count = 0, exponent = 0;
	size_t length;

	if (!isfinite(value))
		return not_finite_print(value, form, out);
	double_print_shortest(size, shortest);
	for (const char *c = shortest; *c; c++) {
		if (*c == 'e') {
			exponent = (int)strtol(c + 1, NULL, 10);
			break;
		}
		if (*c != '.')
			digits[count++] = *c;
	}
	digits[count] = '\0';
	if (form == SOPS_NUMBER_FLAT)
		length = flat_write(signbit(value), digits, count, exponent, out);
	/* encoding/json, floatEncoder */
	else if (form == SOPS_NUMBER_JSON && size != 0 && (size < 1e-6 || size >= 1e21))
		length = exponent_write(signbit(value), digits, count, exponent, out);
	else
		length = plain_write(signbit(value), digits, count, exponent, out);
	memory_wipe(shortest, sizeof(shortest));
	memory_wipe(digits, sizeof(digits));
	return length;
}

bool sops_int_is_float(struct span text)
{
	char printed[SOPS_NUMBER_SIZE_MAX];
	bool same = span_equal(
		text, span_of(printed, sops_float_print(text, SOPS_NUMBER_PLAIN, printed)));

	memory_wipe(printed, sizeof(printed));
	return same;
}
