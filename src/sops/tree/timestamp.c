/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/tree/timestamp.h"

#include <stdio.h>
#include <time.h>

#include "base/text.h"

#define SECONDS_SIZE (sizeof("2006-01-02T15:04:05") - 1)

/* Whether the text matches a pattern, in which '0' is any digit. */
static bool follows(struct span text, const char *pattern)
{
	if (text.size != strlen(pattern))
		return false;
	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];

		if (pattern[i] == '0' ? c < '0' || c > '9' : c != (uint8_t)pattern[i])
			return false;
	}
	return true;
}

static int number(struct span text, size_t at)
{
	return (text.data[at] - '0') * 10 + text.data[at + 1] - '0';
}

static bool date_valid(struct span text)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = number(text, 0) * 100 + number(text, 2), month = number(text, 5);
	int day = number(text, 8);
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	if (month < 1 || month > 12 || day < 1 || day > days[month - 1])
		return false;
	return month != 2 || day <= 28 || leap;
}

static struct span fraction_skip(struct span text)
{
	size_t size = 1;

	if (text.size == 0 || text.data[0] != '.')
		return text;
	while (size < text.size && text.data[size] >= '0' && text.data[size] <= '9')
		size++;
	return size == 1 ? text : span_of(text.data + size, text.size - size);
}

static bool seconds_valid(struct span text)
{
	return follows(text, "0000-00-00T00:00:00") && date_valid(text) && number(text, 11) <= 23 &&
	       number(text, 14) <= 59 && number(text, 17) <= 59;
}

/* Z, or an offset in hours and minutes. */
static bool zone_valid(struct span zone)
{
	if (follows(zone, "Z"))
		return true;
	return (follows(zone, "+00:00") || follows(zone, "-00:00")) && number(zone, 1) <= 23 &&
	       number(zone, 4) <= 59;
}

static bool zone_is_zero(struct span zone)
{
	return zone.size == 1 || (number(zone, 1) == 0 && number(zone, 4) == 0);
}

int sops_timestamp_normalize(struct span text, char out[SOPS_TIMESTAMP_SIZE_MAX])
{
	struct span seconds = span_of(text.data, SECONDS_SIZE), zone;

	if (text.size <= SECONDS_SIZE || !seconds_valid(seconds))
		return -1;
	zone = fraction_skip(span_of(text.data + SECONDS_SIZE, text.size - SECONDS_SIZE));
	if (!zone_valid(zone))
		return -1;
	if (zone_is_zero(zone))
		zone = span_of_text("Z");
	snprintf(out, SOPS_TIMESTAMP_SIZE_MAX, "%.*s%.*s", (int)seconds.size,
		 (const char *)seconds.data, (int)zone.size, (const char *)zone.data);
	return 0;
}

int64_t sops_timestamp_seconds(const char *normalized)
{
	const struct span text = span_of_text(normalized);
	struct tm utc = {0};
	int64_t offset = 0;

	if (text.size <= SECONDS_SIZE || !seconds_valid(span_of(text.data, SECONDS_SIZE)))
		return 0;
	utc.tm_year = number(text, 0) * 100 + number(text, 2) - 1900;
	utc.tm_mon = number(text, 5) - 1;
	utc.tm_mday = number(text, 8);
	utc.tm_hour = number(text, 11);
	utc.tm_min = number(text, 14);
	utc.tm_sec = number(text, 17);
	if (text.size == SOPS_TIMESTAMP_SIZE_MAX - 1)
		offset =
			number(text, SECONDS_SIZE + 1) * 3600 + number(text, SECONDS_SIZE + 4) * 60;
	return timegm(&utc) - (text.data[SECONDS_SIZE] == '-' ? -offset : offset);
}

int sops_time_check(struct span text)
{
	struct span zone;
	size_t fraction;

	if (text.size <= SECONDS_SIZE || !seconds_valid(span_of(text.data, SECONDS_SIZE)))
		return -1;
	zone = fraction_skip(span_of(text.data + SECONDS_SIZE, text.size - SECONDS_SIZE));
	/* A point and up to nine digits without trailing zeros. */
	fraction = text.size - SECONDS_SIZE - zone.size;
	if (!zone_valid(zone) || (zone.size > 1 && zone_is_zero(zone)) || fraction > 10 ||
	    (fraction > 0 && zone.data[-1] == '0'))
		return -1;
	return 0;
}

int sops_timestamp_now(char out[SOPS_TIMESTAMP_SIZE_MAX], struct error *err)
{
	if (!text_time(time(NULL), out))
		return error_set(err, VMCRED_FAILED, "the system clock has no valid date");
	return 0;
}
