/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "base/text.h"
#include "inspect/credentials.h"

/* Longer than any line of the properties that are read. */
#define LINE_SIZE_MAX 256

/* Whose presence means that systemd is the init system: sd_booted(3). */
#define SYSTEMD_DIRECTORY "/run/systemd/system"

static void word_copy(char word[INSPECT_WORD_SIZE], const char *text)
{
	snprintf(word, INSPECT_WORD_SIZE, "%s", text);
}

/* Takes a line "PROPERTY=value". */
static void property_take(struct inspect_unit *unit, const char *line)
{
	const struct {
		const char *name;
		char *word;
		int64_t *time_us;
	} properties[] = {
		{"LoadState=", unit->load, NULL},
		{"ActiveState=", unit->active, NULL},
		{"SubState=", unit->sub, NULL},
		{"LimitCORE=", unit->limit_core, NULL},
		{"MemorySwapMax=", unit->swap_max, NULL},
		{"InactiveExitTimestampMonotonic=", NULL, &unit->started_us},
		{"StateChangeTimestampMonotonic=", NULL, &unit->changed_us},
	};

	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
		const size_t length = strlen(properties[i].name);

		if (strncmp(line, properties[i].name, length) != 0)
			continue;
		if (properties[i].word)
			word_copy(properties[i].word, line + length);
		else
			*properties[i].time_us = strtoll(line + length, NULL, 10);
	}
	/* The job's number. */
	if (strncmp(line, "Job=", 4) == 0)
		unit->has_job = strtoul(line + 4, NULL, 10) > 0;
}

/* Reads the units, one after the other with an empty line between two, in the order of the
 * arguments. Returns how many. */
static size_t units_parse(FILE *stream, struct inspect_unit *units, size_t count)
{
	char line[LINE_SIZE_MAX];
	size_t done = 0;
	bool is_inside = false;

	while (done < count && fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			property_take(&units[done], line);
		else if (is_inside)
			done++;
		is_inside = line[0];
	}
	return done + is_inside;
}

int units_read(const char *const *names, size_t count, struct inspect_unit *units,
	       struct error *err)
{
	static const char properties[] = "--property=LoadState,ActiveState,SubState,Job,LimitCORE,"
					 "MemorySwapMax,"
					 "InactiveExitTimestampMonotonic,"
					 "StateChangeTimestampMonotonic";
	static const char *const words[] = {"systemctl", "show", properties, "--"};
	_cleanup_strings_ struct strings argv = {0};
	_cleanup_fclose_ FILE *output = NULL;
	size_t found;
	int r = 0;
	pid_t pid = 0;

	memset(units, 0, count * sizeof(*units));
	if (count == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < sizeof(words) / sizeof(words[0]); i++)
		r = strings_add(&argv, words[i], err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = strings_add(&argv, names[i], err);
	if (r == 0)
		r = program_start_reading(&(struct program){.file = argv.items[0],
							    .argv = argv.items,
							    .fds = {-1, -1, -1}},
					  &output, &pid, err);
	if (r < 0)
		return r;
	found = units_parse(output, units, count);
	/* It does not wait for a reader of more. */
	r = program_end_reading(&output, pid, argv.items[0], err);
	if (r < 0 && access(SYSTEMD_DIRECTORY, F_OK) < 0)
		error_hint(err, "systemd is not running here");
	if (r == 0 && found != count)
		r = error_set(err, VMCRED_FAILED, "systemctl described %zu of %zu units", found,
			      count);
	if (r < 0)
		memset(units, 0, count * sizeof(*units));
	return r;
}
