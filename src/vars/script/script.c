/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The script sees folders of its own on a memory file system. Its plaintext is read from there
 * straight into secret memory; the folder is then wiped. What the script prints is kept in secret
 * memory, dropped after success and shown after a failure, with all values that are known masked: a
 * script that traces itself prints its secrets.
 */
#include "vars/script/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "vars/script/directory.h"
#include "vars/script/mask.h"
#include "vars/script/sandbox.h"

#define SCRIPT_SECONDS_DEFAULT 600

/* A folder's files are values that the script wrote, whatever it called them. */
static void folder_mask(int folder_dirfd, const char *name, struct mask *mask)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(folder_dirfd, name);
	const char *entry;

	while (dir && (entry = dir_stream_next(dir))) {
		_cleanup_error_ struct error ignored = {0};
		_cleanup_secret_ struct secret value = {0};

		if (file_read_secret(dirfd(dir), entry, VARS_SECRET_SIZE_MAX, &value, &ignored) ==
		    0)
			mask_value(mask, secret_span(&value));
	}
}

/* Whether $out has a file that is too large to be looked for in what the script printed. */
static bool out_is_large(int folder_dirfd)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(folder_dirfd, "out");
	struct stat status;
	const char *entry;

	while (dir && (entry = dir_stream_next(dir))) {
		if (fstatat(dirfd(dir), entry, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode) && (size_t)status.st_size > VARS_SECRET_SIZE_MAX)
			return true;
	}
	return false;
}

/* Adds the script's output to the error, without the values that are known. */
static int failure_show(const struct vars_inputs *inputs, int folder_dirfd, struct secret *output,
			struct error *err)
{
	__attribute__((cleanup(mask_destroy))) struct mask mask = {0};

	if (output->size == 0)
		return -(int)err->code;
	if (out_is_large(folder_dirfd))
		return error_hint(err,
				  "what it printed is not shown: a file in $out has more than "
				  "%zu bytes, and could not be masked",
				  VARS_SECRET_SIZE_MAX);
	/* Without memory for that, nothing is shown. */
	if (mask_start(&mask, output) < 0)
		return -(int)err->code;
	folder_mask(folder_dirfd, "out", &mask);
	folder_mask(folder_dirfd, "tmp", &mask);
	for (size_t i = 0; i < inputs->count; i++)
		mask_value(&mask, secret_span(&inputs->items[i].value));
	mask_apply(&mask);
	while (output->size > 0 && output->data[output->size - 1] == '\n')
		output->size--;
	if (output->size > 0)
		error_hint(err, "it printed:\n%.*s", (int)output->size, (const char *)output->data);
	return -(int)err->code;
}

static int undeclared_check(const struct config_generator *generator, int dirfd, struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(dirfd, ".");
	const char *entry;

	if (!dir)
		return error_set_errno(err, errno, "listing $out");
	while ((entry = dir_stream_next(dir))) {
		if (config_file_find(generator, entry))
			continue;
		error_set(err, VMCRED_FAILED, "it wrote $out/%s, which is not declared", entry);
		return error_hint(err, "add it to the generator's files, or have the script "
				       "remove it");
	}
	return 0;
}

static int file_take(int dirfd, struct vars_value *value, struct error *err)
{
	const char *name = value->file->name;
	_cleanup_close_ int fd = -1;
	struct stat status;

	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && value->file->prompted)
		return 0;
	if (fd < 0 && errno == ENOENT)
		return error_set(err, VMCRED_FAILED, "it did not write $out/%s", name);
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "reading $out/%s", name);
	if (!S_ISREG(status.st_mode))
		return error_set(err, VMCRED_FAILED, "$out/%s is not a regular file", name);
	value->made = true;
	return secret_read(&value->plaintext, fd, VARS_SECRET_SIZE_MAX, name, err);
}

static int out_take(const struct config_generator *generator, int dirfd, struct vars_value *values,
		    struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = file_take(dirfd, &values[i], err);
	return r < 0 ? r : undeclared_check(generator, dirfd, err);
}

/* $in/GENERATOR/FILE, or $prompts/NAME. */
static int input_put(int folder_dirfd, const struct vars_input *input, struct error *err)
{
	const char *slash = strchr(input->name, '/'), *name = slash ? slash + 1 : input->name;
	_cleanup_free_ char *generator =
		slash ? strndup(input->name, (size_t)(slash - input->name)) : strdup("");
	_cleanup_close_ int parent = -1, dirfd = -1;

	if (!generator)
		return error_no_memory(err);
	parent = dir_make(folder_dirfd, slash ? "in" : "prompts", 0700, err);
	if (parent < 0)
		return parent;
	if (!slash)
		return file_write_new(parent, name, secret_span(&input->value), 0600, err);
	dirfd = dir_make(parent, generator, 0700, err);
	return dirfd < 0 ? dirfd
			 : file_write_new(dirfd, name, secret_span(&input->value), 0600, err);
}

static int inputs_put(int folder_dirfd, const struct vars_inputs *inputs, struct error *err)
{
	static const char *const folders[] = {"in", "tmp"};
	int r = 0;

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		if (mkdirat(folder_dirfd, folders[i], 0700) < 0)
			return error_set_errno(err, errno, "making its folder %s", folders[i]);
	}
	for (size_t i = 0; r == 0 && i < inputs->count; i++)
		r = input_put(folder_dirfd, &inputs->items[i], err);
	return r;
}

static int script_run_in(const struct config_generator *generator, const struct vars_inputs *inputs,
			 const struct script_directory *folder, enum sandbox_kind kind,
			 struct vars_value *values, bool *refused, struct error *err)
{
	const struct sandbox sandbox = {
		.kind = kind,
		.script = generator->script,
		.folder = folder->memory.path,
		.mount = folder->mount,
		.has_prompts = generator->prompt_count > 0,
		.seconds_max =
			inputs->script_seconds ? inputs->script_seconds : SCRIPT_SECONDS_DEFAULT,
	};
	_cleanup_secret_ struct secret output = {0};
	_cleanup_close_ int out_dirfd = -1;
	int r = inputs_put(folder->dirfd, inputs, err);

	if (r < 0)
		return r;
	out_dirfd = dir_make(folder->dirfd, "out", 0700, err);
	r = out_dirfd < 0 ? out_dirfd : sandbox_run(&sandbox, &output, refused, err);
	if (r == 0)
		r = out_take(generator, out_dirfd, values, err);
	return r < 0 ? failure_show(inputs, folder->dirfd, &output, err) : 0;
}

static int script_try(const struct config_generator *generator, const struct vars_inputs *inputs,
		      enum sandbox_kind kind, struct vars_value *values, bool *refused,
		      struct error *err)
{
	_cleanup_script_directory_ struct script_directory folder = SCRIPT_DIRECTORY_NONE;
	int r = script_directory_make(&folder, kind == SANDBOX_NAMESPACES, err);

	return r < 0 ? r : script_run_in(generator, inputs, &folder, kind, values, refused, err);
}

int script_run(const struct config_generator *generator, const struct vars_inputs *inputs,
	       struct vars_value *values, struct error *err)
{
	bool refused = false;
	int r = script_try(generator, inputs,
			   inputs->no_sandbox ? SANDBOX_NONE : SANDBOX_NAMESPACES, values, &refused,
			   err);

	/* Nothing has run yet. */
	if (r < 0 && refused && sandbox_has_bubblewrap()) {
		error_clear(err);
		r = script_try(generator, inputs, SANDBOX_BUBBLEWRAP, values, &refused, err);
	}
	return r < 0 ? error_wrap(err, "the script of the generator %s", generator->name) : 0;
}
