/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/verbs.h"

#include <stdio.h>
#include <string.h>

const struct sops_verb *verb_find(const char *name, const char *second)
{
	for (const struct sops_verb *verb = sops_verbs; verb->name; verb++) {
		if (strcmp(verb->name, name) == 0 &&
		    (!verb->second || (second && strcmp(verb->second, second) == 0)))
			return verb;
	}
	return NULL;
}

bool verb_is_family(const char *name)
{
	for (const struct sops_verb *verb = sops_verbs; verb->name; verb++) {
		if (verb->second && strcmp(verb->name, name) == 0)
			return true;
	}
	return false;
}

void verb_help(const struct sops_verb *verb)
{
	printf("Usage: vmcred sops %s%s%s [FLAG...]%s%s\n\n%s\n\nFlags:\n", verb->name,
	       verb->second ? " " : "", verb->second ? verb->second : "", *verb->words ? " " : "",
	       verb->words, verb->about);
	sops_arguments_help(verb->id);
}

void verbs_help(const char *family)
{
	printf("Usage: vmcred sops VERB [FLAG...] [WORD...]\n"
	       "       vmcred sops [FLAG...] FILE\n\n"
	       "Work with SOPS documents as sops %s does, also where this program is called "
	       "sops.\n\n"
	       "Verbs:\n",
	       SOPS_VERSION_WRITTEN);
	for (const struct sops_verb *verb = sops_verbs; verb->name; verb++) {
		char name[32];

		if (family && strcmp(family, verb->name) != 0)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", verb->name, verb->second ? " " : "",
			 verb->second ? verb->second : "");
		printf("  %-14s %s\n", name, verb->about);
	}
	if (family)
		return;
	printf("\n`vmcred sops VERB --help` tells a verb's flags, vmcred-sops(1) all the rest.\n"
	       "Exit codes are those of sops. Without a verb (edit, where no other flag says "
	       "more):\n\n");
	sops_arguments_help(SOPS_OLD_FORM);
}
