/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/words.h"

int child_status_check(int status, const char *what, struct error *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, VMCRED_FAILED, "%s was ended by the signal %s", what,
				 sigdescr_np(WTERMSIG(status)));
	if (WEXITSTATUS(status) != 0)
		return error_set(err, VMCRED_FAILED, "%s ended with exit code %d", what,
				 WEXITSTATUS(status));
	return 0;
}

static void cleanup_attributes(posix_spawnattr_t *attributes)
{
	posix_spawnattr_destroy(attributes);
}

static void cleanup_actions(posix_spawn_file_actions_t *actions)
{
	posix_spawn_file_actions_destroy(actions);
}

#define _cleanup_attributes_ __attribute__((cleanup(cleanup_attributes)))
#define _cleanup_actions_    __attribute__((cleanup(cleanup_actions)))

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

/* Lets signals in again, but not those that came meanwhile: there is something to clean up. */
static void signals_restore(const sigset_t *taken, const sigset_t *before)
{
	const struct timespec at_once = {0};

	while (sigtimedwait(taken, NULL, &at_once) > 0)
		continue;
	sigprocmask(SIG_SETMASK, before, NULL);
}

/* The child's end, while signals are taken from the queue. */
static int child_wait(pid_t pid, const sigset_t *taken, struct error *err)
{
	for (;;) {
		int status = 0, number;
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid)
			return status;
		if (ended < 0)
			return error_set_errno(err, errno, "waiting for a program");
		number = sigwaitinfo(taken, NULL);
		if (number == SIGTERM || number == SIGHUP)
			(void)kill(pid, number);
	}
}

int child_run(char *const *arguments, char *const *environment, int *status, struct error *err)
{
	_cleanup_attributes_ posix_spawnattr_t attributes;
	sigset_t taken, before;
	pid_t pid;
	int r;

	ending_signals(&taken);
	sigaddset(&taken, SIGCHLD);
	sigprocmask(SIG_BLOCK, &taken, &before);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &before);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawnp(&pid, arguments[0], NULL, &attributes, arguments, environment);
	if (r != 0) {
		r = error_set_errno(err, r, "starting %s", arguments[0]);
	} else {
		r = child_wait(pid, &taken, err);
		if (r >= 0) {
			*status = r;
			r = 0;
		}
	}
	signals_restore(&taken, &before);
	return r;
}

int child_wait_for_line(const char *text)
{
	sigset_t taken, before;
	_cleanup_close_ int signals = -1;
	struct pollfd watched[2];
	int r = 0;

	ending_signals(&taken);
	sigprocmask(SIG_BLOCK, &taken, &before);
	signals = signalfd(-1, &taken, SFD_CLOEXEC);
	/* Whoever reads it may send a signal at once. */
	fputs(text, stderr);
	watched[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	watched[1] = (struct pollfd){.fd = signals, .events = POLLIN};
	while (signals >= 0) {
		char character;

		if (poll(watched, 2, -1) < 0 || watched[1].revents)
			break;
		if (read(STDIN_FILENO, &character, 1) != 1)
			break;
		if (character == '\n') {
			r = 1;
			break;
		}
	}
	signals_restore(&taken, &before);
	return r;
}

/* Our environment with one more variable; the caller frees the list, not what is in it. */
static char **environment_with(const char *variable)
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
	/* exec(2) reads it only. */
	list[used] = (char *)variable;
	return list;
}

static int output_spawn(char *const *words, char *const *environment, int writer, pid_t *pid,
			struct error *err)
{
	_cleanup_actions_ posix_spawn_file_actions_t actions;
	int r;

	posix_spawn_file_actions_init(&actions);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, writer, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(pid, words[0], &actions, NULL, words, environment);
	return r == 0 ? 0 : error_set_errno(err, r, "starting %s", words[0]);
}

int child_output(const char *text, const char *what, const char *variable, size_t size_max,
		 struct secret *output, struct error *err)
{
	_cleanup_words_ char **words = NULL;
	_cleanup_free_ char **environment = environment_with(variable);
	_cleanup_close_ int reader = -1, writer = -1;
	int ends[2], status = 0, r;
	pid_t pid = -1;

	if (!environment)
		return error_no_memory(err);
	r = words_split(text, what, NULL, &words, err);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	reader = ends[0];
	writer = ends[1];
	r = output_spawn(words, environment, writer, &pid, err);
	if (r < 0)
		return error_wrap(err, "%s", what);
	close(fd_release(&writer));
	r = secret_read(output, reader, size_max, what, err);
	close(fd_release(&reader));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r < 0 ? r : child_status_check(status, what, err);
}

int child_shell(const char *command, char *const *environment, bool beside, struct error *err)
{
	_cleanup_free_ char *text = strdup(command);
	char shell[] = "/bin/sh", option[] = "-c";
	char *const arguments[] = {shell, option, text, NULL};
	pid_t pid;
	int r;

	if (!text)
		return error_no_memory(err);
	/* Not fork(): secret memory is not inherited. */
	if (beside) {
		r = posix_spawn(&pid, shell, NULL, NULL, arguments, environment);
	} else {
		execve(shell, arguments, environment);
		r = errno;
	}
	return r == 0 ? 0 : error_set_errno(err, r, "starting /bin/sh");
}
