/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "initrd/initrd.h"
#include "vmm/cloud_hypervisor/values.h"
#include "vmm/driver.h"

/* The last version whose API accepts no more than OEM_LIMIT_API_BODY. */
#define SMALL_BODY_VERSION 53

static void cloud_hypervisor_destroy(void *prepared)
{
	cloud_hypervisor_config_destroy(prepared);
	free(prepared);
}

#if defined(__aarch64__)
#define IS_AARCH64 true
#else
#define IS_AARCH64 false
#endif

/* In the header of its kernels: Linux's Documentation/arch/arm64/booting.rst. */
#define AARCH64_MAGIC        "ARM\x64"
#define AARCH64_MAGIC_SIZE   4
#define AARCH64_MAGIC_OFFSET 56

/* Whether guests of that architecture have an SMBIOS table: not on aarch64 (arch/src/aarch64 of
 * Cloud Hypervisor's sources). The guest's processor is the host's, or that of its kernel. */
static bool guest_has_smbios(const struct cloud_hypervisor_config *config)
{
	const char *kernel = json_string_value(option_member_get(config->vm, "payload.kernel"));
	char magic[AARCH64_MAGIC_SIZE] = "";
	_cleanup_close_ int fd =
		kernel ? open(kernel, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;

	if (fd >= 0 && pread(fd, magic, sizeof(magic), AARCH64_MAGIC_OFFSET) < 0)
		return !IS_AARCH64;
	return !IS_AARCH64 && memcmp(magic, AARCH64_MAGIC, sizeof(magic)) != 0;
}

/* --help, --version, or -h or -V among short options, as in -vV. To clap, none of them is a value.
 */
static bool cloud_hypervisor_is_query(char *const *argv)
{
	while (*++argv && strcmp(*argv, "--") != 0) {
		const char *argument = *argv;
		const char *letter =
			argument[0] == '-' ? argument + 1 + strspn(argument + 1, "v") : "";

		if (*letter == 'h' || *letter == 'V' || strcmp(argument, "--help") == 0 ||
		    strcmp(argument, "--version") == 0)
			return true;
	}
	return false;
}

static int cloud_hypervisor_prepare(struct vmm_launch *launch, struct error *err)
{
	struct cloud_hypervisor_config *config = calloc(1, sizeof(*config));
	const json_t *platform, *vsock;
	int r;

	if (!config)
		return error_no_memory(err);
	launch->prepared = config;
	config->vm_config_declared = launch->vm_config;
	r = cloud_hypervisor_config_read(launch->argv, config, err);
	for (size_t i = 0; i < config->oem_strings.count && r == 0; i++)
		r = oem_list_add_literal(&launch->list, OEM_ARGUMENTS,
					 span_of_text(config->oem_strings.items[i]), launch->report,
					 err);
	platform = json_object_get(config->vm, "platform");
	launch->is_confidential = json_is_true(json_object_get(platform, "sev_snp")) ||
				  json_is_true(json_object_get(platform, "tdx"));
	vsock = json_object_get(config->vm, "vsock");
	launch->vsock.socket = json_string_value(json_object_get(vsock, "socket"));
	if (launch->vsock.socket)
		launch->vsock.cid = (uint32_t)json_integer_value(json_object_get(vsock, "cid"));
	config->has_smbios = guest_has_smbios(config);
	if (launch->transport == VMM_TRANSPORT_DEFAULT && !config->has_smbios)
		launch->transport = VMM_TRANSPORT_INITRD;
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

/* Whether option_parser, which splits and trims, would leave a string unchanged. */
static int literal_check(const struct vmm_launch *launch, const struct oem_string *string,
			 struct error *err)
{
	const char *name = string->name ? string->name : "an OEM string";
	const struct span text = secret_span(&string->text);
	int r = 0;

	for (size_t i = 0; i < text.size && r == 0; i++) {
		if (strchr(",[]\"", text.data[i]))
			r = error_set(err, VMCRED_USAGE,
				      "the command line cannot carry %s, which contains '%c'", name,
				      text.data[i]);
	}
	if (r == 0 && (isspace(text.data[0]) || isspace(text.data[text.size - 1])))
		r = error_set(err, VMCRED_USAGE,
			      "the command line cannot carry %s, which starts or ends with a space",
			      name);
	return r < 0 ? error_hint(err, "remove %s",
				  vmm_option(launch, "--expose=argv", "expose: argv"))
		     : 0;
}

/* Options of vmcred that are not possible here. */
static int options_check(const struct vmm_launch *launch, struct error *err)
{
	const struct cloud_hypervisor_config *config = launch->prepared;
	bool by_argv = launch->expose & VMM_EXPOSE_ARGV;
	const char *exec = vmm_option(launch, "--exec", "exec");
	const char *expose_argv = vmm_option(launch, "--expose=argv", "expose: argv");

	if (launch->transport == VMM_TRANSPORT_FW_CFG)
		return error_set(err, VMCRED_USAGE, "%s is only for QEMU",
				 vmm_option(launch, "--transport=fw_cfg", "transport: fw_cfg"));
	if (launch->transport == VMM_TRANSPORT_SMBIOS && !config->has_smbios &&
	    vmm_has_strings(launch)) {
		error_set(err, VMCRED_USAGE,
			  "cannot deliver OEM strings: its guests have no SMBIOS table on aarch64");
		return error_hint(err, "use %s",
				  vmm_option(launch, "--transport=initrd", "transport: initrd"));
	}
	if (!by_argv && launch->parent == VMM_PARENT_EXEC) {
		error_set(err, VMCRED_USAGE,
			  "%s is not supported: Cloud Hypervisor gets its VM from a parent process",
			  exec);
		return error_hint(err, "remove %s", exec);
	}
	if (by_argv && launch->parent == VMM_PARENT_STAYS)
		return error_set(err, VMCRED_USAGE, "%s cannot be combined with %s", expose_argv,
				 vmm_staying_options(launch));
	if (by_argv && (config->vm_config || config->merged))
		return error_set(err, VMCRED_USAGE, "%s cannot be combined with %s", expose_argv,
				 config->vm_config         ? "--vm-config"
				 : config->vm_config_merge ? "--vm-config-merge"
							   : "vmConfig");
	if (config->logs_config && list_has_secrets(&launch->list) &&
	    !(launch->expose & VMM_EXPOSE_LOG)) {
		error_set(err, VMCRED_USAGE,
			  "-v logs the VM's configuration, including credentials");
		return error_hint(err, "remove -v, or accept that with %s",
				  vmm_option(launch, "--expose=log", "expose: log"));
	}
	return 0;
}

static int transport_initrd_check(const struct vmm_launch *launch, struct error *err)
{
	const struct cloud_hypervisor_config *config = launch->prepared;

	if (launch->expose & VMM_EXPOSE_ARGV)
		return error_set(err, VMCRED_USAGE,
				 "%s cannot be combined with credentials in the initrd",
				 vmm_option(launch, "--expose=argv", "expose: argv"));
	if (!json_string_value(option_member_get(config->vm, CLOUD_HYPERVISOR_INITRD))) {
		error_set(err, VMCRED_USAGE,
			  "credentials are delivered in the initrd, and the command line has none");
		return error_hint(err, "add --initramfs");
	}
	/* It drops the initrd, with a warning: vmm/src/vm_config.rs, PayloadConfig::validate(). */
	if (!json_string_value(option_member_get(config->vm, "payload.kernel"))) {
		error_set(err, VMCRED_USAGE,
			  "credentials are delivered in the initrd, which firmware does not load");
		return error_hint(err, "boot a kernel with --kernel");
	}
	/* The kernel accepts no rule for it: security/landlock/syscalls.c, get_path_from_fd(). */
	if (json_is_true(json_object_get(config->vm, "landlock_enable"))) {
		error_set(err, VMCRED_USAGE,
			  "credentials are delivered in the initrd, a memory file, which Landlock "
			  "does not support");
		return error_hint(err, "remove --landlock");
	}
	return initrd_check(&launch->list, err);
}

static int cloud_hypervisor_check(struct vmm_launch *launch, struct error *err)
{
	struct cloud_hypervisor_config *config = launch->prepared;
	enum oem_limit limit = OEM_LIMIT_API_BODY;
	int r;

	if (config->restores) {
		if (launch->list.count == 0)
			return 0;
		error_set(err, VMCRED_USAGE,
			  "--restore: a restored VM keeps the OEM strings of its snapshot and "
			  "accepts no others");
		return error_hint(err, "deliver credentials to a VM that is booted");
	}
	r = options_check(launch, err);
	config->uses_initrd = vmm_transport_find(launch) == VMM_TRANSPORT_INITRD;
	if (r == 0 && config->uses_initrd && vmm_has_strings(launch))
		r = transport_initrd_check(launch, err);
	if (launch->expose & VMM_EXPOSE_ARGV) {
		for (size_t i = 0; i < launch->list.count && r == 0; i++) {
			if (launch->list.strings[i].origin != OEM_ARGUMENTS)
				r = literal_check(launch, &launch->list.strings[i], err);
		}
		return r;
	}
	if (r == 0)
		r = cloud_hypervisor_config_body(config, &launch->list, &config->body, err);
	if (r < 0)
		return r;
	launch->body_size = config->body.size;
	/* Asking for the version starts a process, so only if it matters. */
	if (config->body.size > oem_limit_max(limit) &&
	    program_version(launch->program, "cloud-hypervisor v") > SMALL_BODY_VERSION)
		limit = OEM_LIMIT_API_BODY_LARGE;
	return oem_limit_check(limit, config->body.size, err);
}

/* Becomes Cloud Hypervisor, with "--platform …,oem_strings=[…]" as without vmcred. */
static int literals_exec(struct vmm_launch *launch, struct error *err)
{
	const struct cloud_hypervisor_config *config = launch->prepared;
	_cleanup_strings_ struct strings argv = {0};
	_cleanup_secret_ struct secret platform = {0};
	int r = strings_add(&argv, launch->argv[0], err);

	for (char *const *argument = launch->argv + 1; r == 0 && *argument; argument++) {
		if (strcmp(*argument, "--platform") == 0 && argument[1])
			argument++;
		else if (strncmp(*argument, "--platform=", strlen("--platform=")) != 0)
			r = strings_add(&argv, *argument, err);
	}
	for (size_t i = 0; i < config->platform.count && r == 0; i++) {
		r = secret_append_text(&platform, config->platform.items[i], err);
		if (r == 0)
			r = secret_append_text(&platform, ",", err);
	}
	if (r == 0)
		r = secret_append_text(&platform, "oem_strings=", err);
	for (size_t i = 0; i < launch->list.count && r == 0; i++) {
		r = secret_append_text(&platform, i > 0 ? "," : "[", err);
		if (r == 0)
			r = secret_append(&platform, secret_span(&launch->list.strings[i].text),
					  err);
	}
	if (r == 0)
		r = secret_append(&platform, span_of("]", sizeof("]")), err);
	if (r == 0)
		r = strings_add(&argv, "--platform", err);
	if (r == 0)
		r = strings_add(&argv, (const char *)platform.data, err);
	return r < 0 ? r : vmm_exec(launch, argv.items, err);
}

static int cloud_hypervisor_start(struct vmm_launch *launch, struct notify *notify,
				  struct error *err)
{
	struct cloud_hypervisor_config *config = launch->prepared;

	if (!config->restores && !(launch->expose & VMM_EXPOSE_ARGV))
		return cloud_hypervisor_boot(launch, config, notify, err);
	notify_exec(notify);
	return launch->list.count > 0 ? literals_exec(launch, err)
				      : vmm_exec(launch, launch->argv, err);
}

const struct vmm_ops vmm_cloud_hypervisor = {
	.name = "Cloud Hypervisor",
	.transport = IS_AARCH64 ? VMM_TRANSPORT_INITRD : VMM_TRANSPORT_DEFAULT,
	.programs = (const char *const[]){"cloud-hypervisor*", NULL},
	.is_query = cloud_hypervisor_is_query,
	.prepare = cloud_hypervisor_prepare,
	.check = cloud_hypervisor_check,
	.start = cloud_hypervisor_start,
	.destroy = cloud_hypervisor_destroy,
};
