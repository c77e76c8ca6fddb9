/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of a time that go-yaml tries, read as Go's time.Parse does: numbers of one or two
 * digits, a fraction after the seconds, an offset from UTC.
 */
#include <stdio.h>

#include "yaml/text.h"
#include "yaml/yaml.h"

#define NANOSECOND_DIGITS 9

struct reader {
	const uint8_t *at, *end;
};

static bool digit_at(const struct reader *reader, size_t ahead)
{
	return (size_t)(reader->end - reader->at) > ahead && yaml_is_digit(reader->at[ahead]);
}

/* One or two digits, or -1. */
static int number(struct reader *reader)
{
	int value;

	if (!digit_at(reader, 0))
		return -1;
	value = *reader->at++ - '0';
	if (digit_at(reader, 0))
		value = value * 10 + (*reader->at++ - '0');
	return value;
}

static bool take(struct reader *reader, const char *any)
{
	if (reader->at == reader->end || *reader->at == 0 || !strchr(any, *reader->at))
		return false;
	reader->at++;
	return true;
}

struct parts {
	int year, month, day, hour, minute, second;
	char fraction[NANOSECOND_DIGITS + 1];
	int offset; /* minutes */
};

static bool date_read(struct reader *reader, struct parts *parts)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap;

	for (size_t i = 0; i < 4; i++) {
		if (!digit_at(reader, i))
			return false;
		parts->year = parts->year * 10 + (reader->at[i] - '0');
	}
	reader->at += 4;
	if (!take(reader, "-"))
		return false;
	parts->month = number(reader);
	if (!take(reader, "-"))
		return false;
	parts->day = number(reader);
	leap = parts->year % 4 == 0 && (parts->year % 100 != 0 || parts->year % 400 == 0);
	return parts->month >= 1 && parts->month <= 12 && parts->day >= 1 &&
	       parts->day <= days[parts->month - 1] &&
	       (parts->month != 2 || parts->day <= 28 || leap);
}

static bool clock_read(struct reader *reader, struct parts *parts)
{
	size_t digits = 0;

	parts->hour = number(reader);
	if (!take(reader, ":"))
		return false;
	parts->minute = number(reader);
	if (!take(reader, ":"))
		return false;
	parts->second = number(reader);
	if (parts->hour < 0 || parts->hour > 23 || parts->minute < 0 || parts->minute > 59 ||
	    parts->second < 0 || parts->second > 59)
		return false;
	if (!digit_at(reader, 1) || !take(reader, ".,"))
		return true;
	for (; digit_at(reader, 0); reader->at++) {
		if (digits < NANOSECOND_DIGITS)
			parts->fraction[digits++] = (char)*reader->at;
	}
	while (digits > 0 && parts->fraction[digits - 1] == '0')
		digits--;
	parts->fraction[digits] = '\0';
	return true;
}

/* Exactly two digits, or -1. */
static int two_digits(struct reader *reader)
{
	return digit_at(reader, 0) && digit_at(reader, 1) ? number(reader) : -1;
}

static bool offset_read(struct reader *reader, struct parts *parts)
{
	int hours, minutes;
	bool negative;

	if (take(reader, "Z"))
		return true;
	negative = reader->at < reader->end && *reader->at == '-';
	if (!take(reader, "+-"))
		return false;
	hours = two_digits(reader);
	if (!take(reader, ":"))
		return false;
	minutes = two_digits(reader);
	/* Go accepts 24 hours and 60 minutes. */
	if (hours < 0 || hours > 24 || minutes < 0 || minutes > 60)
		return false;
	parts->offset = (hours * 60 + minutes) * (negative ? -1 : 1);
	return true;
}

/* After the date: nothing, T and an offset, or blanks and no offset. */
static bool rest_read(struct reader *reader, struct parts *parts)
{
	if (reader->at == reader->end)
		return true;
	if (take(reader, "Tt"))
		return clock_read(reader, parts) && offset_read(reader, parts);
	if (!take(reader, " "))
		return false;
	while (take(reader, " "))
		;
	return clock_read(reader, parts);
}

bool yaml_time_read(struct span text, char out[])
{
	struct reader reader = {.at = text.data, .end = text.data + text.size};
	struct parts parts = {0};
	int minutes;
	char zone[8] = "Z";

	if (text.size < 8 || !date_read(&reader, &parts) || !rest_read(&reader, &parts) ||
	    reader.at != reader.end)
		return false;
	minutes = parts.offset < 0 ? -parts.offset : parts.offset;
	if (minutes > 0)
		snprintf(zone, sizeof(zone), "%c%02d:%02d", parts.offset < 0 ? '-' : '+',
			 minutes / 60 % 100, minutes % 60);
	snprintf(out, YAML_TIME_SIZE_MAX + 1, "%04d-%02d-%02dT%02d:%02d:%02d%s%s%s", parts.year,
		 parts.month, parts.day, parts.hour, parts.minute, parts.second,
		 *parts.fraction ? "." : "", parts.fraction, zone);
	memory_wipe(&parts, sizeof(parts));
	return true;
}
