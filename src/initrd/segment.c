/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "initrd/initrd.h"

#define DIRECTORY "/.extra/system_credentials"
#define SUFFIX    ".cred"

/* "newc": a magic number and thirteen fields of eight hexadecimal digits. */
#define HEADER_SIZE 110

/* A file's name with its NUL. */
#define NAME_SIZE_MAX (sizeof(DIRECTORY "/") + INITRD_NAME_SIZE_MAX + sizeof(SUFFIX))

static bool is_carried(const struct oem_string *string)
{
	return string->origin != OEM_ARGUMENTS;
}

int initrd_check(const struct oem_list *list, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct oem_string *string = &list->strings[i];

		if (!is_carried(string))
			continue;
		if (!string->name) {
			error_set(err, VMCRED_USAGE,
				  "an initrd carries only credentials, not plain OEM strings "
				  "(platformOEMStrings)");
			return error_hint(err, "remove them");
		}
		if (strlen(string->name) > INITRD_NAME_SIZE_MAX) {
			error_set(err, VMCRED_USAGE,
				  "credential name %s has %zu bytes; the limit in an initrd is %d",
				  string->name, strlen(string->name), INITRD_NAME_SIZE_MAX);
			return error_hint(err, "use a shorter name");
		}
	}
	return 0;
}

/* Pads with NULs to a multiple of four. */
static int pad(struct secret *out, size_t start, struct error *err)
{
	return secret_append(out, span_of("\0\0\0", (start - out->size) % 4), err);
}

/* `number` identifies the file; the kernel compares it for files with several links only. */
static int entry_append(struct secret *out, size_t start, unsigned int number, mode_t mode,
			const char *name, struct span content, struct error *err)
{
	char header[HEADER_SIZE + 1];
	int r;

	/* Owner and group 0, one link, no time, no device, no checksum. */
	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", number, mode, 0U, 0U,
		 1U, 0U, (unsigned int)content.size, 0U, 0U, 0U, 0U, (unsigned int)strlen(name) + 1,
		 0U);
	r = secret_append_text(out, header, err);
	if (r == 0)
		r = secret_append(out, span_of(name, strlen(name) + 1), err);
	if (r == 0)
		r = pad(out, start, err);
	if (r == 0)
		r = secret_append(out, content, err);
	return r < 0 ? r : pad(out, start, err);
}

static int credential_append(struct secret *out, size_t start, unsigned int number,
			     const struct oem_string *string, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	char name[NAME_SIZE_MAX];
	int r = oem_string_value(string, &value, err);

	if (r < 0)
		return error_wrap(err, "credential %s", string->name);
	/* Names of an archive have no leading slash. */
	snprintf(name, sizeof(name), "%s/%s%s", &DIRECTORY[1], string->name, SUFFIX);
	return entry_append(out, start, number, S_IFREG | 0400, name, secret_span(&value), err);
}

int initrd_segment_encode(const struct oem_list *list, struct secret *out, struct error *err)
{
	const size_t start = out->size;
	unsigned int number = 1;
	int r = initrd_check(list, err);

	if (r == 0)
		r = entry_append(out, start, number++, S_IFDIR | 0555, ".extra", span_of_text(""),
				 err);
	if (r == 0)
		r = entry_append(out, start, number++, S_IFDIR | 0500, &DIRECTORY[1],
				 span_of_text(""), err);
	for (size_t i = 0; i < list->count && r == 0; i++) {
		if (is_carried(&list->strings[i]))
			r = credential_append(out, start, number++, &list->strings[i], err);
	}
	return r < 0 ? r : entry_append(out, start, 0, 0, "TRAILER!!!", span_of_text(""), err);
}
