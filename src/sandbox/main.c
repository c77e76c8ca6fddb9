/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/harden.h"
#include "base/program.h"
#include "sandbox/bubblewrap.h"
#include "sandbox/namespaces.h"
#include "sandbox/sandbox.h"
#include "sandbox/syscalls.h"

/* Larger than any secret; a script's files are in memory. */
#define FILE_SIZE_MAX ((rlim_t)16 * 1024 * 1024)

/* The program's arguments. */
struct call {
	enum sandbox_kind kind;
	int reports, mount;
	const char *directory, *script;
};

static _Noreturn void report_end(int reports, const struct sandbox_report *report)
{
	/* If this fails, the reader gets no report at all. */
	_exit(write(reports, report, sizeof(*report)) == (ssize_t)sizeof(*report) ? EXIT_SUCCESS
										  : EXIT_FAILURE);
}

/* Reports what failed. */
static _Noreturn void fail(int reports, const char *what, bool refused)
{
	struct sandbox_report report = {.errnum = errno, .refused = refused};

	snprintf(report.failed, sizeof(report.failed), "%s", what);
	report_end(reports, &report);
}

static _Noreturn void fail_with(int reports, const struct error *err)
{
	errno = 0;
	fail(reports, err->text ? err->text : "out of memory", false);
}

/* A pipe that bwrap reads the filter from. */
static int filter_pipe(const struct syscalls_filter *filter)
{
	const size_t size = filter->count * sizeof(filter->instructions[0]);
	int ends[2];

	if (pipe(ends) < 0)
		return -1;
	if (write(ends[1], filter->instructions, size) != (ssize_t)size)
		return -1;
	close(ends[1]);
	return ends[0];
}

static bool filter_set(struct syscalls_filter *filter)
{
	const struct sock_fprog program = {filter->count, filter->instructions};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* bash, as in clan, or else the system's shell. */
static int shell_add(struct strings *argv, const char *script, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *bash = NULL;
	/* A failing or misspelled command must not result in an empty secret. */
	const bool has_bash = program_find("bash", &bash, &ignored) == 0;
	const char *const shell[] = {has_bash ? bash : "/bin/sh",  has_bash ? "-euo" : "-eu",
				     has_bash ? "pipefail" : "-c", has_bash ? "-c" : script,
				     has_bash ? script : NULL,     NULL};

	return strings_add_all(argv, (char *const *)shell, err);
}

/* Never raises a lower limit, which needs a capability. */
static bool file_size_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return false;
	if (limit.rlim_max > FILE_SIZE_MAX)
		limit.rlim_max = FILE_SIZE_MAX;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

/* Starts a process that is killed when this one ends. */
static pid_t follower_fork(void)
{
	/* It may end before prctl(2); getppid(2) does not tell in another PID namespace. */
	struct pollfd parent = {.fd = (int)syscall(SYS_pidfd_open, getpid(), 0), .events = POLLIN};
	pid_t pid = fork();

	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&parent, 1, 0) != 0))
		_exit(EXIT_FAILURE);
	if (parent.fd >= 0)
		close(parent.fd);
	return pid;
}

/* In a sandbox it ends with the first process; without one, with the supervisor. */
static _Noreturn void shell_exec(const struct call *call, const struct policy *policy)
{
	_cleanup_strings_ struct strings argv = {0};
	_cleanup_error_ struct error err = {0};
	struct syscalls_filter filter = {0};
	int r = 0;

	umask(077);
	syscalls_filter_make(&filter);
	if (call->kind == SANDBOX_BUBBLEWRAP)
		r = bubblewrap_add(&argv, policy, call->directory, filter_pipe(&filter), &err);
	if (r == 0)
		r = shell_add(&argv, call->script, &err);
	if (r < 0)
		fail_with(call->reports, &err);
	if (file_size_limit() && process_core_disable() == 0 &&
	    (call->kind != SANDBOX_NAMESPACES || filter_set(&filter)))
		execv(argv.items[0], argv.items);
	fail(call->reports, "starting the shell", false);
}

/* Starts the shell and reports its status. */
static _Noreturn void shell_run(const struct call *call, const struct policy *policy)
{
	struct sandbox_report report = {0};
	pid_t pid = follower_fork();

	if (pid < 0)
		fail(call->reports, "starting a process", false);
	if (pid == 0)
		shell_exec(call, policy);
	/* As the first process of a namespace it also reaps orphans. */
	for (;;) {
		pid_t ended = waitpid(-1, &report.status, 0);

		if (ended == pid)
			break;
		if (ended < 0 && errno != EINTR)
			fail(call->reports, "waiting for the script", false);
	}
	/* If the shell could not be started, that was reported before. */
	report_end(call->reports, &report);
}

/* The first process in the namespaces. */
static _Noreturn void first_run(const struct call *call, struct policy *policy)
{
	const char *failed = namespaces_fill(policy, call->directory, call->mount);

	if (failed)
		fail(call->reports, failed, true);
	failed = namespaces_seal();
	if (failed)
		fail(call->reports, failed, false);
	/* The script must not write our report. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail(call->reports, "making the process not dumpable", false);
	shell_run(call, policy);
}

static _Noreturn void isolated_run(const struct call *call, struct policy *policy)
{
	const char *failed = namespaces_enter();
	pid_t first;

	if (failed)
		fail(call->reports, failed, true);
	first = follower_fork();
	if (first < 0)
		fail(call->reports, "starting a process", false);
	if (first == 0)
		first_run(call, policy);
	while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
		continue;
	_exit(EXIT_SUCCESS);
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error err = {0};
	struct policy policy = {0};
	struct call call;

	if (argc != SANDBOX_ARGUMENTS) {
		fputs("vmcred-sandbox: only vmcred starts this program\n", stderr);
		return VMCRED_USAGE;
	}
	call = (struct call){number(argv[SANDBOX_KIND]), number(argv[SANDBOX_REPORTS]),
			     number(argv[SANDBOX_MOUNT]), argv[SANDBOX_SCRIPT_PATH],
			     argv[SANDBOX_SCRIPT]};
	/* Without the parent, nobody reads what the script makes. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != number(argv[SANDBOX_PARENT]))
		return EXIT_FAILURE;
	/* The script has no descriptors but its outputs, whatever vmcred's caller left open. */
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		fail(call.reports, "preparing the script's process", false);
	if (call.kind != SANDBOX_NONE && policy_make(&policy, &err) < 0)
		fail_with(call.reports, &err);
	if (call.kind == SANDBOX_NAMESPACES)
		isolated_run(&call, &policy);
	if (chdir(call.directory) < 0)
		fail(call.reports, "entering the script's directory", false);
	shell_run(&call, &policy);
}
