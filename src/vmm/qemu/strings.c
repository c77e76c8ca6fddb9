/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "vmm/driver.h"
#include "vmm/qemu/qemu.h"

/* QEMU's fw_cfg has 32 slots for files, uses about twenty itself, and aborts with a failed
 * assertion if they do not suffice; hw/nvram/fw_cfg.c. */
#define FW_CFG_FILES_MAX  4
#define FW_CFG_SLOTS_MORE 64

/*
 * Reads the file of an argument's OEM string for its name and size. A pipe can be read only once,
 * so it is left to QEMU, and so is the error for a missing file.
 */
static int path_read(const char *path, struct oem_list *list, const struct report *report,
		     struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	struct stat status;
	int r;

	if (stat(path, &status) < 0)
		return 0;
	if (!S_ISREG(status.st_mode)) {
		report_message(report, REPORT_WARNING,
			       "%s is not a regular file: its OEM string is not checked for a "
			       "duplicate credential",
			       path);
		return 0;
	}
	r = file_read_secret(AT_FDCWD, path, oem_limit_max(OEM_LIMIT_TABLE), &text, err);
	return r < 0 ? r
		     : oem_list_add_literal(list, OEM_ARGUMENTS, secret_span(&text), report, err);
}

/* -smbios file= is a whole structure. QEMU combines one of type 11 with no other string. */
static int structure_check(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t type;

	if (fd < 0 || pread(fd, &type, 1, 0) != 1 || type != 11)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "-smbios file=%s contains OEM strings, and QEMU does not add others to them",
		  path);
	return error_hint(err, "use -smbios type=11,value=… or type=11,path=FILE for each");
}

static int smbios_read(const struct qemu_option *option, struct oem_list *list,
		       const struct report *report, struct error *err)
{
	const char *type = qemu_option_get(option, "type");
	/* QEMU parses the type with strtoull(). */
	bool is_type11 = type && strtoul(type, NULL, 0) == 11;
	int r = 0;

	for (size_t i = 0; i < option->keys.count && r == 0; i++) {
		const char *key = option->keys.items[i], *value = option->values.items[i];

		if (strcmp(key, "file") == 0)
			r = structure_check(value, err);
		else if (is_type11 && strcmp(key, "path") == 0)
			r = path_read(value, list, report, err);
		else if (is_type11 && strcmp(key, "value") == 0)
			r = oem_list_add_literal(list, OEM_ARGUMENTS, span_of_text(value), report,
						 err);
	}
	return r;
}

int qemu_strings_read(const struct qemu_arguments *arguments, struct oem_list *list,
		      const struct report *report, struct error *err)
{
	static const char prefix[] = QEMU_FW_CFG_PREFIX;
	int r = 0;

	for (size_t i = 0; i < arguments->count && r == 0; i++) {
		const struct qemu_option *option = &arguments->options[i];
		const char *name = qemu_option_get(option, "name");

		if (strcmp(option->name, "smbios") == 0)
			r = smbios_read(option, list, report, err);
		else if (strcmp(option->name, "fw_cfg") == 0 && name &&
			 strncmp(name, prefix, strlen(prefix)) == 0)
			r = strings_add(&list->elsewhere, name + strlen(prefix), err);
	}
	return r;
}

int qemu_command_keep(struct qemu_command *command, int fd, struct error *err)
{
	int *larger = reallocarray(command->fds, command->fd_count + 1, sizeof(*larger));

	if (!larger) {
		close(fd);
		return error_no_memory(err);
	}
	command->fds = larger;
	larger[command->fd_count++] = fd;
	return 0;
}

void qemu_command_destroy(struct qemu_command *command)
{
	for (size_t i = 0; i < command->fd_count; i++)
		close(command->fds[i]);
	free(command->fds);
	strings_destroy(&command->argv);
	*command = (struct qemu_command){0};
}

/* "type=11,value=…" with commas doubled. */
static int value_add(struct qemu_command *command, struct span text, struct error *err)
{
	_cleanup_free_ char *value = malloc(2 * text.size + 1);
	char *to = value;
	int r = value ? strings_add(&command->argv, "-smbios", err) : error_no_memory(err);

	if (r < 0 || !value)
		return r;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == ',')
			*to++ = ',';
		*to++ = (char)text.data[i];
	}
	*to = '\0';
	return strings_add_format(&command->argv, err, "type=11,value=%s", value);
}

char *qemu_command_add_file(struct qemu_command *command, struct span content, struct error *err)
{
	int fd = vmm_secret_fd(content, err);
	char *path = NULL;

	if (fd >= 0 && qemu_command_keep(command, fd, err) == 0) {
		path = text_format("/dev/fd/%d", fd);
		if (!path)
			error_no_memory(err);
	}
	return path;
}

/* Adds the option with the path of a descriptor that contains `content`. */
static int fd_add(struct qemu_command *command, const char *option, const char *before,
		  struct span content, struct error *err)
{
	_cleanup_free_ char *path = qemu_command_add_file(command, content, err);
	int r = path ? strings_add(&command->argv, option, err) : -(int)err->code;

	return r < 0 ? r : strings_add_format(&command->argv, err, "%s%s", before, path);
}

/* The credential's decoded value as a fw_cfg file. */
static int fw_cfg_add(struct qemu_command *command, const struct oem_string *string,
		      struct error *err)
{
	_cleanup_free_ char *before =
		text_format("name=" QEMU_FW_CFG_PREFIX "%s,file=", string->name);
	_cleanup_secret_ struct secret value = {0};
	int r = before ? oem_string_value(string, &value, err) : error_no_memory(err);

	if (r < 0)
		return error_wrap(err, "credential %s", string->name);
	return fd_add(command, "-fw_cfg", before, secret_span(&value), err);
}

int qemu_command_add_strings(struct qemu_command *command, const struct vmm_launch *launch,
			     enum vmm_transport transport, struct error *err)
{
	size_t files = 0;
	int r = 0;

	for (size_t i = 0; i < launch->list.count && r == 0; i++) {
		const struct oem_string *string = &launch->list.strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (transport == VMM_TRANSPORT_FW_CFG) {
			r = fw_cfg_add(command, string, err);
			files++;
		} else if (launch->expose & VMM_EXPOSE_ARGV) {
			r = value_add(command, secret_span(&string->text), err);
		} else {
			r = fd_add(command, "-smbios", "type=11,path=", secret_span(&string->text),
				   err);
		}
	}
	if (r < 0 || files <= FW_CFG_FILES_MAX)
		return r;
	r = strings_add(&command->argv, "-global", err);
	return r < 0 ? r
		     : strings_add_format(&command->argv, err, "fw_cfg.x-file-slots=%zu",
					  files + FW_CFG_SLOTS_MORE);
}
