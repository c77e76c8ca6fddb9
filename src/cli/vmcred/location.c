/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/location.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

int cli_location_find(const struct config *config, const char *machine, const char *word,
		      struct vars_location *location, struct error *err)
{
	_cleanup_free_ char *generator = strdup(word);
	char *slash = generator ? strchr(generator, '/') : NULL;

	if (!generator)
		return error_no_memory(err);
	if (!slash)
		return error_set(err, VMCRED_USAGE, "\"%s\" is not of the form GENERATOR/FILE",
				 word);
	*slash = '\0';
	location->generator = config_generator_find(config, generator);
	if (location->generator)
		location->file = config_file_find(location->generator, slash + 1);
	if (!location->generator || !location->file)
		return error_set(err, VMCRED_USAGE, "%s declares no secret \"%s\"", config->path,
				 word);
	if (!config_machine_get(config, machine, err))
		return -(int)err->code;
	if (!config_generator_is_for(location->generator, machine))
		return error_set(err, VMCRED_USAGE, "the generator %s is not for the machine %s",
				 generator, machine);
	location->machine = location->generator->share ? NULL : machine;
	return 0;
}

void cli_location_print(const struct vars_location *location)
{
	if (!location->generator && location->machine) {
		printf("%s's key", location->machine);
		return;
	}
	if (!location->generator) {
		printf("sops/secrets/%s", location->file->name);
		return;
	}
	printf("%s %s/%s", location->machine ? location->machine : "shared",
	       location->generator->name, location->file->name);
}
