/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/readconfig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

/* A machine with a hundred devices has some 10 KiB. */
#define FILE_SIZE_MAX ((size_t)1024 * 1024)

/* What QEMU takes for a group's or a key's name; qemu_config_foreach() in its sources. */
#define NAME_SIZE_MAX 63

/* Adds ",key=value" with commas doubled, without the first comma. */
static char *pair_append(char *to, const char *start, const char *key, size_t key_size,
			 const char *value, size_t value_size)
{
	if (to != start)
		*to++ = ',';
	memcpy(to, key, key_size);
	to += key_size;
	*to++ = '=';
	for (size_t i = 0; i < value_size; i++) {
		if (value[i] == ',')
			*to++ = ',';
		*to++ = value[i];
	}
	*to = '\0';
	return to;
}

static size_t blank_size(const char *text)
{
	return strspn(text, " \t\r");
}

/* The name in "[name]" or "[name "id"]". */
static size_t group_name(const char *line, char *name)
{
	size_t size;

	if (line[0] != '[')
		return 0;
	size = strcspn(line + 1, " \t\"]\n");
	if (size == 0 || size > NAME_SIZE_MAX)
		return 0;
	memcpy(name, line + 1, size);
	name[size] = '\0';
	return size;
}

struct section {
	char group[NAME_SIZE_MAX + 1];
	char *pairs; /* room for what the whole file could hold */
	char *end;
};

/* `key = "value"`, which is added to the section. */
static void pair_read(struct section *section, const char *line)
{
	size_t key_size = strcspn(line, " \t=\n");
	const char *value = line + key_size;

	value += blank_size(value);
	if (key_size == 0 || key_size > NAME_SIZE_MAX || *value != '=')
		return;
	value++;
	value += blank_size(value);
	if (*value == '"')
		section->end = pair_append(section->end, section->pairs, line, key_size, value + 1,
					   strcspn(value + 1, "\"\n"));
}

int qemu_readconfig_visit(const char *path,
			  int (*each)(void *data, const char *group, const char *pairs,
				      struct error *err),
			  void *data, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *room = NULL;
	struct section section = {0};
	struct stat status;
	size_t size = 0;
	int r = 0;

	/* A pipe can be read only once: it is left for QEMU. */
	if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) ||
	    file_read_text(AT_FDCWD, path, FILE_SIZE_MAX, &text, &size, &ignored) < 0)
		return 0;
	room = malloc(2 * size + 2);
	if (!room)
		return error_no_memory(err);
	section.pairs = section.end = room;
	for (const char *line = text; line && r == 0; line = strchr(line, '\n')) {
		char name[NAME_SIZE_MAX + 1];

		line += *line == '\n' ? 1 : 0;
		line += blank_size(line);
		if (group_name(line, name) == 0) {
			pair_read(&section, line);
			continue;
		}
		*section.end = '\0';
		r = section.group[0] ? each(data, section.group, room, err) : 0;
		memcpy(section.group, name, sizeof(name));
		section.end = room;
	}
	*section.end = '\0';
	return r == 0 && section.group[0] ? each(data, section.group, room, err) : r;
}
