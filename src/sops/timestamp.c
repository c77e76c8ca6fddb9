/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/timestamp.h"

#include <stdio.h>
#include <time.h>

#define SECONDS_SIZE (sizeof("2006-01-02T15:04:05") - 1)

/* Whether the text follows a pattern, in which '0' stands for a digit. */
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

int sops_timestamp_normalize(struct span text, char out[SOPS_TIMESTAMP_SIZE_MAX])
{
	struct span seconds = span_of(text.data, SECONDS_SIZE), zone;

	if (text.size <= SECONDS_SIZE || !follows(seconds, "0000-00-00T00:00:00") ||
	    !date_valid(seconds) || number(seconds, 11) > 23 || number(seconds, 14) > 59 ||
	    number(seconds, 17) > 59)
		return -1;
	zone = fraction_skip(span_of(text.data + SECONDS_SIZE, text.size - SECONDS_SIZE));
	if (!follows(zone, "Z")) {
		if ((!follows(zone, "+00:00") && !follows(zone, "-00:00")) ||
		    number(zone, 1) > 23 || number(zone, 4) > 59)
			return -1;
		if (number(zone, 1) == 0 && number(zone, 4) == 0)
			zone = span_of_text("Z");
	}
	snprintf(out, SOPS_TIMESTAMP_SIZE_MAX, "%.*s%.*s", (int)seconds.size,
		 (const char *)seconds.data, (int)zone.size, (const char *)zone.data);
	return 0;
}

int sops_timestamp_now(char out[SOPS_TIMESTAMP_SIZE_MAX], struct error *err)
{
	time_t now = time(NULL);
	struct tm utc;

	if (!gmtime_r(&now, &utc) || strftime(out, SOPS_TIMESTAMP_SIZE_MAX, "%FT%TZ", &utc) == 0)
		return error_set(err, VMCRED_FAILED, "the system's clock shows no date");
	return 0;
}
