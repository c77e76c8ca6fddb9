/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/strings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/handover.h"
#include "vmm/qemu/arguments.h"

/*
 * QEMU's fw_cfg has 32 slots for files, some twenty of which it fills itself, and ends with a
 * failed assertion where they do not suffice; hw/nvram/fw_cfg.c.
 */
#define FW_CFG_FILES_MAX  4
#define FW_CFG_SLOTS_MORE 64

int qemu_strings_keep(struct qemu_strings *strings, int fd, struct error *err)
{
	int *larger = reallocarray(strings->fds, strings->count + 1, sizeof(*larger));

	if (!larger) {
		close(fd);
		return error_no_memory(err);
	}
	strings->fds = larger;
	larger[strings->count++] = fd;
	return 0;
}

void qemu_strings_destroy(struct qemu_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		close(strings->fds[i]);
	free(strings->fds);
	strings->fds = NULL;
	strings->count = 0;
}

/* "type=11,value=…" with commas doubled. */
static int literal_add(struct qemu_strings *strings, const struct oem_string *string,
		       struct error *err)
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
	r = command_add(strings->command, "-smbios", err);
	return r < 0 ? r : command_add_format(strings->command, err, "type=11,value=%s", value);
}

static int path_add(struct qemu_strings *strings, const struct oem_string *string,
		    struct error *err)
{
	int fd = handover_create(secret_span(&string->text), err);
	int r;

	if (fd < 0)
		return fd;
	r = qemu_strings_keep(strings, fd, err);
	if (r < 0)
		return r;
	r = command_add(strings->command, "-smbios", err);
	return r < 0 ? r : command_add_format(strings->command, err, "type=11,path=/dev/fd/%d", fd);
}

/* The credential's bare value as a fw_cfg file. */
static int fw_cfg_add(struct qemu_strings *strings, const struct oem_string *string,
		      struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	int fd, r = oem_string_value(string, &value, err);

	if (r < 0)
		return error_wrap(err, "the credential %s", string->name);
	fd = handover_create(secret_span(&value), err);
	if (fd < 0)
		return fd;
	r = qemu_strings_keep(strings, fd, err);
	if (r < 0)
		return r;
	r = command_add(strings->command, "-fw_cfg", err);
	return r < 0 ? r
		     : command_add_format(strings->command, err,
					  "name=" QEMU_FW_CFG_PREFIX "%s,file=/dev/fd/%d",
					  string->name, fd);
}

static int slots_add(struct command *command, size_t files, struct error *err)
{
	int r = command_add(command, "-global", err);

	return r < 0 ? r
		     : command_add_format(command, err, "fw_cfg.x-file-slots=%zu",
					  files + FW_CFG_SLOTS_MORE);
}

int qemu_strings_hand_over(struct qemu_strings *strings, const struct vmm_launch *launch,
			   enum vmm_transport transport, struct error *err)
{
	size_t files = 0;
	int r = 0;

	for (size_t i = 0; i < launch->list->count && r == 0; i++) {
		const struct oem_string *string = &launch->list->strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (transport == VMM_TRANSPORT_FW_CFG) {
			r = fw_cfg_add(strings, string, err);
			files++;
		} else if (launch->expose & VMM_EXPOSE_ARGV) {
			r = literal_add(strings, string, err);
		} else {
			r = path_add(strings, string, err);
		}
	}
	return r == 0 && files > FW_CFG_FILES_MAX ? slots_add(strings->command, files, err) : r;
}
