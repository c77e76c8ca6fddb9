/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_arguments.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"

/* The value up to the next single comma, with doubled commas made one; moves `*rest` behind it. */
static char *value_take(const char **rest)
{
	char *value = malloc(strlen(*rest) + 1), *to = value;
	const char *c = *rest;

	if (!value)
		return NULL;
	while (*c && (*c != ',' || c[1] == ',')) {
		if (*c == ',')
			c++;
		*to++ = *c++;
	}
	*to = '\0';
	*rest = *c ? c + 1 : c;
	return value;
}

/*
 * Takes a pair off the front of an option. A first word without '=' is the value of `implied`;
 * others are switches and come out with an empty value. 1: there was one, 0: the end. The caller
 * frees both.
 */
static int pair_next(const char **rest, const char **implied, char **key, char **value,
		     struct error *err)
{
	size_t length = strcspn(*rest, "=,");
	bool has_value = (*rest)[length] == '=';

	*key = *value = NULL;
	if (!**rest)
		return 0;
	if (!has_value && *implied) {
		*key = strdup(*implied);
	} else {
		*key = strndup(*rest, length);
		*rest += length + (has_value ? 1 : 0);
	}
	*implied = NULL;
	*value = value_take(rest);
	if (*key && *value)
		return 1;
	free(*key);
	free(*value);
	*key = *value = NULL;
	return error_no_memory(err);
}

/*
 * Calls `each` for every pair of an option; stops at its first error.
 */
static int pairs_visit(const char *option, const char *implied,
		       int (*each)(void *data, const char *key, const char *value,
				   struct error *err),
		       void *data, struct error *err)
{
	const char *rest = option;
	int r = 0;

	while (r == 0) {
		_cleanup_free_ char *key = NULL;
		_cleanup_free_ char *value = NULL;
		int found = pair_next(&rest, &implied, &key, &value, err);

		if (found <= 0 || !key || !value)
			return found;
		r = each(data, key, value, err);
	}
	return r;
}

struct reading {
	struct oem_list *list;
	const struct report *report;
	unsigned long type; /* of the -smbios option that is read */
};

/* QEMU takes the type as strtoull() does. */
static int smbios_type_note(void *data, const char *key, const char *value, struct error *err)
{
	struct reading *reading = data;

	(void)err;
	if (strcmp(key, "type") == 0)
		reading->type = strtoul(value, NULL, 0);
	return 0;
}

/*
 * Looks at the file of an argument's OEM string, for its name and size. A pipe can be read only
 * once, so it is left for QEMU; a file that is not there is QEMU's to complain about.
 */
static int smbios_path_read(struct reading *reading, const char *path, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	struct stat status;
	int r;

	if (stat(path, &status) < 0)
		return 0;
	if (!S_ISREG(status.st_mode)) {
		report_message(reading->report, REPORT_WARNING,
			       "%s is not a regular file: whether its OEM string repeats a "
			       "credential's name is not checked",
			       path);
		return 0;
	}
	r = file_read_secret(AT_FDCWD, path, oem_limit_max(OEM_LIMIT_TABLE), &text, err);
	if (r < 0)
		return r;
	return oem_list_add_literal(reading->list, OEM_ARGUMENTS, secret_span(&text),
				    reading->report, err);
}

static int smbios_string_read(void *data, const char *key, const char *value, struct error *err)
{
	struct reading *reading = data;

	if (strcmp(key, "path") == 0)
		return smbios_path_read(reading, value, err);
	if (strcmp(key, "value") == 0)
		return oem_list_add_literal(reading->list, OEM_ARGUMENTS, span_of_text(value),
					    reading->report, err);
	return 0;
}

static int smbios_read(struct reading *reading, const char *option, struct error *err)
{
	int r;

	reading->type = 0;
	r = pairs_visit(option, NULL, smbios_type_note, reading, err);
	if (r < 0 || reading->type != 11)
		return r;
	return pairs_visit(option, NULL, smbios_string_read, reading, err);
}

static int fw_cfg_name_read(void *data, const char *key, const char *value, struct error *err)
{
	const struct reading *reading = data;
	const size_t prefix = strlen(QEMU_FW_CFG_PREFIX);

	if (strcmp(key, "name") != 0 || strncmp(value, QEMU_FW_CFG_PREFIX, prefix) != 0)
		return 0;
	return oem_list_add_elsewhere(reading->list, value + prefix, err);
}

/* The word behind an option that is given as -name or --name, or NULL. */
static const char *option_value(char *const *word, const char *name)
{
	const char *given = word[0];

	if (given[0] != '-')
		return NULL;
	given += given[1] == '-' ? 2 : 1;
	return strcmp(given, name) == 0 ? word[1] : NULL;
}

int qemu_arguments_read(char *const *argv, struct oem_list *list, const struct report *report,
			struct error *err)
{
	struct reading reading = {.list = list, .report = report};

	for (char *const *word = argv; *word; word++) {
		const char *smbios = option_value(word, "smbios");
		const char *fw_cfg = option_value(word, "fw_cfg");
		int r = 0;

		if (smbios)
			r = smbios_read(&reading, smbios, err);
		else if (fw_cfg)
			r = pairs_visit(fw_cfg, "name", fw_cfg_name_read, &reading, err);
		if (r < 0)
			return r;
		if (smbios || fw_cfg)
			word++;
	}
	return 0;
}

static int machine_note(void *data, const char *key, const char *value, struct error *err)
{
	bool *has = data;

	(void)err;
	if (strcmp(key, "type") == 0)
		*has = strcmp(value, "microvm") != 0;
	return 0;
}

int qemu_machine_has_smbios(char *const *argv, bool *has, struct error *err)
{
	*has = true;
	for (char *const *word = argv; *word; word++) {
		const char *machine = option_value(word, "machine");
		int r;

		if (!machine)
			machine = option_value(word, "M");
		if (!machine)
			continue;
		r = pairs_visit(machine, "type", machine_note, has, err);
		if (r < 0)
			return r;
		word++;
	}
	return 0;
}
