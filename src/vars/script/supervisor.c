/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Larger than any secret; a script's files are in memory. */
#define FILE_SIZE_MAX ((rlim_t)16 * 1024 * 1024)

/* The supervisor's descriptors besides the standard ones. */
#define REPORTS_FD 3
#define MOUNT_FD   4

/* Reports what failed, and ends the process. */
static _Noreturn void fail(const char *what, int refused)
{
	struct supervisor_report report = {.errnum = errno, .refused = refused};

	for (size_t i = 0; what[i] && i + 1 < sizeof(report.failed); i++)
		report.failed[i] = what[i];
	/* If this fails, the reader gets no report at all. */
	_exit(write(REPORTS_FD, &report, sizeof(report)) == (ssize_t)sizeof(report)
		      ? EXIT_FAILURE
		      : EXIT_FAILURE + 1);
}

static _Noreturn void shell_exec(const struct script_command *command)
{
	const struct rlimit file_size = {FILE_SIZE_MAX, FILE_SIZE_MAX}, no_core = {0, 0};

	umask(077);
	/* In a sandbox it ends with the first process; without one, with the supervisor. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The script has no descriptors but its outputs. */
	if (fcntl(REPORTS_FD, F_SETFD, FD_CLOEXEC) == 0 &&
	    setrlimit(RLIMIT_FSIZE, &file_size) == 0 && setrlimit(RLIMIT_CORE, &no_core) == 0)
		execve(command->argv.items[0], command->argv.items, command->environment.items);
	fail("starting the shell", 0);
}

/* Starts the shell and reports its status. */
static _Noreturn void shell_run(const struct script_command *command)
{
	struct supervisor_report report = {0};
	pid_t pid = fork();

	if (pid < 0)
		fail("starting a process", 0);
	if (pid == 0)
		shell_exec(command);
	/* As the first process of a namespace it also reaps orphans. */
	for (;;) {
		pid_t ended = waitpid(-1, &report.status, 0);

		if (ended == pid)
			break;
		if (ended < 0 && errno != EINTR)
			fail("waiting for the script", 0);
	}
	/* If the shell could not be started, that was reported before. */
	_exit(write(REPORTS_FD, &report, sizeof(report)) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static _Noreturn void isolated_run(const struct supervisor *supervisor)
{
	const char *failed = namespaces_enter(&supervisor->namespaces);
	int status = 0;
	pid_t first;

	if (failed)
		fail(failed, 1);
	first = fork();
	if (first < 0)
		fail("starting a process", 0);
	if (first == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		failed = namespaces_finish(&supervisor->namespaces);
		if (failed)
			fail(failed, 0);
		shell_run(supervisor->command);
	}
	while (waitpid(first, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(EXIT_SUCCESS);
}

/* The defaults, whatever the forking thread has set. */
static bool signals_reset(void)
{
	sigset_t none;

	sigemptyset(&none);
	return signal(SIGPIPE, SIG_DFL) != SIG_ERR && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

/* Leaves nothing open but the standard descriptors, the reports and the mount: another thread would
 * wait for the end of its script's pipe if it were still open here. */
static bool descriptors_set(struct supervisor *supervisor)
{
	int opened = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* Copies above all numbers that are assigned below: none may be copied to itself. */
	int null = fcntl(opened, F_DUPFD_CLOEXEC, 10);
	int output = fcntl(supervisor->output, F_DUPFD_CLOEXEC, 10);
	int reports = fcntl(supervisor->reports, F_DUPFD_CLOEXEC, 10);
	int mount = supervisor->namespaces.mount < 0
			    ? null
			    : fcntl(supervisor->namespaces.mount, F_DUPFD_CLOEXEC, 10);

	if (supervisor->namespaces.mount >= 0)
		supervisor->namespaces.mount = MOUNT_FD;
	return null >= 0 && output >= 0 && reports >= 0 && mount >= 0 &&
	       dup2(null, STDIN_FILENO) == STDIN_FILENO && dup2(output, STDOUT_FILENO) >= 0 &&
	       dup2(output, STDERR_FILENO) >= 0 && dup3(mount, MOUNT_FD, O_CLOEXEC) >= 0 &&
	       dup3(reports, REPORTS_FD, O_CLOEXEC) >= 0 && close_range(MOUNT_FD + 1, ~0U, 0) == 0;
}

_Noreturn void supervisor_run(struct supervisor *supervisor, pid_t parent)
{
	/* Without the parent, nobody reads what the script makes. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_FAILURE);
	if (!descriptors_set(supervisor))
		_exit(EXIT_FAILURE);
	if (!signals_reset() || setpgid(0, 0) < 0)
		fail("preparing the script's process", 0);
	if (supervisor->process->sandbox == SANDBOX_NAMESPACES)
		isolated_run(supervisor);
	if (chdir(supervisor->process->directory) < 0)
		fail("entering the script's directory", 0);
	shell_run(supervisor->command);
}
