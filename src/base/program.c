/* SPDX-License-Identifier: Apache-2.0 */
#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"

int program_each(const char *name, int (*each)(const char *path, void *data), void *data,
		 struct error *err)
{
	const char *directories = getenv("PATH");
	int r = 0;

	for (const char *at = directories ? directories : PROGRAM_PATH_DEFAULT; r == 0 && *at;
	     at += strspn(at, ":")) {
		const size_t size = strcspn(at, ":");
		_cleanup_free_ char *path = NULL;

		if (*at == '/') {
			path = text_format("%.*s/%s", (int)size, at, name);
			if (!path)
				return error_no_memory(err);
			r = each(path, data);
		}
		at += size;
	}
	return r;
}

static int executable_take(const char *path, void *data)
{
	char **found = data;
	struct stat status;

	if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || access(path, X_OK) < 0)
		return 0;
	*found = strdup(path);
	return 1;
}

int program_find(const char *name, char **path, struct error *err)
{
	int r;

	*path = NULL;
	r = strchr(name, '/') ? executable_take(name, path)
			      : program_each(name, executable_take, path, err);
	if (r < 0)
		return r;
	if (r > 0)
		return *path ? 0 : error_no_memory(err);
	if (strchr(name, '/'))
		return error_set(err, VMCRED_FAILED, "%s is not executable", name);
	error_set(err, VMCRED_FAILED, "%s is not installed", name);
	return error_hint(err, "no directory of $PATH contains it");
}

char *program_sibling(const char *name)
{
	char self[PATH_MAX];
	const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length <= 0 || getauxval(AT_SECURE))
		return path_join(VMCRED_BINDIR, name);
	self[length] = '\0';
	return path_join(dirname(self), name);
}

char **program_environment_with(const char *variable)
{
	size_t count = 0, used = 0, name_size = strcspn(variable, "=") + 1;
	char **list;

	while (environ[count])
		count++;
	list = calloc(count + 2, sizeof(char *));
	if (!list)
		return NULL;
	for (char **entry = environ; *entry; entry++) {
		if (strncmp(*entry, variable, name_size) != 0)
			list[used++] = *entry;
	}
	list[used] = (char *)variable;
	return list;
}

static int spawn(const struct program *program, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int errnum = posix_spawn_file_actions_init(&actions);

	if (errnum != 0)
		return errnum;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes,
				 (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
					 (program->new_session ? POSIX_SPAWN_SETSID : 0)));
	for (int fd = 0; errnum == 0 && fd < 3; fd++)
		errnum = posix_spawn_file_actions_adddup2(&actions, program->fds[fd], fd);
	/* Copying a descriptor to itself clears its O_CLOEXEC. */
	for (size_t i = 0; errnum == 0 && i < program->inherited_count; i++)
		errnum = posix_spawn_file_actions_adddup2(&actions, program->inherited[i],
							  program->inherited[i]);
	if (errnum == 0 && program->directory)
		errnum = posix_spawn_file_actions_addchdir_np(&actions, program->directory);
	if (errnum == 0)
		errnum = posix_spawnp(pid, program->file, &actions, &attributes, program->argv,
				      program->environment ? program->environment : environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return errnum;
}

int program_start(const struct program *program, pid_t *pid, struct error *err)
{
	int errnum = spawn(program, pid);

	if (errnum == 0)
		return 0;
	error_set_errno(err, errnum, "starting %s", program->file);
	return errnum == ENOENT && !strchr(program->file, '/')
		       ? error_hint(err, "no directory of $PATH contains it")
		       : -(int)err->code;
}

int program_start_reading(const struct program *program, FILE **output, pid_t *pid,
			  struct error *err)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), reader = -1, writer = -1;
	struct program started = *program;
	int ends[2], r;

	if (null < 0)
		return error_set_errno(err, errno, "opening /dev/null");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	reader = ends[0];
	writer = ends[1];
	if (started.fds[0] < 0)
		started.fds[0] = null;
	started.fds[1] = writer;
	if (started.fds[2] < 0)
		started.fds[2] = null;
	r = program_start(&started, pid, err);
	if (r < 0)
		return r;
	*output = fdopen(reader, "r");
	if (!*output)
		return error_no_memory(err);
	fd_release(&reader);
	return 0;
}

int program_wait(pid_t pid, int *status, struct error *err)
{
	while (waitpid(pid, status, 0) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, errno, "waiting for a program");
	}
	return 0;
}

int program_status_check(int status, const char *name, struct error *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, VMCRED_FAILED, "%s was killed by SIG%s", name,
				 sigabbrev_np(WTERMSIG(status)));
	if (WEXITSTATUS(status) != 0)
		return error_set(err, VMCRED_FAILED, "%s exited with code %d", name,
				 WEXITSTATUS(status));
	return 0;
}

int program_run(const struct program *program, const char *name, struct error *err)
{
	int status = 0, r;
	pid_t pid;

	r = program_start(program, &pid, err);
	if (r == 0)
		r = program_wait(pid, &status, err);
	return r < 0 ? r : program_status_check(status, name, err);
}

int program_end_reading(FILE **output, pid_t pid, const char *name, struct error *err)
{
	int status = 0, r;

	fclose(pointer_release(output));
	r = program_wait(pid, &status, err);
	return r < 0 ? r : program_status_check(status, name, err);
}

int program_version(const char *file, const char *prefix)
{
	char *argv[] = {(char *)file, (char *)"--version", NULL};
	const struct program program = {.file = file, .argv = argv, .fds = {-1, -1, STDERR_FILENO}};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_fclose_ FILE *output = NULL;
	char text[128];
	int status;
	pid_t pid = 0;

	if (program_start_reading(&program, &output, &pid, &ignored) < 0)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, output)] = '\0';
	fclose(pointer_release(&output));
	if (program_wait(pid, &status, &ignored) < 0 || strncmp(text, prefix, strlen(prefix)) != 0)
		return 0;
	return (int)strtol(text + strlen(prefix), NULL, 10);
}
