/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

bool guard_needed(pid_t pid)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	/* Of a process with more privileges than ours the kernel does not even tell its program. */
	if (stat(path, &status) < 0)
		return errno == EACCES;
	return (status.st_mode & (S_ISUID | S_ISGID)) != 0 ||
	       getxattr(path, "security.capability", NULL, 0) > 0;
}

/* Waits for the end of one of both; the other, if it is the child, ends too. */
static _Noreturn void guard_run(int child, int parent)
{
	struct pollfd fds[] = {
		{.fd = child, .events = POLLIN},
		{.fd = parent, .events = POLLIN},
	};
	int low = child < parent ? child : parent, high = child < parent ? parent : child;
	sigset_t all;

	/* What comes for the whole group, or the unit, is no reason to look away. */
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

pid_t guard_start(int pid_fd, struct error *err)
{
	_cleanup_close_ int parent = pidfd_open(getpid(), 0);
	pid_t guard = parent < 0 ? -1 : fork();

	if (guard == 0)
		guard_run(pid_fd, parent);
	if (guard < 0)
		return error_set_errno(err, errno, "starting a process");
	return guard;
}

void guard_stop(pid_t guard)
{
	if (guard < 0)
		return;
	kill(guard, SIGKILL);
	while (waitpid(guard, NULL, 0) < 0 && errno == EINTR)
		continue;
}
