/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd units of VMs, and the lines that give them credentials (systemd.exec(5)). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "channel/channel.h"
#include "config/schema.h"

#define TEMPLATE "microvm@"
#define SUFFIX   ".service"

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Unescapes an instance's name in place: "-" is '/', "\\xNN" a byte (systemd.unit(5)). */
static void instance_unescape(char *name)
{
	const char *from = name;
	char *to = name;

	for (; *from; to++) {
		int high = from[0] == '\\' && from[1] == 'x' ? hex_digit(from[2]) : -1;
		int low = high >= 0 ? hex_digit(from[3]) : -1;

		/* A NUL would end the name. */
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

/* The instance of microvm@INSTANCE.service, or NULL. The caller frees it. */
static char *instance_of(const char *unit)
{
	size_t length = strlen(unit);

	if (length <= strlen(TEMPLATE) + strlen(SUFFIX) ||
	    strncmp(unit, TEMPLATE, strlen(TEMPLATE)) != 0 ||
	    strcmp(unit + length - strlen(SUFFIX), SUFFIX) != 0)
		return NULL;
	return strndup(unit + strlen(TEMPLATE), length - strlen(TEMPLATE) - strlen(SUFFIX));
}

bool schema_vm_has_default_unit(const struct config_vm *vm)
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
	/* A VM with another unit does not run in this one. */
	for (size_t i = 0; instance && i < config->vm_count; i++) {
		if (strcmp(config->vms[i].name, instance) == 0 &&
		    schema_vm_has_default_unit(&config->vms[i]))
			return &config->vms[i];
	}
	return NULL;
}

/* CONFIG_ABSENT in a unit file. */
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

bool config_vm_uses_store(const struct config_vm *vm)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (vm->loads[i].generator)
			return true;
	}
	return false;
}

static const char *socket_of(const struct config_vm *vm)
{
	return vm->source == CONFIG_SOURCE_SOCKET ? CONFIG_SOCKET_PATH : NULL;
}

/* A path is loaded from there, whatever provides the secrets of the store. */
static const char *load_socket(const struct config_load *load, const char *socket)
{
	return load->generator ? socket : NULL;
}

static char *load_line(const struct config_load *load, const char *socket)
{
	_cleanup_free_ char *credential = specifiers_escape(load->credential);
	_cleanup_free_ char *path = socket ? strdup(socket) : config_load_path(load);
	_cleanup_free_ char *escaped = path ? specifiers_escape(path) : NULL;

	return credential && escaped ? text_format("LoadCredential=%s:%s", credential, escaped)
				     : NULL;
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
			return load_line(&vm->loads[i], load_socket(&vm->loads[i], socket_of(vm)));
	}
	return NULL;
}

static int socket_names_check(const struct config_vm *vm, const char *credential, struct error *err)
{
	size_t size = strlen(vm->unit) + strlen(credential);

	if (size <= CONFIG_SOCKET_NAMES_SIZE_MAX)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "systemd cannot request %s for %s from a socket: the names have %zu bytes, "
		  "more than %d",
		  credential, vm->unit, size, CONFIG_SOCKET_NAMES_SIZE_MAX);
	return error_hint(err, "use shorter names");
}

int config_vm_socket_check(const struct config_vm *vm, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < vm->load_count; i++) {
		if (vm->loads[i].generator)
			r = socket_names_check(vm, vm->loads[i].credential, err);
	}
	return r;
}

int config_vm_channel_check(const struct config_vm *vm, struct error *err)
{
	return vm->channel_count > 0 ? socket_names_check(vm, CHANNEL_CREDENTIAL, err) : 0;
}

static bool vm_loads_of(const struct config_vm *vm, enum config_needed_for needed_for)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (vm->loads[i].generator && vm->loads[i].needed_for == needed_for)
			return true;
	}
	return false;
}

/* "Wants=" or "After=" with the units that provide the credentials, if there are any. */
static void order_print(FILE *stream, const struct config_vm *vm, const char *socket,
			const char *key)
{
	bool any = false;

	if (vm->channel_count > 0)
		fprintf(stream, "%s=vmcred.socket vmcred-channel.socket vmcred-vsock.socket\n",
			key);
	if (socket) {
		if (config_vm_uses_store(vm) && vm->channel_count == 0)
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

/* If an optional credential's file is missing, systemd uses SetCredential=. The socket answers for
 * missing credentials itself. */
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

/* The value has no specifiers, but C's escapes. */
static void entry_print(FILE *stream, const char *entry)
{
	fprintf(stream, "SetCredential=" CONFIG_ENTRY_CREDENTIAL ":");
	for (; *entry; entry++) {
		const size_t size = strcspn(entry, "\\");

		fwrite(entry, 1, size, stream);
		entry += size;
		if (!*entry)
			break;
		fputs("\\\\", stream);
	}
	fputc('\n', stream);
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
	fprintf(stream, CONFIG_DROPIN_HEADER, config->path);
	fprintf(stream, "[Unit]\n");
	order_print(stream, vm, from, "Wants");
	order_print(stream, vm, from, "After");
	fprintf(stream, "[Service]\n");
	for (size_t i = 0; i < vm->load_count; i++) {
		if (load_print(stream, vm, &vm->loads[i], load_socket(&vm->loads[i], from)) < 0)
			return NULL;
	}
	if (vm->channel_count > 0)
		fprintf(stream, "LoadCredential=" CHANNEL_CREDENTIAL ":%s\n",
			socket ? socket : CONFIG_SOCKET_PATH);
	if (vm->entry)
		entry_print(stream, vm->entry);
	if (fflush(stream) != 0 || ferror(stream))
		return NULL;
	fclose(stream);
	stream = NULL;
	return pointer_release(&text);
}
