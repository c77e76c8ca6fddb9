/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/cloud_hypervisor/config.h"
#include "vmm/cloud_hypervisor/descriptors.h"
#include "vmm/cloud_hypervisor/exec.h"
#include "vmm/cloud_hypervisor/launch.h"
#include "vmm/drivers.h"
#include "vmm/notify.h"

/*
 * Cloud Hypervisor takes OEM strings on its command line or through its API; only the API is out of
 * sight. So its command line is translated to a configuration (_config.c), word by word, option by
 * option (_options.c), key by key (_keys.c, _devices.c; _object.c, _values.c, _lists.c and
 * _syntax.c read them), or a file gives it (_file.c). _body.c makes the request of it,
 * _descriptors.c and _version.c see to what a request alone cannot carry, _requests.c talks to the
 * API, and _launch.c or _exec.c starts the program for that.
 */

static int cloud_hypervisor_arguments_read(char *const *argv, struct oem_list *list,
					   const struct report *report, struct error *err)
{
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config config = {0};
	int r = cloud_hypervisor_config_read(argv, &config, err);

	for (size_t i = 0; i < config.oem_strings.count && r == 0; i++)
		r = oem_list_add_literal(list, OEM_ARGUMENTS,
					 span_of_text(config.oem_strings.words[i]), report, err);
	return r;
}

static bool list_has_secrets(const struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].origin == OEM_RUNTIME)
			return true;
	}
	return false;
}

/* Whether a string means the same on the command line: option_parser splits and trims. */
static int literal_check(const struct oem_string *string, struct error *err)
{
	const struct span text = secret_span(&string->text);

	for (size_t i = 0; i < text.size; i++) {
		if (!strchr(",[]\"", text.data[i]))
			continue;
		return error_set(err, VMCRED_USAGE,
				 "its command line cannot carry %s: it has a '%c' in it",
				 string->name ? string->name : "an OEM string", text.data[i]);
	}
	if (isspace(text.data[0]) || isspace(text.data[text.size - 1]))
		return error_set(err, VMCRED_USAGE,
				 "its command line cannot carry %s: it starts or ends with a space",
				 string->name ? string->name : "an OEM string");
	return 0;
}

static int expose_check(const struct cloud_hypervisor_config *config,
			const struct vmm_launch *launch, struct error *err)
{
	if (config->logs_config && list_has_secrets(launch->list) &&
	    !(launch->expose & VMM_EXPOSE_LOG)) {
		error_set(err, VMCRED_USAGE,
			  "with -v it logs the VM's whole configuration, credentials included");
		return error_hint(err, "leave -v out, or accept that with --expose=log");
	}
	if (!(launch->expose & VMM_EXPOSE_ARGV))
		return 0;
	if (config->vm_config)
		return error_set(
			err, VMCRED_USAGE,
			"--vm-config has no place on a command line: leave --expose=argv out");
	for (size_t i = 0; i < launch->list->count; i++) {
		int r = launch->list->strings[i].origin == OEM_ARGUMENTS
				? 0
				: literal_check(&launch->list->strings[i], err);

		if (r < 0)
			return error_hint(err, "leave --expose=argv out");
	}
	return 0;
}

/* Its version is asked for only where it makes a difference: that is a process more. */
static int body_size_check(const char *program, size_t size, struct error *err)
{
	int version;

	if (size <= oem_limit_max(OEM_LIMIT_API_BODY))
		return 0;
	version = cloud_hypervisor_version(program);
	if (version > CLOUD_HYPERVISOR_SMALL_BODY_VERSION)
		return oem_limit_check(OEM_LIMIT_API_BODY_LARGE, size, err);
	return oem_limit_check(OEM_LIMIT_API_BODY, size, err);
}

/* Words of ours that do not go together here. */
static int parent_check(const struct vmm_launch *launch, struct error *err)
{
	if (launch->transport == VMM_TRANSPORT_FW_CFG)
		return error_set(err, VMCRED_USAGE, "--transport=fw_cfg is for QEMU alone");
	if (!(launch->expose & VMM_EXPOSE_ARGV) || launch->parent != VMM_PARENT_STAYS)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "with --expose=argv vmcred becomes Cloud Hypervisor, and cannot stay");
	return error_hint(err,
			  "leave --expose=argv out, or --supervise, --notify and --stop-timeout");
}

/* What cannot be put into a VM that was there before. */
static int restore_check(const struct vmm_launch *launch, struct error *err)
{
	if (launch->list->count == 0)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "--restore: a restored VM has the OEM strings of its snapshot, and takes no "
		  "others");
	return error_hint(err, "deliver credentials to a VM that is started anew");
}

static int cloud_hypervisor_check(const struct vmm_launch *launch, size_t *body_size,
				  struct error *err)
{
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config config = {0};
	_cleanup_secret_ struct secret body = {0};
	int r = cloud_hypervisor_config_read(launch->argv, &config, err);

	*body_size = 0;
	if (r == 0 && config.restores)
		return restore_check(launch, err);
	if (r == 0)
		r = parent_check(launch, err);
	if (r == 0)
		r = expose_check(&config, launch, err);
	if (r < 0 || (launch->expose & VMM_EXPOSE_ARGV))
		return r;
	r = cloud_hypervisor_config_body(&config, launch->list, &body, err);
	if (r < 0)
		return r;
	*body_size = body.size;
	return body_size_check(launch->program, body.size, err);
}

/* "--platform …,oem_strings=[…]": what it would take without vmcred. */
static int literals_exec(const struct vmm_launch *launch,
			 const struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_command_ struct command command = {0};
	_cleanup_secret_ struct secret platform = {0};
	int r = command_add(&command, launch->argv[0], err);

	for (char *const *word = launch->argv + 1; r == 0 && *word; word++) {
		if (strncmp(*word, "--platform=", strlen("--platform=")) == 0)
			continue;
		if (strcmp(*word, "--platform") == 0 && word[1])
			word++;
		else
			r = command_add(&command, *word, err);
	}
	for (size_t i = 0; i < config->platform.count && r == 0; i++) {
		r = secret_append_text(&platform, config->platform.words[i], err);
		if (r == 0)
			r = secret_append_text(&platform, ",", err);
	}
	if (r == 0)
		r = secret_append_text(&platform, "oem_strings=[", err);
	for (size_t i = 0; i < launch->list->count && r == 0; i++) {
		r = i > 0 ? secret_append_text(&platform, ",", err) : 0;
		if (r == 0)
			r = secret_append(&platform, secret_span(&launch->list->strings[i].text),
					  err);
	}
	if (r == 0)
		r = secret_append(&platform, span_of("]", 2), err);
	if (r == 0)
		r = command_add(&command, "--platform", err);
	if (r == 0)
		r = command_add(&command, (const char *)platform.data, err);
	if (r < 0 || !command.words)
		return r;
	oem_list_destroy(launch->list);
	execvp(launch->program, command.words);
	return command_exec_error(launch->program, errno, err);
}

static int cloud_hypervisor_vsock_find(const struct vmm_launch *launch, struct vmm_vsock *vsock,
				       struct error *err)
{
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config config = {0};
	int r = cloud_hypervisor_config_read(launch->argv, &config, err);
	const json_t *device = json_object_get(config.vm, "vsock");
	const char *socket = json_string_value(json_object_get(device, "socket"));

	if (r < 0 || !socket)
		return r;
	vsock->cid = (uint32_t)json_integer_value(json_object_get(device, "cid"));
	vsock->socket = strdup(socket);
	return vsock->socket ? 0 : error_no_memory(err);
}

static int cloud_hypervisor_launch(struct vmm_launch *launch, struct notify *notify,
				   struct error *err)
{
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config config = {0};
	int r = cloud_hypervisor_config_read(launch->argv, &config, err);

	if (r == 0 && !config.restores && !(launch->expose & VMM_EXPOSE_ARGV)) {
		r = cloud_hypervisor_descriptors_keep(&config, err);
		if (r < 0)
			return r;
		return launch->parent == VMM_PARENT_EXEC
			       ? cloud_hypervisor_exec(launch, &config, notify, err)
			       : cloud_hypervisor_boot(launch, &config, notify, err);
	}
	if (r < 0)
		return r;
	notify_send(notify, "READY=1");
	if (launch->list->count > 0)
		return literals_exec(launch, &config, err);
	execvp(launch->program, launch->argv);
	return command_exec_error(launch->program, errno, err);
}

const struct vmm_ops vmm_cloud_hypervisor = {
	.name = "Cloud Hypervisor",
	.programs = (const char *const[]){"cloud-hypervisor*", NULL},
	.arguments_read = cloud_hypervisor_arguments_read,
	.check = cloud_hypervisor_check,
	.vsock_find = cloud_hypervisor_vsock_find,
	.launch = cloud_hypervisor_launch,
};
