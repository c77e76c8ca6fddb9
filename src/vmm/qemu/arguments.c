/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/arguments.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "vmm/qemu/readconfig.h"

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

int qemu_pairs_visit(const char *option, const char *implied,
		     int (*each)(void *data, const char *key, const char *value, struct error *err),
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

/* A whole structure from a file. Of type 11 QEMU takes one, or strings, and not both. */
static int smbios_file_check(void *data, const char *key, const char *value, struct error *err)
{
	_cleanup_close_ int fd = -1;
	uint8_t type;

	(void)data;
	if (strcmp(key, "file") != 0)
		return 0;
	fd = open(value, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || pread(fd, &type, 1, 0) != 1 || type != 11)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "-smbios file=%s holds OEM strings, and QEMU adds no others to such a file",
		  value);
	return error_hint(err, "give each as -smbios type=11,value=… or type=11,path=FILE");
}

static int smbios_read(struct reading *reading, const char *option, struct error *err)
{
	int r = qemu_pairs_visit(option, NULL, smbios_file_check, reading, err);

	reading->type = 0;
	if (r < 0)
		return r;
	r = qemu_pairs_visit(option, NULL, smbios_type_note, reading, err);
	if (r < 0 || reading->type != 11)
		return r;
	return qemu_pairs_visit(option, NULL, smbios_string_read, reading, err);
}

static int fw_cfg_name_read(void *data, const char *key, const char *value, struct error *err)
{
	const struct reading *reading = data;
	const size_t prefix = strlen(QEMU_FW_CFG_PREFIX);

	if (strcmp(key, "name") != 0 || strncmp(value, QEMU_FW_CFG_PREFIX, prefix) != 0)
		return 0;
	return oem_list_add_elsewhere(reading->list, value + prefix, err);
}

/* The options that are read, and the groups of -readconfig that have an effect in QEMU. */
static const struct {
	const char *given;
	const char *option;
	bool has_value;
	bool group;
} options[] = {
	{"smbios", "smbios", true, false}, /* a section [smbios] is read and never used */
	{"fw_cfg", "fw_cfg", true, true},
	{"machine", "machine", true, true},
	{"M", "machine", true, false},
	{"device", "device", true, true},
	{"drive", "drive", true, true},
	{"bios", "bios", true, false},
	{"pflash", "pflash", true, false},
	{"readconfig", "readconfig", true, false},
	{"daemonize", "daemonize", false, false},
	{"runas", "runas", true, false},
	{"run-with", "run-with", true, false},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* The row of an option that is given as -name or --name; OPTION_COUNT: none. */
static size_t option_find(const char *word)
{
	size_t i = 0;

	if (word[0] != '-')
		return OPTION_COUNT;
	word += word[1] == '-' ? 2 : 1;
	while (i < OPTION_COUNT && strcmp(word, options[i].given) != 0)
		i++;
	return i;
}

struct visit {
	int (*each)(void *data, const char *option, const char *value, struct error *err);
	void *data;
};

static int group_visit(void *data, const char *group, const char *pairs, struct error *err)
{
	const struct visit *visit = data;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (options[i].group && strcmp(options[i].given, group) == 0)
			return visit->each(visit->data, options[i].option, pairs, err);
	}
	return 0;
}

int qemu_options_visit(char *const *argv,
		       int (*each)(void *data, const char *option, const char *value,
				   struct error *err),
		       void *data, struct error *err)
{
	struct visit visit = {.each = each, .data = data};
	int r = 0;

	for (char *const *word = argv; *word && r == 0; word++) {
		size_t i = option_find(*word);

		if (i == OPTION_COUNT || (options[i].has_value && !word[1]))
			continue;
		word += options[i].has_value ? 1 : 0;
		if (strcmp(options[i].option, "readconfig") == 0)
			r = qemu_readconfig_visit(*word, group_visit, &visit, err);
		else
			r = each(data, options[i].option, options[i].has_value ? *word : "", err);
	}
	return r;
}

static int option_read(void *data, const char *option, const char *value, struct error *err)
{
	if (strcmp(option, "smbios") == 0)
		return smbios_read(data, value, err);
	if (strcmp(option, "fw_cfg") == 0)
		return qemu_pairs_visit(value, "name", fw_cfg_name_read, data, err);
	return 0;
}

int qemu_arguments_read(char *const *argv, struct oem_list *list, const struct report *report,
			struct error *err)
{
	struct reading reading = {.list = list, .report = report};

	return qemu_options_visit(argv, option_read, &reading, err);
}
