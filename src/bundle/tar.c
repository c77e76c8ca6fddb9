/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/tar.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bundle/bundle.h"

/* The header of a file. All numbers are octal digits. */
struct header {
	char name[TAR_NAME_SIZE_MAX]; /* without a NUL if it is as long as the field */
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char checksum[8];
	char type;
	char link_name[100];
	char magic[6], version[2];
	char user[32], group[32];
	char device_major[8], device_minor[8];
	char prefix[TAR_PREFIX_SIZE_MAX];
	char unused[12];
};

_Static_assert(sizeof(struct header) == TAR_BLOCK_SIZE, "a header is a block");

/* Copies a text to a field that the compiler must not expect to be a string. */
static void field_set(void *field, const char *text, size_t size)
{
	memcpy(field, text, size);
}

/* The last slash with the longest possible prefix before it; NULL: the path fits into the name. */
static const char *path_split(const char *path, size_t size)
{
	const char *slash = path + (size > TAR_PREFIX_SIZE_MAX ? TAR_PREFIX_SIZE_MAX : size);

	if (size <= TAR_NAME_SIZE_MAX)
		return NULL;
	while (slash > path && *slash != '/')
		slash--;
	return slash;
}

static bool header_make(const char *path, size_t file_size, struct header *header)
{
	const size_t size = strlen(path);
	const char *slash = path_split(path, size);
	const char *name = slash ? slash + 1 : path;
	char digits[sizeof(header->size) + 1];
	unsigned sum = 0;

	*header = (struct header){.type = '0'};
	if (slash == path || size - (size_t)(name - path) > TAR_NAME_SIZE_MAX ||
	    file_size > TAR_FILE_SIZE_MAX)
		return false;
	field_set(header->name, name, strlen(name));
	if (slash)
		field_set(header->prefix, path, (size_t)(slash - path));
	field_set(header->mode, "0000644", 8);
	field_set(header->uid, "0000000", 8);
	field_set(header->gid, "0000000", 8);
	snprintf(digits, sizeof(digits), "%011zo", file_size);
	field_set(header->size, digits, sizeof(header->size));
	field_set(header->mtime, "00000000000", 12);
	field_set(header->magic, "ustar", 6);
	field_set(header->version, "00", 2);
	field_set(header->device_major, "0000000", 8);
	field_set(header->device_minor, "0000000", 8);
	/* Of the header with spaces in this field. */
	field_set(header->checksum, "        ", 8);
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += ((const uint8_t *)header)[i];
	snprintf(digits, sizeof(digits), "%06o", sum);
	field_set(header->checksum, digits, 7);
	return true;
}

static size_t padding_size(size_t size)
{
	return (TAR_BLOCK_SIZE - size % TAR_BLOCK_SIZE) % TAR_BLOCK_SIZE;
}

static const uint8_t zeroes[2 * TAR_BLOCK_SIZE];

int tar_add(FILE *stream, const char *path, struct span content, struct error *err)
{
	struct header header;

	if (!header_make(path, content.size, &header)) {
		error_set(err, VMCRED_FAILED, "%s: the path is too long for a bundle", path);
		return error_hint(err, "use shorter names");
	}
	(void)fwrite(&header, sizeof(header), 1, stream);
	(void)fwrite(content.data, 1, content.size, stream);
	(void)fwrite(zeroes, 1, padding_size(content.size), stream);
	return 0;
}

int tar_finish(FILE *stream, struct error *err)
{
	bool failed;
	off_t size;

	(void)fwrite(zeroes, sizeof(zeroes), 1, stream);
	size = ftello(stream);
	failed = size < 0 || ferror(stream) != 0;
	if (fclose(stream) != 0 || failed)
		return error_no_memory(err);
	if ((size_t)size > BUNDLE_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "the bundle has %zu bytes, more than %zu",
				 (size_t)size, BUNDLE_SIZE_MAX);
	return 0;
}

static int truncated(struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY, "the bundle is truncated");
}

static int foreign(struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY,
			 "the bundle was not written by `vmcred export`, or was changed");
}

/* Reads the path and the size of a header, as far as that is possible. */
static size_t header_read(const struct header *header, char *path)
{
	char digits[sizeof(header->size) + 1] = {0};
	const int prefix = (int)strnlen(header->prefix, sizeof(header->prefix));

	snprintf(path, TAR_PATH_SIZE_MAX + 1, "%.*s%s%.*s", prefix, header->prefix,
		 prefix > 0 ? "/" : "", (int)strnlen(header->name, sizeof(header->name)),
		 header->name);
	memcpy(digits, header->size, sizeof(header->size));
	return strtoul(digits, NULL, 8);
}

int tar_take(struct span *archive, struct tar_file *file, struct error *err)
{
	struct header header, correct;
	size_t size, padding;

	if (archive->size < TAR_BLOCK_SIZE)
		return truncated(err);
	memcpy(&header, archive->data, sizeof(header));
	if (header.name[0] == '\0') {
		if (archive->size < sizeof(zeroes))
			return truncated(err);
		return span_equal(*archive, span_of(zeroes, sizeof(zeroes))) ? 0 : foreign(err);
	}
	size = header_read(&header, file->path);
	if (!header_make(file->path, size, &correct) ||
	    memcmp(&header, &correct, sizeof(header)) != 0)
		return foreign(err);
	*archive = span_skip(*archive, TAR_BLOCK_SIZE);
	padding = padding_size(size);
	if (archive->size < size || archive->size - size < padding)
		return truncated(err);
	file->content = span_of(archive->data, size);
	if (memcmp(archive->data + size, zeroes, padding) != 0)
		return foreign(err);
	*archive = span_skip(*archive, size + padding);
	return 1;
}
