/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack PROGRAM ARGUMENT...: starts a program and, once it prints `running`, attacks it as a
 * debugger or gcore of the same user would. Prints a line for each attempt: its name, and
 * `succeeded` or the error. The program is a child, since Yama's ptrace_scope 1 allows most there.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int file_try(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* A tracer may read and write all memory. The process is killed when this program ends. */
static int attach_try(pid_t pid)
{
	return ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? errno : 0;
}

static int mem_try(pid_t pid)
{
	return file_try(pid, "mem");
}

static int maps_try(pid_t pid)
{
	return file_try(pid, "maps");
}

static int environ_try(pid_t pid)
{
	return file_try(pid, "environ");
}

static int descriptors_try(pid_t pid)
{
	return file_try(pid, "fd");
}

/* The address may not exist in the process: the call then fails with EFAULT, which shows that
 * access is allowed. */
static int copy_try(pid_t pid)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {&to, 1};

	return process_vm_readv(pid, &to, 1, &from, 1, 0) < 0 && errno != EFAULT ? errno : 0;
}

static int descriptor_take_try(pid_t pid)
{
	int pidfd = pidfd_open(pid, 0), fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, STDOUT_FILENO, 0);
	int errnum = errno;

	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
	return fd < 0 ? errnum : 0;
}

static const struct {
	const char *name;
	int (*attempt)(pid_t pid);
} attempts[] = {
	{"/proc/PID/mem", mem_try},
	{"/proc/PID/maps", maps_try},
	{"/proc/PID/environ", environ_try},
	{"/proc/PID/fd", descriptors_try},
	{"process_vm_readv", copy_try},
	{"pidfd_getfd", descriptor_take_try},
	{"ptrace", attach_try},
};

/* The program, and the descriptor to read its output from. */
static pid_t start(char **argv, int *output)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		err(1, "pipe");
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execv(argv[0], argv);
		err(1, "%s", argv[0]);
	}
	close(ends[1]);
	*output = ends[0];
	return pid;
}

int main(int argc, char **argv)
{
	static const char said[] = "running\n";
	char got[sizeof(said)] = "";
	int output;
	pid_t pid = argc > 1 ? start(argv + 1, &output) : -1;

	if (pid < 0)
		errx(2, "usage: attack PROGRAM ARGUMENT...");
	if (read(output, got, sizeof(said) - 1) < 0 || strcmp(got, said) != 0)
		errx(1, "it does not run");
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		int errnum = attempts[i].attempt(pid);

		printf("%s: %s\n", attempts[i].name, errnum == 0 ? "succeeded" : strerror(errnum));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
