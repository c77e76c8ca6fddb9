/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/command.h"

/* What a VMM may take to end by itself; it has no VM yet, or one that has just started. */
#define STOP_TIMEOUT_MS 2000

static const int passed_on[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void signals_passed_on(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(set, passed_on[i]);
}

/* In the child: nothing that allocates, nothing that returns. */
static _Noreturn void child_exec(char *const *argv, int inherited, const sigset_t *mask,
				 pid_t parent, int report)
{
	int errnum;

	/* Not kept over an exec of a program with capabilities of its own; there the unit's cgroup
	 * does it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (fcntl(inherited, F_SETFD, 0) == 0)
		execvp(argv[0], argv);
	errnum = errno;
	if (write(report, &errnum, sizeof(errnum)) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_FAILURE);
}

/* What the exec came to: nothing to read but the end where it succeeded. */
static int exec_result(const char *program, int report, struct error *err)
{
	int errnum;
	ssize_t got;

	do {
		got = read(report, &errnum, sizeof(errnum));
	} while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(errnum) ? command_exec_error(program, errnum, err) : 0;
}

static void child_close(struct child *child)
{
	cleanup_close_fd(&child->pid_fd);
	cleanup_close_fd(&child->signal_fd);
	*child = (struct child){.pid = -1, .pid_fd = -1, .signal_fd = -1};
}

/* Forks; `report` gets the end to read the exec's error from. */
static int child_fork(struct child *child, char *const *argv, int inherited, int *report,
		      struct error *err)
{
	_cleanup_close_ int write_end = -1;
	pid_t parent = getpid();
	sigset_t set, before;
	int ends[2];

	signals_passed_on(&set);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	*report = ends[0];
	write_end = ends[1];
	/* Ignored, as somebody may have left it for us, it would reap the child behind our back. */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, &before);
	child->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	child->pid = child->signal_fd < 0 ? -1 : fork();
	if (child->pid == 0)
		child_exec(argv, inherited, &before, parent, write_end);
	if (child->pid < 0) {
		int r = error_set_errno(err, errno, "starting a process");

		sigprocmask(SIG_SETMASK, &before, NULL);
		return r;
	}
	return 0;
}

int child_start(struct child *child, char *const *argv, int inherited, struct error *err)
{
	_cleanup_close_ int report = -1;
	int r;

	*child = (struct child){.pid = -1, .pid_fd = -1, .signal_fd = -1};
	r = child_fork(child, argv, inherited, &report, err);
	if (r < 0) {
		child_close(child);
		return r;
	}
	r = exec_result(argv[0], report, err);
	if (r == 0) {
		child->pid_fd = pidfd_open(child->pid, 0);
		if (child->pid_fd < 0)
			r = error_set_errno(err, errno, "watching the VMM");
	}
	if (r < 0) {
		kill(child->pid, SIGKILL);
		(void)waitpid(child->pid, NULL, 0);
		child_close(child);
	}
	return r;
}

static bool fd_is_readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, timeout_ms) > 0;
}

bool child_end_await(const struct child *child, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = child->pid_fd, .events = POLLIN},
		{.fd = child->signal_fd, .events = POLLIN},
	};

	return poll(fds, 2, timeout_ms) > 0 && fds[0].revents;
}

static bool signal_read(const struct child *child, struct signalfd_siginfo *info)
{
	return read(child->signal_fd, info, sizeof(*info)) == (ssize_t)sizeof(*info);
}

int child_signal(const struct child *child)
{
	struct signalfd_siginfo info;

	return signal_read(child, &info) ? (int)info.ssi_signo : 0;
}

static int child_reap(struct child *child)
{
	pid_t pid = child->pid;
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	child_close(child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_wait(struct child *child)
{
	while (!fd_is_readable(child->pid_fd, 0)) {
		struct pollfd fds[] = {
			{.fd = child->pid_fd, .events = POLLIN},
			{.fd = child->signal_fd, .events = POLLIN},
		};
		struct signalfd_siginfo info;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		/* From the kernel it is the terminal's, and went to the whole foreground group
		 * already. */
		while (signal_read(child, &info)) {
			if (info.ssi_code != SI_KERNEL)
				kill(child->pid, (int)info.ssi_signo);
		}
	}
	return child_reap(child);
}

int child_stop(struct child *child)
{
	kill(child->pid, SIGTERM);
	if (!fd_is_readable(child->pid_fd, STOP_TIMEOUT_MS))
		kill(child->pid, SIGKILL);
	return child_reap(child);
}
