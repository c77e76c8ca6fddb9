/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec-env and exec-file. exec-file gives the plaintext to the command in a private directory on a
 * memory file system, wiped at the end: as a FIFO, fed once from secret memory, or as a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "base/trusted/memory_directory.h"
#include "cli/vmcred-sops/commands.h"

#define FILE_NAME_DEFAULT "tmp-file" /* as in sops */

static int document_open(struct invocation *invocation, struct sops_file *file,
			 struct sops_document **document, struct error *err)
{
	int r;

	if (invocation->argument_count != 2)
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "expected FILE and COMMAND, which is one argument");
	r = sops_file_describe(invocation, invocation->arguments[0], file, err);
	return r < 0 ? r : sops_file_open(invocation, file, document, err);
}

/* With --user: becomes that user, with its groups, HOME, USER and LOGNAME. */
static int user_change(const struct invocation *invocation, struct error *err)
{
	const char *name = flag_text(&invocation->flags, FLAG_USER);
	const struct passwd *user;

	if (!name)
		return 0;
	errno = 0;
	/* The process has one thread here. */
	user = getpwnam(name); /* NOLINT(concurrency-mt-unsafe) */
	if (!user && errno != 0)
		return error_set_errno(err, errno, "finding user %s", name);
	if (!user)
		return error_set(err, VMCRED_FAILED, "user %s does not exist", name);
	if (initgroups(name, user->pw_gid) < 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return error_set_errno(err, errno, "changing to user %s", name);
	if (setenv("HOME", user->pw_dir, 1) < 0 || setenv("USER", user->pw_name, 1) < 0 ||
	    setenv("LOGNAME", user->pw_name, 1) < 0)
		return error_no_memory(err);
	return 0;
}

/* Adds "KEY=value" and a NUL. */
static int entry_add(void *context, struct span key, struct span value, struct error *err)
{
	const struct span parts[] = {key, span_of_text("="), value, span_of("", 1)};
	struct secret *entries = context;
	int r = 0;

	if (memchr(key.data, '=', key.size) || memchr(key.data, '\0', key.size))
		return error_set(err, VMCRED_FAILED,
				 "key %.*s is not a valid name of an environment variable",
				 (int)key.size, (const char *)key.data);
	if (value.size > 0 && memchr(value.data, '\0', value.size))
		return error_set(err, VMCRED_FAILED,
				 "value of %.*s contains a NUL byte, which an environment variable "
				 "cannot",
				 (int)key.size, (const char *)key.data);
	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		r = secret_append(entries, parts[i], err);
	return r;
}

static bool entries_have(const struct secret *entries, const char *entry)
{
	size_t length = strcspn(entry, "=") + 1;
	const char *at = (const char *)entries->data, *end = at + entries->size;

	for (; at < end; at += strlen(at) + 1) {
		if (strncmp(at, entry, length) == 0)
			return true;
	}
	return false;
}

/* With --pristine only the variables that --user set. */
static bool is_inherited(const struct invocation *invocation, const char *entry)
{
	if (!flag_is_on(&invocation->flags, FLAG_PRISTINE))
		return true;
	return flag_text(&invocation->flags, FLAG_USER) &&
	       (strncmp(entry, "HOME=", 5) == 0 || strncmp(entry, "USER=", 5) == 0 ||
		strncmp(entry, "LOGNAME=", 8) == 0);
}

/* Pointers to our environment and to the entries, which override it. The caller frees the list. */
static char **environment_list(const struct invocation *invocation, const struct secret *entries)
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
		if (is_inherited(invocation, *entry) && !entries_have(entries, *entry))
			list[used++] = *entry;
	}
	for (; at < end; at += strlen(at) + 1)
		list[used++] = at;
	return list;
}

/* Always replaces this process, as with --same-process: then no other process has the secrets, and
 * the command's exit status is ours. */
int command_exec_env(struct invocation *invocation, struct error *err)
{
	const bool background = flag_is_on(&invocation->flags, FLAG_BACKGROUND);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret entries = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	_cleanup_free_ char **environment = NULL;
	char shell[] = "/bin/sh", option[] = "-c";
	char *argv[] = {shell, option, NULL, NULL};
	struct program program = {.file = shell, .argv = argv};
	_cleanup_close_ int null = -1;
	pid_t pid;
	int r;

	if (background && flag_is_on(&invocation->flags, FLAG_SAME_PROCESS))
		return fail(invocation, SOPS_EXIT_CONFLICT, err,
			    "--same-process conflicts with --background");
	r = document_open(invocation, &file, &document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_each(document, entry_add, &entries, err);
	if (r == 0)
		r = user_change(invocation, err);
	if (r < 0)
		return r;
	report_message(&invocation->cli->report, REPORT_INFO,
		       "environment variables are visible to root, to processes of the same user "
		       "and to all descendants of the command: prefer exec-file");
	environment = environment_list(invocation, &entries);
	if (!environment)
		return error_no_memory(err);
	argv[2] = invocation->arguments[1];
	program.environment = environment;
	if (background) {
		/* A caller that reads our output must not wait for the command. */
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null < 0)
			return error_set_errno(err, errno, "opening /dev/null");
		memcpy(program.fds, (int[]){null, null, null}, sizeof(program.fds));
		return program_start(&program, &pid, err);
	}
	execve(shell, argv, environment);
	return error_set_errno(err, errno, "starting %s", shell);
}

/* The plaintext file. Starts as {.directory = MEMORY_DIRECTORY_NONE}. */
struct plaintext {
	struct memory_directory directory;
	char *path; /* owned */
	struct secret text;
	pthread_t writer; /* of the FIFO */
	bool is_writing;
};

/* Waits for a reader and writes the text. Cancelled when nothing reads it. */
static void *fifo_write(void *argument)
{
	const struct plaintext *plaintext = argument;
	_cleanup_error_ struct error ignored = {0};
	int fd = open(plaintext->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	/* The reader may close early: SIGPIPE is blocked in this thread. */
	(void)fd_write(fd, secret_span(&plaintext->text), plaintext->path, &ignored);
	close(fd);
	return NULL;
}

static int plaintext_create(struct plaintext *plaintext, const char *name, bool fifo,
			    const struct report *report, struct error *err)
{
	int r = memory_directory_make(&plaintext->directory, "the decrypted file", report, err);
	_cleanup_close_ int spare = -1;
	sigset_t all, before;

	if (r < 0)
		return r;
	plaintext->path = path_join(plaintext->directory.path, name);
	if (!plaintext->path)
		return error_no_memory(err);
	if (!fifo)
		return file_write_new(plaintext->directory.dirfd, name,
				      secret_span(&plaintext->text), S_IRUSR | S_IWUSR, err);
	if (mkfifoat(plaintext->directory.dirfd, name, S_IRUSR | S_IWUSR) < 0)
		return error_set_errno(err, errno, "creating a FIFO");
	/* The thread needs a descriptor. Without one, the command would wait for it for ever. */
	spare = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (spare < 0)
		return error_set_errno(err, errno, "opening a FIFO");
	close(fd_release(&spare));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&plaintext->writer, NULL, fifo_write, plaintext);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return error_set_errno(err, r, "starting a thread");
	plaintext->is_writing = true;
	return 0;
}

static int plaintext_remove(struct plaintext *plaintext, struct error *err)
{
	if (plaintext->is_writing) {
		(void)pthread_cancel(plaintext->writer);
		(void)pthread_join(plaintext->writer, NULL);
	}
	secret_destroy(&plaintext->text);
	free(plaintext->path);
	return memory_directory_remove(&plaintext->directory, err);
}

/* The command with each "{}" replaced. The caller frees it; NULL without memory. */
static char *command_fill(const char *command, const char *path)
{
	char *filled = NULL;
	const char *place;
	size_t size = 0;
	FILE *stream = open_memstream(&filled, &size);

	if (!stream)
		return NULL;
	for (; (place = strstr(command, "{}")); command = place + 2)
		fprintf(stream, "%.*s%s", (int)(place - command), command, path);
	fputs(command, stream);
	if (fclose(stream) != 0) {
		free(filled);
		return NULL;
	}
	return filled;
}

/* Returns 0 with the command's status, also if it is an error. */
static int plaintext_pass(struct invocation *invocation, struct plaintext *plaintext,
			  const char *name, int *status, struct error *err)
{
	const bool is_fifo = !flag_is_on(&invocation->flags, FLAG_NO_FIFO);
	char shell[] = "/bin/sh", option[] = "-c";
	_cleanup_free_ char *command = NULL;
	int r = plaintext_create(plaintext, name, is_fifo, &invocation->cli->report, err);

	if (r < 0)
		return r;
	command = command_fill(invocation->arguments[1], plaintext->path);
	if (!command)
		return error_no_memory(err);
	return foreground_run((char *const[]){shell, option, command, NULL}, status, err);
}

int command_exec_file(struct invocation *invocation, struct error *err)
{
	struct plaintext plaintext = {.directory = MEMORY_DIRECTORY_NONE};
	const char *name = flag_text(&invocation->flags, FLAG_FILENAME);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	int status = 0, r;

	if (flag_is_on(&invocation->flags, FLAG_BACKGROUND))
		return error_set(err, VMCRED_USAGE,
				 "--background is not supported: the file is removed when sops "
				 "exits");
	if (name && (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return error_set(err, VMCRED_USAGE,
				 "--filename must be a name without a directory");
	r = document_open(invocation, &file, &document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = sops_document_write(document, file.output, &file.format, &plaintext.text, err);
	if (r == 0) {
		invocation->exit_code = SOPS_EXIT_GENERIC;
		r = user_change(invocation, err);
	}
	if (r == 0)
		r = plaintext_pass(invocation, &plaintext, name ? name : FILE_NAME_DEFAULT, &status,
				   err);
	if (r == 0 && status != 0) {
		invocation->exit_code = WIFEXITED(status) ? (enum sops_exit)WEXITSTATUS(status)
							  : SOPS_EXIT_SIGNALLED;
		(void)program_status_check(status, "the command", err);
	}
	return plaintext_remove(&plaintext, err);
}
