/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "vmm/command.h"
#include "vmm/drivers.h"
#include "vmm/handover.h"
#include "vmm/qemu_arguments.h"

/*
 * OEM strings reach QEMU as `-smbios type=11,path=/dev/fd/N`: whole, with every comma, quote and
 * newline, and in no argument.
 *
 * The machine type microvm has no SMBIOS table and ignores -smbios without a word. There
 * credentials go as fw_cfg files, which systemd looks at too, and plain strings cannot go at all.
 */

/* QEMU's FW_CFG_MAX_FILE_PATH without its NUL. */
#define FW_CFG_NAME_SIZE_MAX 55

static int fw_cfg_check(const struct oem_string *string, struct error *err)
{
	size_t size = strlen(QEMU_FW_CFG_PREFIX);

	if (!string->name) {
		error_set(err, VMCRED_USAGE,
			  "the machine type microvm has no SMBIOS table, so that plain OEM strings "
			  "(platformOEMStrings) cannot be delivered");
		return error_hint(err, "remove them, or take another machine type");
	}
	if (size + strlen(string->name) > FW_CFG_NAME_SIZE_MAX) {
		error_set(err, VMCRED_USAGE,
			  "on the machine type microvm a credential's name may have %zu bytes, and "
			  "%s has %zu",
			  FW_CFG_NAME_SIZE_MAX - size, string->name, strlen(string->name));
		return error_hint(err, "take a shorter name, or another machine type");
	}
	return 0;
}

static int qemu_check(const struct vmm_launch *launch, size_t *body, struct error *err)
{
	bool has_smbios;
	int r = qemu_machine_has_smbios(launch->argv, &has_smbios, err);

	*body = 0;
	for (size_t i = 0; i < launch->list->count && r == 0 && !has_smbios; i++) {
		if (launch->list->strings[i].origin != OEM_ARGUMENTS)
			r = fw_cfg_check(&launch->list->strings[i], err);
	}
	return r;
}

/* "type=11,value=…" with commas doubled. */
static int literal_add(struct command *command, const struct oem_string *string, struct error *err)
{
	_cleanup_free_ char *value = malloc(2 * string->text.size + 1);
	char *to = value;
	int r;

	if (!value)
		return error_no_memory(err);
	for (size_t i = 0; i < string->text.size; i++) {
		if (string->text.data[i] == ',')
			*to++ = ',';
		*to++ = (char)string->text.data[i];
	}
	*to = '\0';
	r = command_add(command, "-smbios", err);
	return r < 0 ? r : command_add_format(command, err, "type=11,value=%s", value);
}

/* The descriptor stays open until exec; an error on the way ends the process. */
static int path_add(struct command *command, const struct oem_string *string, struct error *err)
{
	int fd = handover_create(secret_span(&string->text), err);
	int r;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFD, 0) < 0)
		return error_set_errno(err, errno, "handing a descriptor over");
	r = command_add(command, "-smbios", err);
	return r < 0 ? r : command_add_format(command, err, "type=11,path=/dev/fd/%d", fd);
}

/* The credential's bare value as a fw_cfg file. */
static int fw_cfg_add(struct command *command, const struct oem_string *string, struct error *err)
{
	_cleanup_secret_ struct secret decoded = {0};
	struct span text = secret_span(&string->text), value;
	const uint8_t *equals = memchr(text.data, '=', text.size);
	int fd, r;

	if (!equals)
		return error_set(err, VMCRED_FAILED, "the OEM string of %s has no value",
				 string->name);
	value = span_of(equals + 1, text.size - (size_t)(equals + 1 - text.data));
	if (string->encoding == OEM_BINARY) {
		r = base64_decode_secret(value, BASE64_PADDED, &decoded, err);
		if (r < 0)
			return error_wrap(err, "the credential %s", string->name);
		value = secret_span(&decoded);
	}
	fd = handover_create(value, err);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFD, 0) < 0)
		return error_set_errno(err, errno, "handing a descriptor over");
	r = command_add(command, "-fw_cfg", err);
	return r < 0 ? r
		     : command_add_format(command, err,
					  "name=" QEMU_FW_CFG_PREFIX "%s,file=/dev/fd/%d",
					  string->name, fd);
}

static int strings_add(struct command *command, const struct vmm_launch *launch, struct error *err)
{
	bool has_smbios;
	int r = qemu_machine_has_smbios(launch->argv, &has_smbios, err);

	for (size_t i = 0; i < launch->list->count && r == 0; i++) {
		const struct oem_string *string = &launch->list->strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (!has_smbios)
			r = fw_cfg_add(command, string, err);
		else if (launch->expose & VMM_EXPOSE_ARGV)
			r = literal_add(command, string, err);
		else
			r = path_add(command, string, err);
	}
	return r;
}

static int qemu_vsock_find(const struct vmm_launch *launch, struct vmm_vsock *vsock,
			   struct error *err)
{
	(void)launch;
	(void)vsock;
	(void)err;
	return 0;
}

static int qemu_launch(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	_cleanup_command_ struct command command = {0};
	int r = command_add_all(&command, launch->argv, err);

	(void)notify;
	if (r == 0)
		r = strings_add(&command, launch, err);
	if (r < 0)
		return r;
	report_message(launch->report, REPORT_INFO, "executing %s with %zu arguments",
		       launch->program, command.count - 1);
	/* The pipes hold what QEMU needs; nothing is left for it to inherit. */
	oem_list_destroy(launch->list);
	execvp(launch->program, command.words);
	return command_exec_error(launch->program, errno, err);
}

const struct vmm_ops vmm_qemu = {
	.name = "QEMU",
	.programs = (const char *const[]){"qemu-system-*", "qemu-kvm", "kvm", NULL},
	.arguments_read = qemu_arguments_read,
	.check = qemu_check,
	.vsock_find = qemu_vsock_find,
	.launch = qemu_launch,
};
