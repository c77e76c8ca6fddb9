/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "bundle/bundle.h"
#include "bundle/tar.h"
#include "vars/vars.h"

void bundle_bytes_free(struct bundle_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bundle_bytes){0};
}

struct packing {
	const char *machine;
	int store_dirfd;
	FILE *stream;
};

static int file_pack(const struct vars_location *location, void *data, struct error *err)
{
	const struct packing *packing = data;
	_cleanup_free_ char *path = vars_location_path(location);
	_cleanup_secret_ struct secret content = {0};
	int r;

	if (!location->file->deploy)
		return 0;
	if (!path)
		return error_no_memory(err);
	r = vars_store_read_sealed(packing->store_dirfd, location, packing->machine, &content, err);
	return r < 0 ? r : tar_add(packing->stream, path, secret_span(&content), err);
}

int bundle_pack(const char *part, int store_dirfd, struct bundle_bytes *bundle, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_fclose_ FILE *stream = NULL;
	struct packing packing = {.store_dirfd = store_dirfd};
	int r = config_load_text(part, strlen(part), BUNDLE_DECLARATION, &config, err);

	if (r < 0)
		return error_wrap(err, "the machine's part of the declaration");
	stream = open_memstream(&bundle->data, &bundle->size);
	if (!stream)
		return error_no_memory(err);
	packing.stream = stream;
	packing.machine = config.machines[0].name;
	r = tar_add(stream, BUNDLE_DECLARATION, span_of_text(part), err);
	if (r == 0)
		r = vars_each(&config, NULL, file_pack, &packing, err);
	return r < 0 ? r : tar_finish(pointer_release(&stream), err);
}

struct unpacking {
	struct span archive;
	struct bundle *bundle;
	size_t capacity;
};

static struct bundle_file *file_add(struct unpacking *unpacking, const struct tar_file *file,
				    struct error *err)
{
	struct bundle *bundle = unpacking->bundle;
	struct bundle_file *added;

	if (array_grow(&bundle->files, bundle->count, &unpacking->capacity, sizeof(*added), err) <
	    0)
		return NULL;
	added = &bundle->files[bundle->count];
	*added = (struct bundle_file){strdup(file->path), file->content};
	if (!added->path) {
		error_no_memory(err);
		return NULL;
	}
	bundle->count++;
	return added;
}

/* Takes the file that must be next. */
static int file_take(struct unpacking *unpacking, const char *path, size_t size_max,
		     struct error *err)
{
	struct tar_file file;
	int r = tar_take(&unpacking->archive, &file, err);

	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, VMCRED_INTEGRITY, "the bundle does not contain %s", path);
	if (strcmp(file.path, path) != 0)
		return error_set(err, VMCRED_INTEGRITY, "the bundle contains %s where %s must be",
				 file.path, path);
	if (file.content.size > size_max)
		return error_set(err, VMCRED_INTEGRITY, "%s in the bundle is too large", path);
	return file_add(unpacking, &file, err) ? 0 : -(int)err->code;
}

static int location_take(const struct vars_location *location, void *data, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (!location->file->deploy)
		return 0;
	path = vars_location_path(location);
	return path ? file_take(data, path, VARS_DOCUMENT_SIZE_MAX, err) : error_no_memory(err);
}

static int machine_check(const struct config *config, const char *given, struct error *err)
{
	_cleanup_free_ char *here = NULL;

	if (config->machine_count != 1)
		return error_set(err, VMCRED_INTEGRITY, "the bundle declares %zu machines, not one",
				 config->machine_count);
	if (config_machine_is_here(&config->machines[0], given, &here))
		return 0;
	error_set(err, VMCRED_INTEGRITY, "the bundle is for machine %s, not %s",
		  config->machines[0].name, here ? here : "this one");
	return error_hint(err, "export the bundle of this machine, or use --machine");
}

int bundle_open(struct span bytes, const char *given, struct bundle *bundle, struct error *err)
{
	struct unpacking unpacking = {.archive = bytes, .bundle = bundle};
	struct tar_file file;
	int r = file_take(&unpacking, BUNDLE_DECLARATION, BUNDLE_SIZE_MAX, err);

	if (r == 0)
		r = config_load_text((const char *)bundle->files[0].content.data,
				     bundle->files[0].content.size, "the bundle's vmcred.yaml",
				     &bundle->config, err);
	if (r == -(int)VMCRED_USAGE)
		return error_hint(err, "if a newer vmcred exported it, update vmcred on this host");
	if (r == 0)
		r = machine_check(&bundle->config, given, err);
	if (r == 0)
		r = vars_each(&bundle->config, NULL, location_take, &unpacking, err);
	if (r == 0)
		r = tar_take(&unpacking.archive, &file, err);
	return r <= 0 ? r
		      : error_set(err, VMCRED_INTEGRITY,
				  "the bundle contains %s, which it does not declare", file.path);
}

void bundle_destroy(struct bundle *bundle)
{
	for (size_t i = 0; i < bundle->count; i++)
		free(bundle->files[i].path);
	free(bundle->files);
	config_destroy(&bundle->config);
	*bundle = (struct bundle){0};
}

/* The directories of a new file. Nobody else has the top one. */
static int parents_make(int dirfd, const char *path, struct error *err)
{
	_cleanup_free_ char *parent = strdup(path);

	if (!parent)
		return error_no_memory(err);
	for (char *slash = strchr(parent, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(dirfd, parent, 0755) < 0 && errno != EEXIST)
			return error_set_errno(err, errno, "creating %s", parent);
		*slash = '/';
	}
	return 0;
}

int bundle_unpack(const struct bundle *bundle, int dirfd, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < bundle->count; i++) {
		const struct bundle_file *file = &bundle->files[i];

		r = parents_make(dirfd, file->path, err);
		if (r == 0)
			r = file_write_unsynced(dirfd, file->path, file->content, 0644, err);
	}
	return r;
}
