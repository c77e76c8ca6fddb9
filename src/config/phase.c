/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a machine needs a file, and where the file is. The names of the phases are clan's;
 * /run/secrets and /run/secrets-for-users are sops-nix's, /run/partitioning-secrets is clan's. clan
 * stores activation secrets on a disk, where vmcred stores no plaintext.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "base/text.h"
#include "config/config.h"

static const struct config_phase phases[CONFIG_PHASES] = {
	[CONFIG_SERVICES] = {"services", CONFIG_SECRETS_LINK, "vars/", "vmcred-activate.service"},
	[CONFIG_USERS] = {"users", "/run/secrets-for-users", "vars/",
			  "vmcred-activate-users.service"},
	[CONFIG_ACTIVATION] = {"activation", "/run/activation-secrets", "", NULL},
	[CONFIG_PARTITIONING] = {"partitioning", "/run/partitioning-secrets", "", NULL},
};

const char *const config_phase_names[] = {"services", "users", "activation", "partitioning", NULL};

const struct config_phase *config_phase_get(enum config_needed_for needed_for)
{
	return &phases[needed_for];
}

int config_phase_find(const char *name, enum config_needed_for *needed_for, struct error *err)
{
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		if (strcmp(name, phases[i].name) == 0) {
			*needed_for = (enum config_needed_for)i;
			return 0;
		}
	}
	error_set(err, VMCRED_USAGE, "unknown phase \"%s\"", name);
	return name_hint(name, config_phase_names, err);
}

char *config_load_path(const struct config_load *load)
{
	const struct config_phase *phase = config_phase_get(load->needed_for);

	if (!load->generator)
		return strdup(load->source);
	return text_format("%s/%s%s/%s", phase->link, phase->prefix, load->generator, load->file);
}

/* (uid_t)-1 is not an ID. */
#define ID_MAX (UINT32_MAX - 1)

bool config_owner_number(const char *owner, uint32_t *number)
{
	size_t length = strlen(owner);
	unsigned long long value;

	*number = 0;
	if (strcmp(owner, "root") == 0)
		return true;
	if (length == 0 || strspn(owner, "0123456789") != length)
		return false;
	errno = 0;
	value = strtoull(owner, NULL, 10);
	*number = errno == 0 && value <= ID_MAX ? (uint32_t)value : UINT32_MAX;
	return true;
}
