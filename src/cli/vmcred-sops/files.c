/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/vmcred-sops/commands.h"

void sops_file_destroy(struct sops_file *file)
{
	free(file->rule_path);
	*file = (struct sops_file){0};
}

bool sops_path_is_missing(const char *path)
{
	struct stat status;

	return stat(path, &status) < 0 && errno == ENOENT;
}

int sops_file_require(struct invocation *invocation, const char *path, struct error *err)
{
	return sops_path_is_missing(path)
		       ? fail(invocation, SOPS_EXIT_NO_FILE, err, "%s does not exist", path)
		       : 0;
}

/* As in sops, an unknown type is ignored. */
static const struct sops_store *store_choose(const struct invocation *invocation, enum flag flag,
					     const char *path)
{
	const char *type = flag_text(&invocation->flags, flag);
	const struct sops_store *store = type ? sops_store_named(type) : NULL;

	if (type && !store)
		report_message(&invocation->cli->report, REPORT_WARNING,
			       "unknown type \"%s\" in --%s: using the file name instead", type,
			       flag_name(flag));
	return store ? store : sops_store_for_path(path);
}

static int layout_choose(struct invocation *invocation, struct sops_file *file, struct error *err)
{
	const char *store = file->output->name;
	const long indent = flag_number(&invocation->flags, FLAG_INDENT, -1);
	const bool is_yaml = strcmp(store, "yaml") == 0;
	int r;

	/* A file that somebody names must exist. */
	if (!is_yaml && strcmp(store, "json") != 0 && strcmp(store, "binary") != 0 &&
	    !flag_text(&invocation->flags, FLAG_CONFIG))
		return 0;
	r = rules_load(invocation, true, err);
	if (r > 0)
		file->format = sops_creation_rules_format(invocation->rules, file->output);
	/* For YAML, 0 is the same as no --indent. */
	if (r >= 0 && invocation->flags.values[FLAG_INDENT])
		file->format = (struct sops_format){
			.indent = indent > 0 ? (unsigned int)indent : 0,
			.indent_given = is_yaml ? indent > 0 : indent >= 0,
		};
	return r < 0 ? r : 0;
}

int sops_file_describe(struct invocation *invocation, const char *path, struct sops_file *file,
		       struct error *err)
{
	const char *override = flag_text(&invocation->flags, FLAG_FILENAME_OVERRIDE);
	const char *named = override ? override : path;

	invocation->exit_code = SOPS_EXIT_GENERIC;
	*file = (struct sops_file){.path = path, .name = path ? path : "standard input"};
	file->rule_path = named ? path_absolute(named) : strdup("");
	if (!file->rule_path)
		return error_set_errno(err, errno, "finding the working directory");
	file->input = store_choose(invocation, FLAG_INPUT_TYPE, file->rule_path);
	file->output = store_choose(invocation, FLAG_OUTPUT_TYPE, file->rule_path);
	return layout_choose(invocation, file, err);
}

int sops_file_read(struct invocation *invocation, const struct sops_file *file, struct secret *text,
		   struct error *err)
{
	invocation->exit_code = SOPS_EXIT_INPUT_UNREADABLE;
	if (!file->path)
		return secret_read(text, STDIN_FILENO, SOPS_FILE_SIZE_MAX, file->name, err);
	return file_read_secret(AT_FDCWD, file->path, SOPS_FILE_SIZE_MAX, text, err);
}

int sops_file_parse(struct invocation *invocation, const struct sops_file *file,
		    struct secret *text, struct sops_document **document, struct error *err)
{
	int r = sops_file_read(invocation, file, text, err);

	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_GENERIC;
	return sops_document_read(file->input, text, file->name, document, err);
}

/* Three numbers with dots, and what may follow them in a semantic version; anything for sops 1. */
static bool is_version(const char *text)
{
	static const char digits[] = "0123456789";

	if (strncmp(text, "1.", 2) == 0)
		return true;
	text += *text == 'v';
	for (int part = 0; part < 3; part++) {
		size_t size = strspn(text, digits);

		if (size == 0 || (size > 1 && *text == '0') || (part < 2 && text[size] != '.'))
			return false;
		text += part < 2 ? size + 1 : size;
	}
	/* The terminating NUL is found, too. */
	return strchr("-+", *text) != NULL;
}

/* As sops does, which needs it for documents of old versions. */
static int version_check(const struct sops_file *file, const struct sops_document *document,
			 struct error *err)
{
	const char *version = sops_document_version(document);

	if (is_version(version))
		return 0;
	error_set(err, VMCRED_FAILED, "%s: invalid version \"%s\" in its metadata", file->name,
		  version);
	return error_hint(err, "set it to that of sops, such as 3.13.2");
}

int sops_file_open(struct invocation *invocation, const struct sops_file *file,
		   struct sops_document **document, struct error *err)
{
	static const enum sops_exit exits[] = {
		[SOPS_FAILED_KEY] = SOPS_EXIT_NO_KEY,
		[SOPS_FAILED_VALUE] = SOPS_EXIT_DECRYPTION,
		[SOPS_FAILED_MAC] = SOPS_EXIT_MAC,
		[SOPS_FAILED_METADATA] = SOPS_EXIT_GENERIC,
		[SOPS_FAILED_OTHERWISE] = SOPS_EXIT_GENERIC,
	};
	const bool ignore_mac = flag_is_on(&invocation->flags, FLAG_IGNORE_MAC);
	_cleanup_secret_ struct secret text = {0};
	int r = keyring_prepare(invocation, err);

	if (r == 0)
		r = sops_file_parse(invocation, file, &text, document, err);
	if (r == 0)
		r = version_check(file, *document, err);
	if (r == 0)
		r = keys_load(invocation, *document, err);
	if (r < 0)
		return r;
	r = sops_document_decrypt(*document, &invocation->keys->keyring,
				  ignore_mac ? SOPS_IGNORE_MAC : 0, err);
	if (r == 0)
		sops_document_comments_report(*document, &invocation->cli->report);
	else
		invocation->exit_code = exits[sops_document_failure(*document)];
	if (r < 0 && invocation->exit_code == SOPS_EXIT_NO_KEY)
		sops_keys_explain(invocation->keys, err);
	return r;
}

int sops_output_check(struct invocation *invocation, struct error *err)
{
	if (flag_is_on(&invocation->flags, FLAG_IN_PLACE) &&
	    flag_text(&invocation->flags, FLAG_OUTPUT))
		return fail(invocation, SOPS_EXIT_CONFLICT, err,
			    "--in-place conflicts with --output");
	return 0;
}

int sops_output_write(struct invocation *invocation, const struct sops_file *file, bool in_place,
		      enum output_content content, struct span text, struct error *err)
{
	const char *output = in_place ? file->path : flag_text(&invocation->flags, FLAG_OUTPUT);

	invocation->exit_code = SOPS_EXIT_OUTPUT_UNWRITABLE;
	if (output)
		return output_write(output, content, text, err);
	invocation->exit_code = SOPS_EXIT_GENERIC;
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	return fd_write(STDOUT_FILENO, text, "standard output", err);
}

int sops_file_write(struct invocation *invocation, const struct sops_file *file,
		    struct sops_document *document, bool in_place, enum output_content content,
		    struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r;

	invocation->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = sops_document_write(document, file->output, &file->format, &text, err);
	if (r < 0)
		return r;
	return sops_output_write(invocation, file, in_place, content, secret_span(&text), err);
}

int sops_file_rewrite(struct invocation *invocation, const struct sops_file *file,
		      struct sops_document *document, struct error *err)
{
	int r;

	invocation->exit_code = SOPS_EXIT_ENCRYPTION;
	r = sops_document_reencrypt(document, err);
	return r < 0 ? r
		     : sops_file_write(invocation, file, document, true, OUTPUT_CIPHERTEXT, err);
}
