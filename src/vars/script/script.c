/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "base/repetition/repetition.h"
#include "base/trusted/memory_directory.h"
#include "base/trusted/memory_mount.h"
#include "vars/script/process.h"

#define SCRIPT_SECONDS_DEFAULT 600

/* Of the files that a script leaves, to search its output for them. */
#define KNOWN_SIZE_MAX  ((size_t)256 * 1024)
#define KNOWN_DEPTH_MAX 16

#define HIDDEN_LINES "(hidden: repeats a secret)\n"

/* The directory that a script works in: a memory file system that is never swapped and is mounted
 * only in the script's sandbox or, where that is not allowed, a directory as for other programs. */
struct script_directory {
	struct memory_directory memory; /* owned; its path is NULL if there is a mount */
	int mount;                      /* owned, or -1 */
	int dirfd;                      /* of either */
};

#define SCRIPT_DIRECTORY_NONE                                             \
	{                                                                 \
		.memory = MEMORY_DIRECTORY_NONE, .mount = -1, .dirfd = -1 \
	}

/* `mountable`: the script has a mount namespace. */
static int script_directory_make(struct script_directory *directory, bool mountable,
				 struct error *err)
{
	_cleanup_close_ int mount = mountable ? memory_mount_create("0700", false, true) : -1;
	int r;

	/* Above the standard descriptors, of which any may be closed in this process. */
	if (mount >= 0)
		directory->mount = fcntl(mount, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (directory->mount >= 0) {
		directory->dirfd = directory->mount;
		return 0;
	}
	r = memory_directory_make(&directory->memory, "the script's $out", NULL, err);
	directory->dirfd = directory->memory.dirfd;
	return r;
}

/* As memory_directory_remove(). */
static int script_directory_remove(struct script_directory *directory, struct error *err)
{
	struct error failure = {0};

	if (directory->mount < 0)
		return memory_directory_remove(&directory->memory, err);
	if (dir_empty(directory->mount, true, &failure) < 0)
		(void)error_wrap(&failure, "wiping the script's directory");
	close(directory->mount);
	return error_add(err, &failure);
}

/* The values that a script's output must not repeat. Starts as {0}. */
struct known {
	struct secret *files; /* owned */
	size_t file_count, file_capacity;
	struct span *values; /* owned; they point into the files and the script's inputs */
	size_t value_count, value_capacity;
	size_t size; /* of the files */
};

static void known_destroy(struct known *known)
{
	for (size_t i = 0; i < known->file_count; i++)
		secret_destroy(&known->files[i]);
	free(known->files);
	free(known->values);
}

static int value_add(struct known *known, struct span value, struct error *err)
{
	int r = array_grow(&known->values, known->value_count, &known->value_capacity,
			   sizeof(*known->values), err);

	if (r == 0)
		known->values[known->value_count++] = value;
	return r;
}

/* Adds a value, and its lines, which may be too short to be found as a part of it. */
static int value_add_lines(struct known *known, struct span value, struct error *err)
{
	int r = value_add(known, value, err);

	while (r == 0 && value.size > 0) {
		const uint8_t *end = memchr(value.data, '\n', value.size);
		size_t size = end ? (size_t)(end - value.data) : value.size;

		r = value_add(known, span_of(value.data, size), err);
		value = span_skip(value, end ? size + 1 : size);
	}
	return r;
}

static int tree_add(struct known *known, int dirfd, const char *directory, unsigned int depth,
		    struct error *err);

struct tree {
	struct known *known;
	int dirfd;
	const char *directory; /* below dirfd */
	unsigned int depth;
};

static int entry_add(void *context, const char *entry, struct error *err)
{
	const struct tree *tree = context;
	struct known *known = tree->known;
	_cleanup_free_ char *path = path_join(tree->directory, entry);
	_cleanup_secret_ struct secret value = {0};
	struct stat status;
	int r;

	if (!path)
		return error_no_memory(err);
	if (fstatat(tree->dirfd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (S_ISDIR(status.st_mode))
		return tree_add(known, tree->dirfd, path, tree->depth + 1, err);
	if (!S_ISREG(status.st_mode))
		return 0;
	r = file_read_secret(tree->dirfd, path, KNOWN_SIZE_MAX - known->size, &value, err);
	if (r == 0)
		r = array_grow(&known->files, known->file_count, &known->file_capacity,
			       sizeof(*known->files), err);
	if (r < 0)
		return r;
	known->size += value.size;
	known->files[known->file_count] = (struct secret){0};
	secret_move(&known->files[known->file_count++], &value);
	return value_add_lines(known, secret_span(&known->files[known->file_count - 1]), err);
}

/* Adds all files of a directory and below it, declared or not: mktemp(1) makes directories, too. */
static int tree_add(struct known *known, int dirfd, const char *directory, unsigned int depth,
		    struct error *err)
{
	struct tree tree = {known, dirfd, directory, depth};

	if (depth > KNOWN_DEPTH_MAX)
		return error_set(err, VMCRED_FAILED, "%s is too deep", directory);
	return dir_each(dirfd, directory, entry_add, &tree, err);
}

static bool is_repetition(const struct known *known, struct span text)
{
	return repetition_found(text, known->values, known->value_count);
}

/* Replaces the lines that repeat a value, and everything if that is not enough. */
static int lines_hide(const struct known *known, struct secret *output, struct error *err)
{
	_cleanup_secret_ struct secret shown = {0};
	struct span text = secret_span(output);
	bool hidden = false;
	int r = 0;

	while (r == 0 && text.size > 0) {
		const uint8_t *end = memchr(text.data, '\n', text.size);
		struct span line =
			span_of(text.data, end ? (size_t)(end - text.data) + 1 : text.size);
		bool was_hidden = hidden;

		hidden = is_repetition(known, line);
		if (!hidden)
			r = secret_append(&shown, line, err);
		else if (!was_hidden)
			r = secret_append_text(&shown, HIDDEN_LINES, err);
		text = span_skip(text, line.size);
	}
	if (r == 0 && is_repetition(known, secret_span(&shown))) {
		shown.size = 0;
		r = secret_append_text(&shown, HIDDEN_LINES, err);
	}
	if (r == 0) {
		secret_destroy(output);
		secret_move(output, &shown);
	}
	return r;
}

/* Adds the script's output to the error, without the lines that repeat a value. */
static int output_show(const struct inputs *inputs, int dirfd, struct secret *output,
		       struct error *err)
{
	__attribute__((cleanup(known_destroy))) struct known known = {0};
	_cleanup_error_ struct error failure = {0};
	int r;

	if (output->size == 0)
		return -(int)err->code;
	r = tree_add(&known, dirfd, ".", 0, &failure);
	for (size_t i = 0; r == 0 && i < inputs->count; i++)
		r = value_add_lines(&known, secret_span(&inputs->items[i].value), &failure);
	if (r == 0 && is_repetition(&known, secret_span(output)))
		r = lines_hide(&known, output, &failure);
	while (output->size > 0 && output->data[output->size - 1] == '\n')
		output->size--;
	if (r < 0)
		error_hint(err, "its output cannot be checked for secrets and is not shown: the "
				"files that it left are too large, too many or not readable");
	else if (output->size > 0)
		error_hint(err, "it printed:\n%.*s", (int)output->size, (const char *)output->data);
	return -(int)err->code;
}

static int file_take(int dirfd, struct value *value, struct error *err)
{
	const char *name = value->file->name;
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0 && errno == ENOENT && value->file->prompted)
		return 0;
	if (fd < 0 && errno == ENOENT)
		return error_set(err, VMCRED_FAILED, "the script did not write $out/%s", name);
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "reading $out/%s", name);
	if (!S_ISREG(status.st_mode))
		return error_set(err, VMCRED_FAILED, "$out/%s is not a regular file", name);
	value->made = true;
	return secret_read(&value->plaintext, fd, VARS_SECRET_SIZE_MAX, name, err);
}

/* Reads the declared files; others are an error. */
static int out_take(const struct config_generator *generator, int dirfd, struct value *values,
		    struct error *err)
{
	_cleanup_close_dir_ DIR *dir = NULL;
	const char *entry;

	for (size_t i = 0; i < generator->file_count; i++) {
		if (file_take(dirfd, &values[i], err) < 0)
			return -(int)err->code;
	}
	dir = dir_stream_open(dirfd, ".");
	if (!dir)
		return error_set_errno(err, errno, "listing $out");
	while ((entry = dir_stream_next(dir))) {
		if (config_file_find(generator, entry))
			continue;
		error_set(err, VMCRED_FAILED, "the script wrote $out/%s, which is not declared",
			  entry);
		return error_hint(err, "declare it in the generator's files, or remove it");
	}
	return 0;
}

/* As $in/GENERATOR/FILE, or $prompts/NAME. */
static int input_write(int dirfd, const struct input *input, struct error *err)
{
	const char *slash = strrchr(input->name, '/');
	_cleanup_free_ char *parent =
		slash ? text_format("in/%.*s", (int)(slash - input->name), input->name)
		      : strdup("prompts");
	_cleanup_close_ int parent_dirfd = -1;

	if (!parent)
		return error_no_memory(err);
	parent_dirfd = dir_make(dirfd, parent, 0700, err);
	return parent_dirfd < 0 ? parent_dirfd
				: file_write_new(parent_dirfd, slash ? slash + 1 : input->name,
						 secret_span(&input->value), 0600, err);
}

static int script_run_in(const struct config_generator *generator, const struct inputs *inputs,
			 const struct script_directory *directory, enum sandbox_kind sandbox,
			 struct value *values, bool *refused, struct error *err)
{
	const struct script_process process = {
		.sandbox = sandbox,
		.script = generator->script,
		.directory = directory->memory.path,
		.mount = directory->mount,
		.has_prompts = generator->prompt_count > 0,
		.seconds_max =
			inputs->script_seconds ? inputs->script_seconds : SCRIPT_SECONDS_DEFAULT,
	};
	const int dirfd = directory->dirfd;
	_cleanup_secret_ struct secret output = {0};
	_cleanup_close_ int out_dirfd = -1;
	int r = 0;

	if (mkdirat(dirfd, "in", 0700) < 0 || mkdirat(dirfd, "tmp", 0700) < 0)
		return error_set_errno(err, errno, "creating the script's directories");
	for (size_t i = 0; r == 0 && i < inputs->count; i++)
		r = input_write(dirfd, &inputs->items[i], err);
	if (r < 0)
		return r;
	out_dirfd = dir_make(dirfd, "out", 0700, err);
	r = out_dirfd < 0 ? out_dirfd : script_process_run(&process, &output, refused, err);
	if (r == 0)
		r = out_take(generator, out_dirfd, values, err);
	return r < 0 ? output_show(inputs, dirfd, &output, err) : 0;
}

static int script_try(const struct config_generator *generator, const struct inputs *inputs,
		      enum sandbox_kind sandbox, struct value *values, bool *refused,
		      struct error *err)
{
	struct script_directory directory = SCRIPT_DIRECTORY_NONE;

	if (script_directory_make(&directory, sandbox == SANDBOX_NAMESPACES, err) == 0)
		(void)script_run_in(generator, inputs, &directory, sandbox, values, refused, err);
	return script_directory_remove(&directory, err);
}

int script_run(const struct config_generator *generator, const struct inputs *inputs,
	       struct value *values, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *bwrap = NULL;
	bool refused = false;
	int r = script_try(generator, inputs,
			   inputs->no_sandbox ? SANDBOX_NONE : SANDBOX_NAMESPACES, values, &refused,
			   err);

	/* The script has not run yet. */
	if (r < 0 && refused && program_find("bwrap", &bwrap, &ignored) == 0) {
		error_clear(err);
		r = script_try(generator, inputs, SANDBOX_BUBBLEWRAP, values, &refused, err);
	}
	return r < 0 ? error_wrap(err, "generator %s", generator->name) : 0;
}
