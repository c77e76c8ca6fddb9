/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/files.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/vmcred-sops/rules.h"

void sops_file_destroy(struct sops_file *file)
{
	free(file->rule_path);
	*file = (struct sops_file){0};
}

int sops_file_require(struct sops_call *call, const char *path, struct error *err)
{
	struct stat status;

	if (stat(path, &status) == 0 || errno != ENOENT)
		return 0;
	return sops_fail(call, SOPS_EXIT_NO_FILE, err, "there is no file %s", path);
}

/* sops takes a type that it does not know for none at all. */
static const struct sops_store *store_choose(const struct sops_call *call, enum sops_flag flag,
					     const char *path)
{
	const char *type = sops_flag_text(&call->arguments, flag);
	const struct sops_store *store = type ? sops_store_named(type) : NULL;

	if (type && !store)
		report_message(&call->cli->report, REPORT_WARNING,
			       "--%s: there is no type \"%s\": the file's name decides",
			       sops_flag_name(flag), type);
	return store ? store : sops_store_for_path(path);
}

/* Whether there are layouts of the store's documents to choose from. */
static bool has_layout(const struct sops_store *store)
{
	const char *name = sops_store_name(store);

	return strcmp(name, "json") == 0 || strcmp(name, "yaml") == 0 ||
	       strcmp(name, "binary") == 0;
}

static int layout_choose(struct sops_call *call, struct sops_file *file, struct error *err)
{
	bool is_yaml = strcmp(sops_store_name(file->output), "yaml") == 0;
	long indent = sops_flag_number(&call->arguments, SOPS_FLAG_INDENT, -1);
	int r;

	if (!has_layout(file->output))
		return 0;
	r = sops_rules_load(call, err);
	if (r > 0)
		file->format = sops_creation_rules_format(call->rules, file->output);
	/* To YAML, no columns are the same as nothing said. */
	if (r >= 0 && call->arguments.values[SOPS_FLAG_INDENT])
		file->format = (struct sops_format){
			.indent = indent > 0 ? (unsigned int)indent : 0,
			.indent_given = is_yaml ? indent > 0 : indent >= 0,
		};
	return r < 0 ? r : 0;
}

int sops_file_describe(struct sops_call *call, const char *path, struct sops_file *file,
		       struct error *err)
{
	const char *override = sops_flag_text(&call->arguments, SOPS_FLAG_FILENAME_OVERRIDE);
	const char *named = override ? override : path;

	call->exit_code = SOPS_EXIT_GENERIC;
	*file = (struct sops_file){.path = path, .name = path ? path : "standard input"};
	file->rule_path = named ? path_absolute(named) : strdup("");
	if (!file->rule_path)
		return error_set_errno(err, errno, "finding the current folder");
	file->input = store_choose(call, SOPS_FLAG_INPUT_TYPE, file->rule_path);
	file->output = store_choose(call, SOPS_FLAG_OUTPUT_TYPE, file->rule_path);
	return layout_choose(call, file, err);
}

int sops_file_read(struct sops_call *call, const struct sops_file *file, struct secret *text,
		   struct error *err)
{
	call->exit_code = SOPS_EXIT_INPUT_UNREADABLE;
	if (!file->path)
		return secret_read(text, STDIN_FILENO, SOPS_FILE_SIZE_MAX, file->name, err);
	return file_read_secret(AT_FDCWD, file->path, SOPS_FILE_SIZE_MAX, text, err);
}

int sops_file_parse(struct sops_call *call, const struct sops_file *file, struct secret *text,
		    struct sops_document **document, struct error *err)
{
	int r = sops_file_read(call, file, text, err);

	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_GENERIC;
	return sops_document_read(file->input, text, file->name, document, err);
}

enum sops_exit sops_failure_exit(const struct sops_document *document)
{
	switch (sops_document_failure(document)) {
	case SOPS_FAILED_KEY:
		return SOPS_EXIT_NO_KEY;
	case SOPS_FAILED_VALUE:
		return SOPS_EXIT_DECRYPTION;
	case SOPS_FAILED_MAC:
		return SOPS_EXIT_MAC;
	case SOPS_FAILED_METADATA:
	case SOPS_FAILED_OTHERWISE:
		break;
	}
	return SOPS_EXIT_GENERIC;
}

int sops_file_open(struct sops_call *call, const struct sops_file *file,
		   struct sops_document **document, struct error *err)
{
	bool ignore = sops_flag_is_on(&call->arguments, SOPS_FLAG_IGNORE_MAC);
	_cleanup_secret_ struct secret text = {0};
	int r = sops_call_keyring_prepare(call, err);

	if (r == 0)
		r = sops_file_parse(call, file, &text, document, err);
	if (r == 0)
		r = sops_call_keys_load(call, *document, err);
	if (r < 0)
		return r;
	r = sops_document_decrypt(*document, &call->keys->keyring, ignore ? SOPS_IGNORE_MAC : 0,
				  err);
	if (r < 0) {
		call->exit_code = sops_failure_exit(*document);
		if (call->exit_code == SOPS_EXIT_NO_KEY)
			sops_keys_explain(call->keys, err);
	}
	return r;
}

int sops_path_write(const char *path, bool plaintext, struct span content, struct error *err)
{
	_cleanup_free_ char *folder = strdup(path), *base = strdup(path);
	_cleanup_close_ int fd = -1;
	struct stat status;
	mode_t mask;

	if (!folder || !base)
		return error_no_memory(err);
	if (stat(path, &status) == 0) {
		if (S_ISREG(status.st_mode))
			return file_replace_keeping(path, content, err);
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return error_set_errno(err, errno, "opening %s", path);
		return fd_write(fd, content, path, err);
	}
	fd = dir_open(AT_FDCWD, dirname(folder), err);
	if (fd < 0)
		return fd;
	mask = umask(0);
	umask(mask);
	return file_replace(fd, basename(base), content, plaintext ? 0600 : 0666 & ~mask, err);
}

int sops_output_check(struct sops_call *call, struct error *err)
{
	if (sops_flag_is_on(&call->arguments, SOPS_FLAG_IN_PLACE) &&
	    sops_flag_text(&call->arguments, SOPS_FLAG_OUTPUT))
		return sops_fail(call, SOPS_EXIT_CONFLICT, err,
				 "--in-place and --output do not go together");
	return 0;
}

int sops_output_write(struct sops_call *call, const struct sops_file *file, bool in_place,
		      bool plaintext, struct span content, struct error *err)
{
	const char *output = sops_flag_text(&call->arguments, SOPS_FLAG_OUTPUT);

	call->exit_code = SOPS_EXIT_OUTPUT_UNWRITABLE;
	if (in_place)
		return file_replace_keeping(file->path, content, err);
	if (output)
		return sops_path_write(output, plaintext, content, err);
	call->exit_code = SOPS_EXIT_GENERIC;
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	return fd_write(STDOUT_FILENO, content, "standard output", err);
}

int sops_file_write(struct sops_call *call, const struct sops_file *file,
		    const struct sops_document *document, bool in_place, bool plaintext,
		    struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r;

	call->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = sops_document_write(document, file->output, &file->format, &text, err);
	if (r < 0)
		return r;
	return sops_output_write(call, file, in_place, plaintext, secret_span(&text), err);
}
