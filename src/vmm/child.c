/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/command.h"
#include "vmm/guard.h"

/* What a VMM may take to end by itself; it has no VM yet, or one that has just started. */
#define STOP_TIMEOUT_MS 2000

static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void signals_taken(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(set, taken[i]);
}

static bool descriptors_hand_over(const struct child_command *command)
{
	for (size_t i = 0; i < command->inherited_count; i++) {
		if (fcntl(command->inherited[i], F_SETFD, 0) < 0)
			return false;
	}
	return command->error_fd < 0 || dup2(command->error_fd, STDERR_FILENO) >= 0;
}

/* In the child: nothing that allocates, nothing that returns. */
static _Noreturn void child_exec(const struct child_command *command, const sigset_t *mask,
				 pid_t parent, int report)
{
	int errnum;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (descriptors_hand_over(command))
		execvp(command->program, command->argv);
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
	*child = CHILD_NONE;
}

/* Forks; `report` gets the end to read the exec's error from. */
static int child_fork(struct child *child, const struct child_command *command, int *report,
		      struct error *err)
{
	_cleanup_close_ int write_end = -1;
	pid_t parent = getpid();
	sigset_t set, before;
	int ends[2];

	signals_taken(&set);
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
		child_exec(command, &before, parent, write_end);
	if (child->pid < 0) {
		int r = error_set_errno(err, errno, "starting a process");

		sigprocmask(SIG_SETMASK, &before, NULL);
		return r;
	}
	return 0;
}

static int child_watch(struct child *child, const struct child_command *command, struct error *err)
{
	child->pid_fd = pidfd_open(child->pid, 0);
	if (child->pid_fd < 0)
		return error_set_errno(err, errno, "watching the VMM");
	if (!command->changes_user && !guard_needed(child->pid))
		return 0;
	child->guard = guard_start(child->pid_fd, err);
	return child->guard < 0 ? -(int)err->code : 0;
}

int child_start(struct child *child, const struct child_command *command, struct error *err)
{
	_cleanup_close_ int report = -1;
	int r;

	*child = CHILD_NONE;
	r = child_fork(child, command, &report, err);
	if (r < 0) {
		child_close(child);
		return r;
	}
	/* Ours alone: the VMM goes on where nobody reads what it says, and so do we. */
	signal(SIGPIPE, SIG_IGN);
	r = exec_result(command->program, report, err);
	if (r == 0)
		r = child_watch(child, command, err);
	if (r < 0) {
		kill(child->pid, SIGKILL);
		(void)waitpid(child->pid, NULL, 0);
		child_close(child);
	}
	return r;
}

static bool child_ends_within(const struct child *child, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = child->pid_fd, .events = POLLIN};

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
	pid_t pid = child->pid;
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	guard_stop(child->guard);
	child_close(child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_stop(struct child *child)
{
	kill(child->pid, SIGTERM);
	if (!child_ends_within(child, STOP_TIMEOUT_MS))
		kill(child->pid, SIGKILL);
	return child_reap(child);
}
