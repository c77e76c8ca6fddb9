/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM's unit is told about its credentials: systemd.exec(5), "Credentials". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/config.h"

/* CONFIG_ABSENT as a unit file has it. */
#define ABSENT_ESCAPED "\\x00absent"

/* A name in a unit file: '%' starts a specifier there (systemd.unit(5)). NULL without memory. */
static char *specifiers_escape(const char *name)
{
	char *escaped = malloc(2 * strlen(name) + 1), *to = escaped;

	for (; escaped && *name; name++) {
		if (*name == '%')
			*to++ = '%';
		*to++ = *name;
	}
	if (escaped)
		*to = '\0';
	return escaped;
}

static const char *socket_of(const struct config_vm *vm)
{
	return vm->source == CONFIG_SOURCE_SOCKET ? CONFIG_SOCKET_PATH : NULL;
}

static char *load_line(const struct config_load *load, const char *socket)
{
	_cleanup_free_ char *credential = specifiers_escape(load->credential);
	/* A generator's and a file's name have no '%' in them. */
	_cleanup_free_ char *path = socket ? strdup(socket) : config_load_path(load);
	char *line = NULL;

	if (!credential || !path || asprintf(&line, "LoadCredential=%s:%s", credential, path) < 0)
		return NULL;
	return line;
}

bool config_vm_is_optional(const struct config_vm *vm, const char *credential)
{
	bool optional = false;

	for (size_t i = 0; i < vm->credential_file_count; i++) {
		if (strcmp(vm->credential_files[i].credential, credential) != 0)
			continue;
		if (!vm->credential_files[i].optional)
			return false;
		optional = true;
	}
	return optional;
}

char *config_vm_load_line(const struct config_vm *vm, const char *credential)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (strcmp(vm->loads[i].credential, credential) == 0)
			return load_line(&vm->loads[i], socket_of(vm));
	}
	return NULL;
}

int config_vm_socket_check(const struct config_vm *vm, struct error *err)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		const char *credential = vm->loads[i].credential;
		size_t size = strlen(vm->unit) + strlen(credential);

		if (size <= CONFIG_SOCKET_NAMES_SIZE_MAX)
			continue;
		error_set(err, VMCRED_USAGE,
			  "systemd cannot ask a socket for %s for %s: the names have %zu bytes, "
			  "and %d is all that it can say",
			  credential, vm->unit, size, CONFIG_SOCKET_NAMES_SIZE_MAX);
		return error_hint(err, "give one of them a shorter name");
	}
	return 0;
}

static bool vm_loads_of(const struct config_vm *vm, enum config_needed_for needed_for)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (vm->loads[i].needed_for == needed_for)
			return true;
	}
	return false;
}

/* "Wants=" or "After=" the units that make what the VM loads, if there are any. */
static void order_print(FILE *stream, const struct config_vm *vm, const char *socket,
			const char *key)
{
	bool any = false;

	if (socket) {
		fprintf(stream, "%s=vmcred.socket\n", key);
		return;
	}
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		const char *unit = config_phase_get((enum config_needed_for)i)->unit;

		if (!unit || !vm_loads_of(vm, (enum config_needed_for)i))
			continue;
		fprintf(stream, "%s%s%s", any ? "" : key, any ? " " : "=", unit);
		any = true;
	}
	fputs(any ? "\n" : "", stream);
}

/* Where an optional credential's file is missing, systemd takes what SetCredential= gives; the
 * socket answers for itself. */
static int load_print(FILE *stream, const struct config_vm *vm, const struct config_load *load,
		      const char *socket)
{
	_cleanup_free_ char *line = load_line(load, socket);
	_cleanup_free_ char *credential = specifiers_escape(load->credential);

	if (!line || !credential)
		return -1;
	fprintf(stream, "%s\n", line);
	if (!socket && config_vm_is_optional(vm, load->credential))
		fprintf(stream, "SetCredential=%s:" ABSENT_ESCAPED "\n", credential);
	return 0;
}

char *config_vm_dropin(const struct config *config, const struct config_vm *vm, const char *socket)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	const char *from = socket ? socket : socket_of(vm);
	size_t size = 0;

	stream = open_memstream(&text, &size);
	if (!stream)
		return NULL;
	fprintf(stream, "# Made by `vmcred units` from %s; changes here are lost.\n", config->path);
	fprintf(stream, "[Unit]\n");
	order_print(stream, vm, from, "Wants");
	order_print(stream, vm, from, "After");
	fprintf(stream, "[Service]\n");
	for (size_t i = 0; i < vm->load_count; i++) {
		if (load_print(stream, vm, &vm->loads[i], from) < 0)
			return NULL;
	}
	if (fflush(stream) != 0 || ferror(stream))
		return NULL;
	fclose(stream);
	stream = NULL;
	return pointer_release(&text);
}
