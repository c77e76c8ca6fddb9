/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "oem/oem.h"
#include "vmm/firecracker/firecracker.h"
#include "vmm/notify.h"

/* A configuration has a few KiB; one with a CPU template has more. */
#define CONFIG_SIZE_MAX ((size_t)1024 * 1024)

/* DEFAULT_API_SOCK_PATH */
#define DEFAULT_API_SOCKET "/run/firecracker.socket"

/* The guest's systemd reads NOTIFY_CREDENTIAL so early that it must not wait for an initrd: since
 * version 253 from the kernel's command line. It is not secret. */
#define KERNEL_PARAMETER "systemd.set_credential="

static int file_parse(const char *path, struct firecracker_config *config, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r = file_read_text(AT_FDCWD, path, CONFIG_SIZE_MAX, &text, &size, err);

	if (r == 0)
		r = json_parse(span_of(text, size), path, &config->vm, err);
	if (r == 0 && !json_is_object(config->vm))
		r = error_set(err, VMCRED_USAGE, "%s is not a JSON object", path);
	return r < 0 ? error_wrap(err, "--config-file") : 0;
}

int firecracker_config_read(char *const *argv, struct firecracker_config *config, struct error *err)
{
	const json_t *boot;
	int r = 0;

	config->api_socket = DEFAULT_API_SOCKET;
	/* No value of an option starts with "--", and "--" ends the options. */
	for (size_t i = 1; argv[0] && argv[i] && strcmp(argv[i], "--") != 0 && r == 0; i++) {
		if (strcmp(argv[i], "--no-api") == 0) {
			config->api_socket = NULL;
		} else if (strcmp(argv[i], "--api-sock") == 0 && argv[i + 1]) {
			config->api_socket = argv[i + 1];
		} else if (strcmp(argv[i], "--config-file") == 0 && argv[i + 1] && !config->vm) {
			config->argument = i + 1;
			r = file_parse(argv[i + 1], config, err);
		}
	}
	boot = json_object_get(config->vm, "boot-source");
	config->initrd = json_string_value(json_object_get(boot, "initrd_path"));
	return r;
}

int firecracker_config_credentials(const struct firecracker_config *config,
				   const struct vmm_launch *launch, struct oem_list *list,
				   struct error *err)
{
	static const char parameter[] = KERNEL_PARAMETER;
	const json_t *boot = json_object_get(config->vm, "boot-source");
	const char *arguments = json_string_value(json_object_get(boot, "boot_args"));
	_cleanup_free_ char *words = strdup(arguments ? arguments : "");
	char *rest = NULL;
	int r = words ? 0 : error_no_memory(err);

	for (char *word = words ? strtok_r(words, " \t\n", &rest) : NULL; r == 0 && word;
	     word = strtok_r(NULL, " \t\n", &rest)) {
		const char *name = word + strlen(parameter);
		const char *colon = strchr(word, ':');
		_cleanup_free_ char *string = NULL;

		if (strncmp(word, parameter, strlen(parameter)) != 0 || !colon)
			continue;
		string = text_format("io.systemd.credential:%.*s=%s", (int)(colon - name), name,
				     colon + 1);
		r = string ? oem_list_add_literal(list, OEM_ARGUMENTS, span_of_text(string),
						  launch->report, err)
			   : error_no_memory(err);
	}
	return r;
}

/* Adds the address for the guest's notifications to the kernel's command line, if there is one. */
static int notify_add(json_t *boot, const struct oem_list *list, struct error *err)
{
	const char *arguments = json_string_value(json_object_get(boot, "boot_args"));

	for (size_t i = 0; arguments && i < list->count; i++) {
		const struct oem_string *string = &list->strings[i];
		_cleanup_secret_ struct secret value = {0};
		_cleanup_free_ char *text = NULL;

		if (string->origin == OEM_ARGUMENTS || !string->name ||
		    strcmp(string->name, NOTIFY_CREDENTIAL) != 0)
			continue;
		if (oem_string_value(string, &value, err) < 0)
			return -(int)err->code;
		text = text_format("%s " KERNEL_PARAMETER NOTIFY_CREDENTIAL ":%.*s", arguments,
				   (int)value.size, (const char *)value.data);
		if (!text || json_object_set_new(boot, "boot_args", json_string(text)) < 0)
			return error_no_memory(err);
		break;
	}
	return 0;
}

int firecracker_config_text(const struct firecracker_config *config, const char *initrd,
			    const struct oem_list *list, struct secret *out, struct error *err)
{
	_cleanup_json_ json_t *vm = json_deep_copy(config->vm);
	json_t *boot = json_object_get(vm, "boot-source");
	int r = 0;

	if (!vm || (initrd && json_object_set_new(boot, "initrd_path", json_string(initrd)) < 0))
		return error_no_memory(err);
	if (boot)
		r = notify_add(boot, list, err);
	return r < 0 ? r : json_append_value(out, vm, JSON_COMPACT, err);
}
