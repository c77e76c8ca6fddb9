/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

/* How long a VMM may take to end; it has no VM yet, or one that has just started. */
#define STOP_TIMEOUT_MS 2000

static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

int child_exec_error(const char *program, int errnum, struct error *err)
{
	if (errnum != ENOENT)
		return error_set(err, VMCRED_FAILED, "%s", strerrordesc_np(errnum));
	/* Not VMCRED_MISSING: that is for what is declared. */
	error_set(err, VMCRED_FAILED, "not found");
	return strchr(program, '/') ? -(int)err->code
				    : error_hint(err, "no directory of $PATH contains it");
}

/* In the child: must not allocate or return. */
static _Noreturn void child_exec(const struct child_command *command, const sigset_t *mask,
				 pid_t parent, int report)
{
	bool ready;
	int errnum;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	sigprocmask(SIG_SETMASK, mask, NULL);
	ready = dup2(command->error_fd, STDERR_FILENO) >= 0;
	for (size_t i = 0; i < command->inherited_count && ready; i++)
		ready = fcntl(command->inherited[i], F_SETFD, 0) >= 0;
	if (ready)
		execvp(command->program, command->argv);
	errnum = errno;
	if (write(report, &errnum, sizeof(errnum)) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_FAILURE);
}

/* Forks; `*report` is the pipe on which the child reports a failed exec. */
static int child_fork(struct child *child, const struct child_command *command, int *report,
		      struct error *err)
{
	_cleanup_close_ int write_end = -1;
	pid_t parent = getpid();
	sigset_t set, before;
	int ends[2];

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaddset(&set, handled[i]);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	*report = ends[0];
	write_end = ends[1];
	sigprocmask(SIG_BLOCK, &set, &before);
	child->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	child->pid = child->signal_fd < 0 ? -1 : fork();
	if (child->pid == 0)
		child_exec(command, &before, parent, write_end);
	if (child->pid < 0) {
		int r = error_set_errno(err, errno, "starting a process");

		sigprocmask(SIG_SETMASK, &before, NULL);
		return r;
	}
	return 0;
}

/* Whether the program that `pid` runs has privileges of its own (prctl(2), PR_SET_PDEATHSIG). */
static bool has_privileges(pid_t pid)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	/* The kernel hides the program of a process with more privileges than ours. */
	if (stat(path, &status) < 0)
		return errno == EACCES;
	return (status.st_mode & (S_ISUID | S_ISGID)) != 0 ||
	       getxattr(path, "security.capability", NULL, 0) > 0;
}

/* Waits until the child or its parent ends, and then kills the child. */
static _Noreturn void guard_run(int child, int parent)
{
	struct pollfd fds[] = {
		{.fd = child, .events = POLLIN},
		{.fd = parent, .events = POLLIN},
	};
	int low = child < parent ? child : parent, high = child < parent ? parent : child;
	sigset_t all;

	/* Signals to the whole process group, or the unit, must not end the guard. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (low > 0)
		close_range(0, (unsigned int)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned int)low + 1, (unsigned int)high - 1, 0);
	close_range((unsigned int)high + 1, ~0U, 0);
	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		continue;
	if (!fds[0].revents)
		pidfd_send_signal(child, SIGKILL, NULL, 0);
	_exit(EXIT_SUCCESS);
}

static int child_watch(struct child *child, const struct child_command *command, struct error *err)
{
	_cleanup_close_ int parent = -1;

	child->pid_fd = pidfd_open(child->pid, 0);
	if (child->pid_fd < 0)
		return error_set_errno(err, errno, "watching the VMM");
	if (!command->changes_user && !has_privileges(child->pid))
		return 0;
	parent = pidfd_open(getpid(), 0);
	child->guard = parent < 0 ? -1 : fork();
	if (child->guard == 0)
		guard_run(child->pid_fd, parent);
	return child->guard < 0 ? error_set_errno(err, errno, "starting a process") : 0;
}

static void child_close(struct child *child)
{
	cleanup_close_fd(&child->pid_fd);
	cleanup_close_fd(&child->signal_fd);
	*child = CHILD_NONE;
}

static void terminals_save(struct child *child)
{
	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++) {
		struct child_terminal *terminal = &child->terminals[fd];

		terminal->flags = fcntl(fd, F_GETFL);
		terminal->exists = terminal->flags >= 0 && tcgetattr(fd, &terminal->modes) == 0;
	}
}

static void terminals_restore(const struct child *child)
{
	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++) {
		const struct child_terminal *terminal = &child->terminals[fd];
		pid_t foreground = terminal->exists ? tcgetpgrp(fd) : -1;

		/* In the background it is another program's, and SIGTTOU would stop us. */
		if (!terminal->exists || (foreground >= 0 && foreground != getpgrp()))
			continue;
		fcntl(fd, F_SETFL, terminal->flags);
		tcsetattr(fd, TCSANOW, &terminal->modes);
	}
}

int child_start(struct child *child, const struct child_command *command, struct error *err)
{
	_cleanup_close_ int report = -1;
	int errnum, r;
	ssize_t got;

	*child = CHILD_NONE;
	child->program = command->program;
	terminals_save(child);
	r = child_fork(child, command, &report, err);
	if (r < 0) {
		child_close(child);
		return r;
	}
	/* Only for this process: the VMM, and so its supervisor, go on when nobody reads their
	 * output. */
	signal(SIGPIPE, SIG_IGN);
	/* A successful exec closes the pipe. */
	do {
		got = read(report, &errnum, sizeof(errnum));
	} while (got < 0 && errno == EINTR);
	r = got == (ssize_t)sizeof(errnum) ? child_exec_error(command->program, errnum, err)
					   : child_watch(child, command, err);
	if (r < 0) {
		kill(child->pid, SIGKILL);
		(void)waitpid(child->pid, NULL, 0);
		child_close(child);
	}
	return r;
}

bool child_end_await(const struct child *child, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = child->pid_fd, .events = POLLIN},
		{.fd = child->signal_fd, .events = POLLIN},
	};

	return poll(fds, 2, timeout_ms) > 0 && fds[0].revents;
}

int child_signal(const struct child *child, bool *from_terminal)
{
	struct signalfd_siginfo info;

	if (read(child->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	if (from_terminal)
		*from_terminal = info.ssi_code == SI_KERNEL;
	return (int)info.ssi_signo;
}

int child_reap(struct child *child)
{
	int status = 0;

	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	terminals_restore(child);
	if (child->guard >= 0) {
		kill(child->guard, SIGKILL);
		while (waitpid(child->guard, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	child_close(child);
	return status;
}

int child_stop(struct child *child)
{
	struct pollfd ended = {.fd = child->pid_fd, .events = POLLIN};

	kill(child->pid, SIGTERM);
	if (poll(&ended, 1, STOP_TIMEOUT_MS) <= 0)
		kill(child->pid, SIGKILL);
	return child_reap(child);
}
