/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "cli/vmcred/commands.h"

#define DAY_SECONDS INT64_C(86400)

int cli_secret_undeclared(const struct config *config, const char *name, struct error *err)
{
	_cleanup_strings_ struct strings known = {0};

	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		for (size_t j = 0; j < generator->file_count; j++) {
			const char *file = generator->files[j].name;

			/* Variants of a generator may have the same files. */
			if (generator->variant > 0 &&
			    config_file_find(generator - generator->variant, file))
				continue;
			if (strings_add_format(&known, err, "%s/%s", generator->name, file) < 0)
				return -(int)err->code;
		}
	}
	error_set(err, VMCRED_USAGE, "%s does not declare the secret \"%s\"", config->path, name);
	return known.count == 0 ? -(int)err->code
				: name_hint(name, (const char *const *)known.items, err);
}

int cli_location_find(const struct config *config, const char *machine, const char *name,
		      struct vars_location *location, struct error *err)
{
	_cleanup_free_ char *generator = strdup(name);
	char *slash = generator ? strchr(generator, '/') : NULL;

	if (!generator)
		return error_no_memory(err);
	if (!slash)
		return error_set(err, VMCRED_USAGE, "\"%s\" must be GENERATOR/FILE", name);
	*slash = '\0';
	location->generator = config_generator_find(config, generator, machine);
	if (location->generator)
		location->file = config_file_find(location->generator, slash + 1);
	if (!location->generator || !location->file)
		return cli_secret_undeclared(config, name, err);
	if (!config_machine_get(config, machine, err))
		return -(int)err->code;
	if (!config_generator_is_for(location->generator, machine))
		return error_set(err, VMCRED_USAGE, "generator %s is not for machine %s", generator,
				 machine);
	location->machine = location->generator->share ? NULL : machine;
	return 0;
}

char *cli_location_text(const struct vars_location *location)
{
	if (location->generator)
		return text_format("%s %s/%s", location->machine ? location->machine : "shared",
				   location->generator->name, location->file->name);
	return location->machine ? text_format("%s's key", location->machine)
				 : text_format("sops/secrets/%s", location->file->name);
}

void cli_location_print(const struct vars_location *location)
{
	_cleanup_free_ char *text = cli_location_text(location);

	printf("%s", text ? text : "");
}

const char *cli_time_text(int64_t realtime, bool is_utc, char text[CLI_TIME_SIZE])
{
	const time_t seconds = realtime;
	struct tm parts;

	if (realtime <= 0 || !(is_utc ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts)))
		return is_utc ? NULL : "-";
	return strftime(text, CLI_TIME_SIZE, is_utc ? "%FT%TZ" : "%F %T", &parts) > 0 ? text : "-";
}

char *cli_age_text(int64_t realtime)
{
	const long long days = (long long)((time(NULL) - realtime) / DAY_SECONDS);

	return days <= 0 ? strdup("today") : text_format("%lld day%s", days, days == 1 ? "" : "s");
}

void cli_json_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	printf("\n");
}

json_t *cli_json_texts(char *const *texts)
{
	json_t *list = json_array();

	for (; texts && *texts; texts++)
		json_array_append_new(list, json_string(*texts));
	return list;
}
