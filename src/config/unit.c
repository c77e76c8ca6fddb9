/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd units that VMs run in. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/config.h"

#define TEMPLATE "microvm@"
#define SUFFIX   ".service"

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* What an instance's name stands for: "-" for '/', "\\xNN" for a byte (systemd.unit(5)). In place.
 */
static void instance_unescape(char *name)
{
	const char *from = name;
	char *to = name;

	for (; *from; to++) {
		int high = from[0] == '\\' && from[1] == 'x' ? hex_digit(from[2]) : -1;
		int low = high >= 0 ? hex_digit(from[3]) : -1;

		/* A NUL is in no name, and would end this one. */
		if (low >= 0 && (high | low) != 0) {
			*to = (char)(high << 4 | low);
			from += 4;
		} else {
			*to = *from++;
			if (*to == '-')
				*to = '/';
		}
	}
	*to = '\0';
}

/* What is between "microvm@" and ".service", or NULL. The caller frees it. */
static char *instance_of(const char *unit)
{
	size_t length = strlen(unit);

	if (length <= strlen(TEMPLATE) + strlen(SUFFIX) ||
	    strncmp(unit, TEMPLATE, strlen(TEMPLATE)) != 0 ||
	    strcmp(unit + length - strlen(SUFFIX), SUFFIX) != 0)
		return NULL;
	return strndup(unit + strlen(TEMPLATE), length - strlen(TEMPLATE) - strlen(SUFFIX));
}

bool config_vm_has_default_unit(const struct config_vm *vm)
{
	size_t name = strlen(vm->name);

	return strncmp(vm->unit, TEMPLATE, strlen(TEMPLATE)) == 0 &&
	       strncmp(vm->unit + strlen(TEMPLATE), vm->name, name) == 0 &&
	       strcmp(vm->unit + strlen(TEMPLATE) + name, SUFFIX) == 0;
}

const struct config_vm *config_vm_of_unit(const struct config *config, const char *unit)
{
	_cleanup_free_ char *instance = instance_of(unit);

	for (size_t i = 0; i < config->vm_count; i++) {
		if (strcmp(config->vms[i].unit, unit) == 0)
			return &config->vms[i];
	}
	if (instance)
		instance_unescape(instance);
	/* One that says another unit does not run in this one. */
	for (size_t i = 0; instance && i < config->vm_count; i++) {
		if (strcmp(config->vms[i].name, instance) == 0 &&
		    config_vm_has_default_unit(&config->vms[i]))
			return &config->vms[i];
	}
	return NULL;
}
