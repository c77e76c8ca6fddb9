/* SPDX-License-Identifier: Apache-2.0 */
/* Which machine this is, and which VMs run on it. */
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "config/schema.h"

#define VARIABLE "VMCRED_MACHINE"

/* The units' environment. Commands outside of the units read the machine's name in it, too. */
#define ENVIRONMENT_PATH     "/etc/vmcred/activate.env"
#define ENVIRONMENT_SIZE_MAX ((size_t)64 * 1024)

/* The variable's value in the file, or NULL. The caller frees it. */
static char *environment_read(void)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *text = NULL;
	char *rest = NULL;

	if (file_read_text(AT_FDCWD, ENVIRONMENT_PATH, ENVIRONMENT_SIZE_MAX, &text, NULL,
			   &ignored) < 0)
		return NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		line += strspn(line, " \t");
		if (strncmp(line, VARIABLE "=", strlen(VARIABLE "=")) != 0)
			continue;
		line += strlen(VARIABLE "=");
		line += strspn(line, " \t\"'");
		return strndup(line, strcspn(line, " \t\r\"'"));
	}
	return NULL;
}

/* The machine named like the host, with or without its domain, or NULL. */
static const struct config_machine *host_find(const struct config *config, struct utsname *host)
{
	const struct config_machine *machine;

	if (uname(host) < 0)
		return NULL;
	machine = config_machine_find(config, host->nodename);
	host->nodename[strcspn(host->nodename, ".")] = '\0';
	return machine ? machine : config_machine_find(config, host->nodename);
}

/* The name that is given, or else that of the environment, or NULL. The caller frees it. */
static char *name_find(const char *given)
{
	if (!given)
		given = getenv(VARIABLE);
	return given && *given ? strdup(given) : environment_read();
}

bool config_machine_is_here(const struct config_machine *machine, const char *given, char **here)
{
	struct utsname host = {0};

	*here = name_find(given);
	if (*here)
		return strcmp(*here, machine->name) == 0;
	(void)uname(&host);
	if (strcmp(host.nodename, machine->name) == 0)
		return true;
	host.nodename[strcspn(host.nodename, ".")] = '\0';
	*here = strdup(host.nodename);
	return strcmp(host.nodename, machine->name) == 0;
}

int config_machine_of_host(const struct config *config, const char *given,
			   const struct config_machine **machine, struct error *err)
{
	_cleanup_free_ char *written = given ? NULL : name_find(NULL);
	struct utsname host = {0};

	*machine = NULL;
	if (given || (written && *written)) {
		*machine = config_machine_get(config, given ? given : written, err);
		if (!*machine && !given)
			error_wrap(err, VARIABLE);
		return *machine ? 0 : -(int)err->code;
	}
	*machine = host_find(config, &host);
	if (!*machine && config->machine_count == 1)
		*machine = &config->machines[0];
	return 0;
}

const struct config_machine *config_machine_choose(const struct config *config, const char *given,
						   struct error *err)
{
	const struct config_machine *machine;
	struct utsname host = {0};

	if (config_machine_of_host(config, given, &machine, err) < 0 || machine)
		return machine;
	(void)host_find(config, &host);
	error_set(err, VMCRED_USAGE,
		  "%s declares %zu machines, and none is named like this host (%s)", config->path,
		  config->machine_count, host.nodename);
	error_hint(err, "choose one with $" VARIABLE ", or --machine where the command has it");
	return NULL;
}

int config_vms_keep(struct config *config, const char *machine, struct error *err)
{
	struct config_vm *elsewhere =
		schema_allocate(config, config->vm_count + 1, sizeof(*elsewhere), err);
	size_t kept = 0, moved = 0;

	if (!elsewhere)
		return -(int)err->code;
	for (size_t i = 0; i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		if (vm->machine && strcmp(vm->machine, machine) != 0)
			elsewhere[moved++] = *vm;
		else
			config->vms[kept++] = *vm;
	}
	config->vm_count = kept;
	config->vms_elsewhere = elsewhere;
	config->vm_elsewhere_count = moved;
	return 0;
}

int config_vms_choose(struct config *config, const char *given, struct error *err)
{
	const struct config_machine *machine;
	bool any = given != NULL;

	for (size_t i = 0; !any && i < config->vm_count; i++)
		any = config->vms[i].machine != NULL;
	if (!any)
		return 0;
	machine = config_machine_choose(config, given, err);
	return machine ? config_vms_keep(config, machine->name, err) : -(int)err->code;
}
