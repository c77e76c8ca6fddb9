/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* No secret is larger; what a script writes lies in memory. */
#define FILE_SIZE_MAX ((rlim_t)16 * 1024 * 1024)

/* Where the keeper has the pipe of reports and the folder's mount. */
#define KEEPER_REPORTS 3
#define KEEPER_MOUNT   4

/* In a child: tells what failed, and ends. */
static _Noreturn void give_up(const char *step, int refused)
{
	struct report_message message = {.errnum = errno, .refused = refused};

	for (size_t i = 0; step[i] && i + 1 < sizeof(message.step); i++)
		message.step[i] = step[i];
	/* Where this fails the other end sees no report at all. */
	_exit(write(KEEPER_REPORTS, &message, sizeof(message)) == (ssize_t)sizeof(message)
		      ? EXIT_FAILURE
		      : EXIT_FAILURE + 1);
}

static _Noreturn void shell_exec(const struct shell *shell)
{
	const struct rlimit file_size = {FILE_SIZE_MAX, FILE_SIZE_MAX}, no_core = {0, 0};

	umask(077);
	/* In a sandbox it ends with the first process. Without one, with the keeper. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The report is for who fails; the script shall have nothing but its outputs. */
	if (fcntl(KEEPER_REPORTS, F_SETFD, FD_CLOEXEC) == 0 &&
	    setrlimit(RLIMIT_FSIZE, &file_size) == 0 && setrlimit(RLIMIT_CORE, &no_core) == 0)
		execve(shell->arguments[0], (char *const *)shell->arguments,
		       (char *const *)shell->environment);
	give_up("starting the shell", 0);
}

/* Starts the shell, waits for it and reports how it ended. */
static _Noreturn void shell_run(const struct shell *shell)
{
	struct report_message message = {0};
	pid_t pid = fork();

	if (pid < 0)
		give_up("starting a process", 0);
	if (pid == 0)
		shell_exec(shell);
	/* What is left to the first process of a namespace is reaped on the way. */
	for (;;) {
		pid_t ended = waitpid(-1, &message.status, 0);

		if (ended == pid)
			break;
		if (ended < 0 && errno != EINTR)
			give_up("waiting for the script", 0);
	}
	/* A shell that could not be started has reported that itself. */
	_exit(write(KEEPER_REPORTS, &message, sizeof(message)) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static _Noreturn void isolated_run(const struct starting *starting)
{
	const char *step = isolation_enter(&starting->isolation);
	int status = 0;
	pid_t first;

	if (step)
		give_up(step, 1);
	first = fork();
	if (first < 0)
		give_up("starting a process", 0);
	if (first == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		step = isolation_finish();
		if (step)
			give_up(step, 0);
		shell_run(starting->shell);
	}
	while (waitpid(first, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(EXIT_SUCCESS);
}

/* Signals as a program expects to find them, whatever the thread that forks does with them. */
static bool signals_reset(void)
{
	sigset_t none;

	sigemptyset(&none);
	return signal(SIGPIPE, SIG_DFL) != SIG_ERR && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

/* Nothing but the three standard ones, the reports and the mount is open afterwards: a pipe of
 * another thread's script that is held open here would keep that one waiting. */
static bool descriptors_take(struct starting *starting)
{
	int opened = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* Above all numbers that are given away below: to its own number none is copied. */
	int null = fcntl(opened, F_DUPFD_CLOEXEC, 10);
	int output = fcntl(starting->output, F_DUPFD_CLOEXEC, 10);
	int reports = fcntl(starting->reports, F_DUPFD_CLOEXEC, 10);
	int mount = starting->sandbox->mount < 0
			    ? null
			    : fcntl(starting->sandbox->mount, F_DUPFD_CLOEXEC, 10);

	if (starting->isolation.mount >= 0)
		starting->isolation.mount = KEEPER_MOUNT;
	return null >= 0 && output >= 0 && reports >= 0 && mount >= 0 &&
	       dup2(null, STDIN_FILENO) == STDIN_FILENO && dup2(output, STDOUT_FILENO) >= 0 &&
	       dup2(output, STDERR_FILENO) >= 0 && dup3(mount, KEEPER_MOUNT, O_CLOEXEC) >= 0 &&
	       dup3(reports, KEEPER_REPORTS, O_CLOEXEC) >= 0 &&
	       close_range(KEEPER_MOUNT + 1, ~0U, 0) == 0;
}

_Noreturn void keeper_run(struct starting *starting, pid_t parent)
{
	/* Who would read what the script makes is gone: it has nothing to make. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_FAILURE);
	if (!descriptors_take(starting))
		_exit(EXIT_FAILURE);
	if (!signals_reset() || setpgid(0, 0) < 0)
		give_up("preparing the script's process", 0);
	if (starting->sandbox->kind == SANDBOX_NAMESPACES)
		isolated_run(starting);
	if (chdir(starting->sandbox->folder) < 0)
		give_up("entering the script's folder", 0);
	shell_run(starting->shell);
}
