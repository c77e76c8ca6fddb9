/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: the keeper, which makes the namespaces, its child, which is the first process in them
 * and takes everything with it when it ends, and the shell. Without isolation the keeper starts the
 * shell. Whoever waits for the shell reports its status through a pipe, and so does who fails on
 * the way: an exit code alone could be the script's own.
 */
#include "vars/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* More than this is no message to a person; the rest is read and dropped. */
#define OUTPUT_MAX ((size_t)64 * 1024)

/* No secret is larger; what a script writes lies in memory. */
#define FILE_SIZE_MAX ((rlim_t)16 * 1024 * 1024)

/* What comes through the pipe of reports. */
struct report_message {
	char step[48]; /* what failed; "": `status` is the shell's */
	int errnum;
	int status;
};

struct starting {
	const struct sandbox *sandbox;
	int output, reports;
	uid_t uid;
	gid_t gid;
};

/* In a child: tells what failed, and ends. */
static _Noreturn void give_up(const struct starting *starting, const char *step)
{
	struct report_message message = {.errnum = errno};

	snprintf(message.step, sizeof(message.step), "%s", step);
	/* Where this fails the other end sees no report at all. */
	_exit(write(starting->reports, &message, sizeof(message)) == (ssize_t)sizeof(message)
		      ? EXIT_FAILURE
		      : EXIT_FAILURE + 1);
}

static char *variable(const char *name, const char *folder, const char *rest)
{
	char *text = NULL;

	return asprintf(&text, "%s=%s%s", name, folder, rest) < 0 ? NULL : text;
}

static _Noreturn void shell_exec(const struct starting *starting)
{
	const struct sandbox *sandbox = starting->sandbox;
	const char *path = getenv("PATH");
	const struct rlimit file_size = {FILE_SIZE_MAX, FILE_SIZE_MAX}, no_core = {0, 0};
	/* -e -u: as clan runs its scripts, a failed or mistyped step must not make an empty secret.
	 */
	char shell[] = "sh", options[] = "-euc";
	char *arguments[] = {shell, options, strdup(sandbox->script), NULL};
	char *environment[] = {
		variable("PATH", path ? path : "/usr/local/bin:/usr/bin:/bin", ""),
		variable("TMPDIR", sandbox->folder, "/tmp"),
		variable("in", sandbox->folder, "/in"),
		variable("out", sandbox->folder, "/out"),
		sandbox->has_prompts ? variable("prompts", sandbox->folder, "/prompts") : NULL,
		NULL,
	};

	umask(077);
	if (setrlimit(RLIMIT_FSIZE, &file_size) == 0 && setrlimit(RLIMIT_CORE, &no_core) == 0)
		execve("/bin/sh", arguments, environment);
	give_up(starting, "starting /bin/sh");
}

/* Starts the shell, waits for it and reports how it ended. */
static _Noreturn void shell_run(const struct starting *starting)
{
	struct report_message message = {0};
	pid_t shell = fork();

	if (shell < 0)
		give_up(starting, "starting a process");
	if (shell == 0)
		shell_exec(starting);
	/* What is left to the first process of a namespace is reaped on the way. */
	for (;;) {
		pid_t ended = waitpid(-1, &message.status, 0);

		if (ended == shell)
			break;
		if (ended < 0 && errno != EINTR)
			give_up(starting, "waiting for the script");
	}
	/* A shell that could not be started has reported that itself. */
	_exit(write(starting->reports, &message, sizeof(message)) < 0 ? EXIT_FAILURE
								      : EXIT_SUCCESS);
}

static bool file_put(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* One id that is the same inside and outside. */
static bool map_put(const char *path, unsigned int id)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %u 1", id, id);
	return file_put(path, text);
}

/* The user stays who he is; the rights to make namespaces are those of a namespace of his own. */
static void user_isolate(const struct starting *starting)
{
	if (starting->uid == 0)
		return;
	/* The maps can be written by a process that can be dumped alone. There is no secret in this
	 * one: they are not inherited (base/secret.h). */
	(void)prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER) < 0)
		give_up(starting, "making a user namespace");
	if (!file_put("/proc/self/setgroups", "deny") ||
	    !map_put("/proc/self/uid_map", starting->uid) ||
	    !map_put("/proc/self/gid_map", starting->gid))
		give_up(starting, "mapping the user into its namespace");
}

/* Everything is read-only but the folder. */
static void mounts_isolate(const struct starting *starting)
{
	const char *folder = starting->sandbox->folder;
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	struct mount_attr writable = {.attr_clr = MOUNT_ATTR_RDONLY};

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		give_up(starting, "leaving the host's mounts alone");
	if (mount(folder, folder, NULL, MS_BIND, NULL) < 0)
		give_up(starting, "mounting the script's folder");
	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof(read_only)) < 0)
		give_up(starting, "making the file system read-only");
	if (mount_setattr(AT_FDCWD, folder, 0, &writable, sizeof(writable)) < 0)
		give_up(starting, "making the script's folder writable");
}

/* Nothing that the script starts can undo the above. */
static void capabilities_drop(const struct starting *starting)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		give_up(starting, "giving up new privileges");
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0)
		give_up(starting, "giving up capabilities");
}

static _Noreturn void isolated_run(const struct starting *starting)
{
	int status = 0;
	pid_t first;

	user_isolate(starting);
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) < 0)
		give_up(starting, "making namespaces");
	mounts_isolate(starting);
	first = fork();
	if (first < 0)
		give_up(starting, "starting a process");
	if (first == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Where another namespace hides parts of /proc the kernel refuses a whole one; the
		 * old one does as well. */
		(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		if (chdir(starting->sandbox->folder) < 0)
			give_up(starting, "entering the script's folder");
		capabilities_drop(starting);
		shell_run(starting);
	}
	while (waitpid(first, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(EXIT_SUCCESS);
}

static _Noreturn void keeper_run(const struct starting *starting, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* Who would read what the script makes is gone: it has nothing to make. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_FAILURE);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(starting->output, STDOUT_FILENO) < 0 ||
	    dup2(starting->output, STDERR_FILENO) < 0 || setpgid(0, 0) < 0)
		give_up(starting, "preparing the script's process");
	if (starting->sandbox->isolated)
		isolated_run(starting);
	if (chdir(starting->sandbox->folder) < 0)
		give_up(starting, "entering the script's folder");
	shell_run(starting);
}

/* Reads what there is; 0 at the end, 1 while there may be more. */
static int output_read(int fd, struct secret *output, struct error *err)
{
	uint8_t piece[4096];
	ssize_t got = read(fd, piece, sizeof(piece));
	size_t room = OUTPUT_MAX - output->size, take;
	int r;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 1
			       : error_set_errno(err, errno, "reading its output");
	if (got == 0)
		return 0;
	take = (size_t)got < room ? (size_t)got : room;
	r = secret_append(output, span_of(piece, take), err);
	memory_wipe(piece, sizeof(piece));
	return r < 0 ? r : 1;
}

/* What is in the pipe by now. */
static int output_drain(int fd, struct secret *output, struct error *err)
{
	struct pollfd watched = {.fd = fd, .events = POLLIN};
	int r = 1;

	while (r == 1 && poll(&watched, 1, 0) > 0)
		r = output_read(fd, output, err);
	return r < 0 ? r : 0;
}

static int report_read(int fd, struct error *err)
{
	struct report_message message;
	ssize_t got;

	do {
		got = read(fd, &message, sizeof(message));
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(message))
		return error_set(err, VMCRED_FAILED, "its process was ended");
	message.step[sizeof(message.step) - 1] = '\0';
	if (message.step[0]) {
		error_set_errno(err, message.errnum, "%s", message.step);
		return error_hint(err, "where there can be no sandbox, --no-sandbox runs it "
				       "without");
	}
	if (WIFSIGNALED(message.status))
		return error_set(err, VMCRED_FAILED, "it was ended by the signal %s",
				 sigdescr_np(WTERMSIG(message.status)));
	if (WEXITSTATUS(message.status) != 0)
		return error_set(err, VMCRED_FAILED, "it ended with exit code %d",
				 WEXITSTATUS(message.status));
	return 0;
}

/* Waits for the report or the time limit, taking the script's output meanwhile. */
static int script_wait(int reports, int pipe, unsigned int seconds_max, struct secret *output,
		       struct error *err)
{
	int64_t deadline = clock_now_ms() + seconds_max * INT64_C(1000);
	struct pollfd watched[] = {{.fd = reports, .events = POLLIN},
				   {.fd = pipe, .events = POLLIN}};

	for (;;) {
		int64_t left = deadline - clock_now_ms();
		int r = left > 0 ? poll(watched, 2, (int)left) : 0;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_set_errno(err, errno, "waiting for it");
		if (r == 0) {
			error_set(err, VMCRED_FAILED, "it did not end within %u seconds",
				  seconds_max);
			return error_hint(err, "--script-timeout gives it more");
		}
		if (watched[1].revents) {
			r = output_read(pipe, output, err);
			if (r < 0)
				return r;
			if (r == 0)
				watched[1].fd = -1;
		}
		if (watched[0].revents) {
			r = output_drain(pipe, output, err);
			return r < 0 ? r : report_read(reports, err);
		}
	}
}

int sandbox_run(const struct sandbox *sandbox, struct secret *output, struct error *err)
{
	_cleanup_close_ int reader = -1, writer = -1, reports = -1, reporter = -1;
	struct starting starting = {.sandbox = sandbox, .uid = geteuid(), .gid = getegid()};
	int ends[2], status, r;
	pid_t pid, parent = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	reader = ends[0];
	starting.output = writer = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	reports = ends[0];
	starting.reports = reporter = ends[1];
	pid = fork();
	if (pid < 0)
		return error_set_errno(err, errno, "starting it");
	if (pid == 0)
		keeper_run(&starting, parent);
	/* In both processes: whoever comes first. */
	(void)setpgid(pid, pid);
	close(fd_release(&writer));
	close(fd_release(&reporter));
	r = script_wait(reports, reader, sandbox->seconds_max, output, err);
	/* All of them, where they are still there, and what the script left behind. */
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r;
}
