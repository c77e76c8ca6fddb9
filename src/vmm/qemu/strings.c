/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "smbios/smbios.h"
#include "vmm/driver.h"
#include "vmm/qemu/qemu.h"

/* QEMU's fw_cfg has 32 slots for files, uses about twenty itself, and aborts with a failed
 * assertion if they do not suffice for those of the command line and ours; hw/nvram/fw_cfg.c. */
#define FW_CFG_FILES_MAX  4
#define FW_CFG_SLOTS_MORE 64

/*
 * Reads the file that the value of a pair names. A pipe can be read only once, so it is left to
 * QEMU, and so is the error for a missing file. Returns 1 if it was read.
 */
static int content_read(struct qemu_option *option, size_t pair, struct error *err)
{
	const char *path = option->values.items[pair];
	struct stat status;
	int r;

	if (stat(path, &status) < 0 || !S_ISREG(status.st_mode))
		return 0;
	if (!option->contents)
		option->contents = calloc(option->keys.count, sizeof(*option->contents));
	if (!option->contents)
		return error_no_memory(err);
	r = file_read_secret(AT_FDCWD, path, oem_limit_max(OEM_LIMIT_TABLE),
			     &option->contents[pair].text, err);
	option->contents[pair].is_read = r == 0;
	return r < 0 ? r : 1;
}

/* An OEM string in a file. */
static int path_read(struct qemu_option *option, size_t pair, struct oem_list *list,
		     const struct report *report, struct error *err)
{
	const char *path = option->values.items[pair];
	int r = content_read(option, pair, err);

	if (r == 0 && access(path, F_OK) == 0)
		report_message(report, REPORT_WARNING,
			       "%s is not a regular file: its OEM string is not checked for a "
			       "duplicate credential",
			       path);
	return r <= 0 ? r
		      : oem_list_add_literal(list, OEM_ARGUMENTS,
					     secret_span(&option->contents[pair].text), report,
					     err);
}

/* -smbios file= has whole structures. QEMU combines one of type 11 with no other string. */
static int structure_check(struct qemu_option *option, size_t pair, struct error *err)
{
	int r = content_read(option, pair, err);
	_cleanup_error_ struct error ignored = {0};
	struct smbios_structure structure = {0};
	struct span table;

	if (r <= 0)
		return r;
	table = secret_span(&option->contents[pair].text);
	/* QEMU does not look beyond the first byte. */
	if (table.size > 0)
		structure.type = table.data[0];
	while (structure.type != SMBIOS_TYPE_OEM_STRINGS && table.size > 0 &&
	       smbios_structure_next(&table, &structure, &ignored) == 0)
		continue;
	if (structure.type != SMBIOS_TYPE_OEM_STRINGS)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "-smbios file=%s contains OEM strings, and QEMU does not add others to them",
		  option->values.items[pair]);
	return error_hint(err, "use -smbios type=11,value=… or type=11,path=FILE for each");
}

static int smbios_read(struct qemu_option *option, struct oem_list *list,
		       const struct report *report, struct error *err)
{
	const char *type = qemu_option_get(option, "type");
	/* QEMU parses the type with strtoull(). */
	bool is_type11 = type && strtoul(type, NULL, 0) == SMBIOS_TYPE_OEM_STRINGS;
	int r = 0;

	for (size_t i = 0; i < option->keys.count && r == 0; i++) {
		const char *key = option->keys.items[i], *value = option->values.items[i];

		if (strcmp(key, "file") == 0)
			r = structure_check(option, i, err);
		else if (is_type11 && strcmp(key, "path") == 0)
			r = path_read(option, i, list, report, err);
		else if (is_type11 && strcmp(key, "value") == 0)
			r = oem_list_add_literal(list, OEM_ARGUMENTS, span_of_text(value), report,
						 err);
	}
	return r;
}

int qemu_strings_read(struct qemu_arguments *arguments, struct oem_list *list,
		      const struct report *report, struct error *err)
{
	static const char prefix[] = QEMU_FW_CFG_PREFIX;
	int r = 0;

	for (size_t i = 0; i < arguments->count && r == 0; i++) {
		struct qemu_option *option = &arguments->options[i];
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
	int r = array_extend(&command->fds, command->fd_count, sizeof(fd), err);

	if (r < 0)
		close(fd);
	else
		command->fds[command->fd_count++] = fd;
	return r;
}

void qemu_command_destroy(struct qemu_command *command)
{
	for (size_t i = 0; i < command->fd_count; i++)
		close(command->fds[i]);
	free(command->fds);
	strings_destroy(&command->argv);
	*command = (struct qemu_command){0};
}

/* A value of a pair. The caller frees it; NULL without memory. */
static char *commas_double(struct span text)
{
	char *value = malloc(2 * text.size + 1), *to = value;

	if (!value)
		return NULL;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == ',')
			*to++ = ',';
		*to++ = (char)text.data[i];
	}
	*to = '\0';
	return value;
}

static int value_add(struct qemu_command *command, struct span text, struct error *err)
{
	_cleanup_free_ char *value = commas_double(text);
	int r = value ? strings_add(&command->argv, "-smbios", err) : error_no_memory(err);

	return r < 0 ? r : strings_add_format(&command->argv, err, "type=11,value=%s", value);
}

char *qemu_command_add_file(struct qemu_command *command, struct span content, bool seekable,
			    struct error *err)
{
	int fd = vmm_secret_fd(content, seekable, err);
	char *path = NULL;

	if (fd >= 0 && qemu_command_keep(command, fd, err) == 0) {
		path = text_format("/dev/fd/%d", fd);
		if (!path)
			error_no_memory(err);
	}
	return path;
}

/* The value of an option with the paths of descriptors. The caller frees it, or NULL. */
static char *option_rebuild(struct qemu_command *command, const struct qemu_option *option,
			    struct error *err)
{
	_cleanup_free_ char *text = strdup("");

	for (size_t i = 0; text && i < option->keys.count; i++) {
		const struct qemu_content *content = &option->contents[i];
		const char *key = option->keys.items[i];
		_cleanup_free_ char *value = NULL, *before = text;

		/* QEMU asks for the size of a file with structures. */
		if (content->is_read)
			value = qemu_command_add_file(command, secret_span(&content->text),
						      strcmp(key, "file") == 0, err);
		else
			value = commas_double(span_of_text(option->values.items[i]));
		text = value ? text_format("%s%s%s=%s", before, i > 0 ? "," : "", key, value)
			     : NULL;
	}
	if (!text && err->code == VMCRED_OK)
		error_no_memory(err);
	return pointer_release(&text);
}

int qemu_command_replace_files(struct qemu_command *command, const struct qemu_arguments *arguments,
			       struct error *err)
{
	for (size_t i = 0; i < arguments->count; i++) {
		const struct qemu_option *option = &arguments->options[i];
		char *value = option->contents ? option_rebuild(command, option, err) : NULL;

		if (!option->contents)
			continue;
		if (!value)
			return -(int)err->code;
		free(command->argv.items[option->argument]);
		command->argv.items[option->argument] = value;
	}
	return 0;
}

/* Adds the option with the path of a descriptor that contains `content`. */
static int fd_add(struct qemu_command *command, const char *option, const char *before,
		  struct span content, struct error *err)
{
	_cleanup_free_ char *path = qemu_command_add_file(command, content, false, err);
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

int qemu_command_add_strings(struct qemu_command *command, const struct qemu_arguments *arguments,
			     const struct vmm_launch *launch, enum vmm_transport transport,
			     struct error *err)
{
	size_t files = 0, added = 0;
	int r = 0;

	for (size_t i = 0; i < arguments->count; i++)
		files += strcmp(arguments->options[i].name, "fw_cfg") == 0;
	for (size_t i = 0; i < launch->list.count && r == 0; i++) {
		const struct oem_string *string = &launch->list.strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (transport == VMM_TRANSPORT_FW_CFG) {
			r = fw_cfg_add(command, string, err);
			added++;
		} else if (launch->expose & VMM_EXPOSE_ARGV) {
			r = value_add(command, secret_span(&string->text), err);
		} else {
			r = fd_add(command, "-smbios", "type=11,path=", secret_span(&string->text),
				   err);
		}
	}
	files += added;
	if (r < 0 || added == 0 || files <= FW_CFG_FILES_MAX)
		return r;
	r = strings_add(&command->argv, "-global", err);
	return r < 0 ? r
		     : strings_add_format(&command->argv, err, "fw_cfg.x-file-slots=%zu",
					  files + FW_CFG_SLOTS_MORE);
}
