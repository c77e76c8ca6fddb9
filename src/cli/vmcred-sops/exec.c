/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "cli/vmcred-sops/exec_place.h"
#include "cli/vmcred-sops/files.h"
#include "cli/vmcred-sops/user.h"

/* The file and the command, and what both verbs do with them first. */
static int exec_open(struct sops_call *call, struct sops_file *file,
		     struct sops_document **document, struct error *err)
{
	int r;

	if (call->word_count != 2)
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "needs a file and a command in one word");
	r = sops_file_describe(call, call->words[0], file, err);
	return r < 0 ? r : sops_file_open(call, file, document, err);
}

static int user_change(const struct sops_call *call, struct error *err)
{
	const char *user = sops_flag_text(&call->arguments, SOPS_FLAG_USER);

	return user ? user_become(user, err) : 0;
}

/* How a shell that ended with this status makes sops end. */
static int status_exit(struct sops_call *call, int status, struct error *err)
{
	if (status == 0)
		return 0;
	call->exit_code =
		WIFEXITED(status) ? (enum sops_exit)WEXITSTATUS(status) : SOPS_EXIT_SIGNALLED;
	return program_status_check(status, "the command", err);
}

/* Adds "KEY=value" and a NUL. */
static int entry_add(void *context, struct span key, struct span value, struct error *err)
{
	struct secret *entries = context;
	int r;

	if (memchr(key.data, '=', key.size) || memchr(key.data, '\0', key.size))
		return error_set(err, VMCRED_FAILED,
				 "the key %.*s cannot name a variable of the environment",
				 (int)key.size, (const char *)key.data);
	if (value.size > 0 && memchr(value.data, '\0', value.size))
		return error_set(err, VMCRED_FAILED,
				 "the value of %.*s has a NUL byte in it, which an environment "
				 "cannot hold",
				 (int)key.size, (const char *)key.data);
	r = secret_append(entries, key, err);
	if (r == 0)
		r = secret_append(entries, span_of_text("="), err);
	if (r == 0)
		r = secret_append(entries, value, err);
	return r < 0 ? r : secret_append(entries, span_of("", 1), err);
}

static bool name_is_in(const char *entry, const struct secret *entries)
{
	size_t length = strcspn(entry, "=") + 1;
	const char *at = (const char *)entries->data, *end = at + entries->size;

	for (; at < end; at += strlen(at) + 1) {
		if (strncmp(at, entry, length) == 0)
			return true;
	}
	return false;
}

/* What --user sets is passed on with --pristine too. */
static bool is_passed_on(const struct sops_call *call, const char *entry)
{
	if (!sops_flag_is_on(&call->arguments, SOPS_FLAG_PRISTINE))
		return true;
	return sops_flag_text(&call->arguments, SOPS_FLAG_USER) &&
	       (strncmp(entry, "HOME=", 5) == 0 || strncmp(entry, "USER=", 5) == 0 ||
		strncmp(entry, "LOGNAME=", 8) == 0);
}

/*
 * The list of pointers for exec(2): what is passed on, and the secret entries, which win. The
 * caller frees the list. NULL without memory.
 */
static char **environment_make(const struct sops_call *call, const struct secret *entries)
{
	char *at = (char *)entries->data, *end = at + entries->size;
	size_t count = 1, used = 0;
	char **list;

	for (size_t i = 0; i < entries->size; i++)
		count += entries->data[i] == '\0';
	for (char **entry = environ; *entry; entry++)
		count++;
	list = calloc(count, sizeof(char *));
	if (!list)
		return NULL;
	for (char **entry = environ; *entry; entry++) {
		if (is_passed_on(call, *entry) && !name_is_in(*entry, entries))
			list[used++] = *entry;
	}
	for (; at < end; at += strlen(at) + 1)
		list[used++] = at;
	return list;
}

/*
 * The command takes this process over, as with --same-process: nobody else is left who holds the
 * secrets, and how it ends is how we end.
 */
int verb_exec_env(struct sops_call *call, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	bool background = sops_flag_is_on(&call->arguments, SOPS_FLAG_BACKGROUND);
	_cleanup_secret_ struct secret entries = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	_cleanup_free_ char **environment = NULL;
	char shell[] = "/bin/sh", option[] = "-c";
	struct program program;
	pid_t pid;
	int r;

	if (background && sops_flag_is_on(&call->arguments, SOPS_FLAG_SAME_PROCESS))
		return sops_fail(call, SOPS_EXIT_CONFLICT, err,
				 "--same-process and --background do not go together");
	r = exec_open(call, &file, &document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_each(document, entry_add, &entries, err);
	if (r == 0)
		r = user_change(call, err);
	if (r < 0)
		return r;
	report_message(
		&call->cli->report, REPORT_WARNING,
		"root, processes of the same user and everything that the command starts can "
		"read its environment: exec-file hands secrets over without it");
	environment = environment_make(call, &entries);
	if (!environment)
		return error_no_memory(err);
	program = (struct program){.file = shell,
				   .argv = (char *const[]){shell, option, call->words[1], NULL},
				   .environment = environment,
				   .fds = PROGRAM_OUR_FDS};
	if (background)
		return program_start(&program, &pid, err);
	execve(shell, program.argv, environment);
	return error_set_errno(err, errno, "starting %s", shell);
}

/* The command with each "{}" replaced. The caller frees it; NULL without memory. */
static char *command_fill(const char *command, const char *path)
{
	_cleanup_fclose_ FILE *stream = NULL;
	_cleanup_free_ char *filled = NULL;
	const char *place;
	size_t size = 0;

	stream = open_memstream(&filled, &size);
	if (!stream)
		return NULL;
	for (; (place = strstr(command, "{}")); command = place + 2)
		fprintf(stream, "%.*s%s", (int)(place - command), command, path);
	fputs(command, stream);
	if (fflush(stream) != 0 || ferror(stream))
		return NULL;
	fclose(stream);
	stream = NULL;
	return pointer_release(&filled);
}

int verb_exec_file(struct sops_call *call, struct error *err)
{
	const char *name = sops_flag_text(&call->arguments, SOPS_FLAG_FILENAME);
	_cleanup_exec_place_ struct exec_place place = EXEC_PLACE_NONE;
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_free_ char *command = NULL;
	char shell[] = "/bin/sh", option[] = "-c";
	int status = 0, r;

	if (sops_flag_is_on(&call->arguments, SOPS_FLAG_BACKGROUND))
		return error_set(err, VMCRED_USAGE,
				 "--background is not supported: the file is gone when sops ends");
	if (name && (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return error_set(err, VMCRED_USAGE, "--filename must be a name without a folder");
	r = exec_open(call, &file, &document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = sops_document_write(document, file.output, &file.format, &text, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_GENERIC;
	r = user_change(call, err);
	if (r == 0)
		r = exec_place_make(&place, name, &text,
				    !sops_flag_is_on(&call->arguments, SOPS_FLAG_NO_FIFO), err);
	if (r < 0)
		return r;
	command = command_fill(call->words[1], place.path);
	if (!command)
		return error_no_memory(err);
	r = foreground_run((char *const[]){shell, option, command, NULL}, &status, err);
	return r < 0 ? r : status_exit(call, status, err);
}
