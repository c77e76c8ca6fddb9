/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "vmm/qemu/qemu.h"

/* A machine with a hundred devices has about 10 KiB. */
#define READCONFIG_SIZE_MAX ((size_t)1024 * 1024)

enum form {
	FORM_SWITCH,
	FORM_TEXT,
	FORM_PAIRS,
	FORM_FILE, /* -readconfig */
};

/* The options that are read. */
static const struct row {
	const char *given, *name;
	const char *implied; /* the key of a first value without one */
	enum form form;
	bool is_group; /* a section of -readconfig that has an effect in QEMU */
} rows[] = {
	{"smbios", "smbios", NULL, FORM_PAIRS, false},
	{"fw_cfg", "fw_cfg", "name", FORM_PAIRS, true},
	{"machine", "machine", "type", FORM_PAIRS, true},
	{"M", "machine", "type", FORM_PAIRS, false},
	{"device", "device", "driver", FORM_PAIRS, true},
	{"drive", "drive", NULL, FORM_PAIRS, true},
	{"global", "global", NULL, FORM_PAIRS, true},
	{"set", "set", NULL, FORM_PAIRS, false},
	{"bios", "bios", NULL, FORM_TEXT, false},
	{"pflash", "pflash", NULL, FORM_TEXT, false},
	{"initrd", "initrd", NULL, FORM_TEXT, false},
	{"readconfig", "readconfig", NULL, FORM_FILE, false},
	{"incoming", "incoming", NULL, FORM_TEXT, false},
	{"loadvm", "loadvm", NULL, FORM_TEXT, false},
	{"no-acpi", "no-acpi", NULL, FORM_SWITCH, false},
	{"daemonize", "daemonize", NULL, FORM_SWITCH, false},
	{"runas", "runas", NULL, FORM_TEXT, false},
	{"run-with", "run-with", NULL, FORM_TEXT, false},
};

/* The options without a value, of QEMU 1.0 to 10.1; all others have one: qemu-options.hx. */
static const char *const switches[] = {
	"S",
	"alt-grab",
	"async-teardown",
	"audio-help",
	"ctrl-grab",
	"curses",
	"daemonize",
	"enable-fips",
	"enable-hax",
	"enable-kvm",
	"enable-sync-profile",
	"full-screen",
	"h",
	"help",
	"jitdump",
	"localtime",
	"mem-prealloc",
	"no-acpi",
	"no-fd-bootchk",
	"no-frame",
	"no-hpet",
	"no-kvm",
	"no-kvm-irqchip",
	"no-kvm-pit",
	"no-kvm-pit-reinjection",
	"no-quit",
	"no-reboot",
	"no-shutdown",
	"no-user-config",
	"nodefaults",
	"nodefconfig",
	"nographic",
	"old-param",
	"only-migratable",
	"perfmap",
	"portrait",
	"preconfig",
	"rtc-td-hack",
	"s",
	"sdl",
	"semihosting",
	"show-cursor",
	"singlestep",
	"snapshot",
	"tdf",
	"usb",
	"version",
	"win2k-hack",
	"xen-attach",
	"xen-create",
	"xen-domid-restrict",
	NULL,
};

/*
 * Takes an option, without its dashes, and the argument with its value, or NULL. A value may look
 * like an option. False at the end.
 */
static bool argument_next(char *const **argv, const char **name, char *const **value)
{
	const char *argument;

	/* Others name a disk image. */
	while (**argv && ***argv != '-')
		(*argv)++;
	if (!**argv)
		return false;
	argument = *(*argv)++;
	*name = argument + (strncmp(argument, "--", 2) == 0 ? 2 : 1);
	*value = **argv && !texts_contain((char *const *)switches, *name) ? (*argv)++ : NULL;
	return true;
}

static const struct row *row_find(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].given, name) == 0)
			return &rows[i];
	}
	return NULL;
}

static int option_add(struct qemu_arguments *arguments, const struct row *row, const char *value,
		      size_t index, struct error *err)
{
	int r = array_extend(&arguments->options, arguments->count, sizeof(*arguments->options),
			     err);

	if (r == 0)
		arguments->options[arguments->count++] =
			(struct qemu_option){.name = row->name, .value = value, .argument = index};
	return r;
}

/* Adds a pair to the last option. Takes ownership of both texts. */
static int pair_take(struct qemu_arguments *arguments, char *key, char *value, struct error *err)
{
	struct qemu_option *option = &arguments->options[arguments->count - 1];
	int r = strings_take(&option->keys, key, err);

	if (r == 0)
		return strings_take(&option->values, value, err);
	free(value);
	return r;
}

/* The value up to the next single comma, with doubled commas replaced by one; moves `*rest` past
 * it. */
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

/* "key=value,…"; a key without '=' is a switch, with an empty value. */
static int pairs_read(struct qemu_arguments *arguments, const char *implied, const char *text,
		      struct error *err)
{
	int r = 0;

	for (bool first = true; *text && r == 0; first = false) {
		size_t length = strcspn(text, "=,");
		bool has_value = text[length] == '=';
		char *key;

		if (!has_value && first && implied) {
			key = strdup(implied);
		} else {
			key = strndup(text, length);
			text += length + (has_value ? 1 : 0);
		}
		r = pair_take(arguments, key, value_take(&text), err);
	}
	return r;
}

/* The value of -device may be JSON. QEMU reports malformed JSON itself. */
static int json_read(struct qemu_arguments *arguments, const char *text, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_json_ json_t *object = NULL;
	const char *key;
	json_t *value;
	int r = 0;

	if (json_parse(span_of_text(text), "-device", &object, &ignored) < 0)
		return 0;
	json_object_foreach(object, key, value)
	{
		if (r == 0 && json_is_string(value))
			r = pair_take(arguments, strdup(key), strdup(json_string_value(value)),
				      err);
		else if (r == 0 && json_is_integer(value))
			r = pair_take(arguments, strdup(key),
				      text_format("%lld", (long long)json_integer_value(value)),
				      err);
	}
	return r;
}

/*
 * A file of sections, `[group "id"]`, with lines `key = "value"`. QEMU reports malformed lines.
 */
static int sections_read(struct qemu_arguments *arguments, char *text, struct error *err)
{
	bool in_section = false;
	char *rest = text, *line;
	int r = 0;

	while (r == 0 && (line = strsep(&rest, "\n"))) {
		const char *value;
		size_t length;

		line += strspn(line, " \t\r");
		length = strcspn(line, *line == '[' ? " \t\"]" : " \t=");
		value = line + length + strspn(line + length, " \t\r");
		if (*line == '[') {
			const struct row *row;

			line[length] = '\0';
			row = row_find(line + 1);
			in_section = row && row->is_group;
			r = in_section ? option_add(arguments, row, "", 0, err) : 0;
		} else if (in_section && length > 0 && *value == '=') {
			value += 1 + strspn(value + 1, " \t\r");
			if (*value == '"')
				r = pair_take(arguments, strndup(line, length),
					      strndup(value + 1, strcspn(value + 1, "\"")), err);
		}
	}
	return r;
}

/* `index` is that of the path in argv. */
static int file_read(struct qemu_arguments *arguments, size_t index, const char *path,
		     struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct qemu_file *file;
	int r = array_extend(&arguments->files, arguments->file_count, sizeof(*file), err);

	if (r < 0)
		return r;
	file = &arguments->files[arguments->file_count];
	*file = (struct qemu_file){.argument = index};
	r = file_read_text(AT_FDCWD, path, READCONFIG_SIZE_MAX, &file->text, NULL, err);
	if (r < 0)
		return error_wrap(err, "-readconfig");
	arguments->file_count++;
	text = strdup(file->text);
	return text ? sections_read(arguments, text, err) : error_no_memory(err);
}

int qemu_arguments_read(char *const *argv, struct qemu_arguments *arguments, struct error *err)
{
	char *const *next = argv + 1, *const * value;
	const char *name;
	int r = 0;

	while (r == 0 && argument_next(&next, &name, &value)) {
		const struct row *row = row_find(name);
		size_t index = value ? (size_t)(value - argv) : 0;

		if (!row || (row->form != FORM_SWITCH && !value))
			continue;
		if (row->form == FORM_FILE) {
			r = file_read(arguments, index, *value, err);
			continue;
		}
		r = option_add(arguments, row, value ? *value : "", index, err);
		if (r == 0 && row->form == FORM_PAIRS)
			r = **value == '{' ? json_read(arguments, *value, err)
					   : pairs_read(arguments, row->implied, *value, err);
	}
	return r;
}

/* Whether one of the values between commas asks for help. */
static bool asks_for_help(const char *text, const char *key)
{
	bool found = false;

	while (*text && !found) {
		_cleanup_free_ char *value = value_take(&text);
		const char *word = value;
		size_t length = strlen(key);

		if (word && length > 0 && strncmp(word, key, length) == 0 && word[length] == '=')
			word += length + 1;
		found = word && (strcmp(word, "help") == 0 || strcmp(word, "?") == 0);
	}
	return found;
}

bool qemu_is_query(char *const *argv)
{
	static const char *const queries[] = {"h",          "help",         "version", "V",
					      "audio-help", "dump-vmstate", NULL};
	/* The options that accept "help", and the keys that do. */
	static const struct {
		const char *option, *key;
	} topics[] = {
		{"accel", ""},   {"audio", ""},    {"audiodev", ""}, {"boot", ""},
		{"chardev", ""}, {"cpu", ""},      {"d", ""},        {"device", ""},
		{"display", ""}, {"L", ""},        {"M", ""},        {"machine", ""},
		{"netdev", ""},  {"object", ""},   {"smp", ""},      {"trace", ""},
		{"vga", ""},     {"net", "model"}, {"nic", "model"}, {"drive", "format"},
	};
	char *const *next = argv + 1, *const * value;
	const char *name;

	while (argument_next(&next, &name, &value)) {
		if (texts_contain((char *const *)queries, name))
			return true;
		for (size_t i = 0; value && i < sizeof(topics) / sizeof(topics[0]); i++) {
			if (strcmp(name, topics[i].option) == 0 &&
			    asks_for_help(*value, topics[i].key))
				return true;
		}
	}
	return false;
}

void qemu_arguments_destroy(struct qemu_arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++) {
		struct qemu_option *option = &arguments->options[i];

		for (size_t j = 0; option->contents && j < option->keys.count; j++)
			secret_destroy(&option->contents[j].text);
		free(option->contents);
		strings_destroy(&arguments->options[i].keys);
		strings_destroy(&arguments->options[i].values);
	}
	for (size_t i = 0; i < arguments->file_count; i++)
		free(arguments->files[i].text);
	free(arguments->files);
	free(arguments->options);
	*arguments = (struct qemu_arguments){0};
}

bool qemu_arguments_have(const struct qemu_arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->count; i++) {
		if (strcmp(arguments->options[i].name, name) == 0)
			return true;
	}
	return false;
}

const char *qemu_option_get(const struct qemu_option *option, const char *key)
{
	for (size_t i = option->keys.count; i > 0; i--) {
		if (strcmp(option->keys.items[i - 1], key) == 0)
			return option->values.items[i - 1];
	}
	return NULL;
}
