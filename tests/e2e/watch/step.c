/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step SIGNAL STOP PROGRAM ARGUMENT...: runs a program and its children from system call to system
 * call (ptrace(2)), and searches these processes before and after each one. What others can see of
 * a process changes only in system calls, so even the shortest leak is found.
 *
 * Sends the signal at stop number STOP, counted from 1; 0 sends none. Standard input and output are
 * those of watch, without commands; `rounds` in the counts is the number of stops. Then it prints
 * `status N`: the program's exit code, or 128 plus its signal.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch.h"

#define TRACEES_MAX 64
#define OPTIONS                                                                                   \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
	 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)
/* PTRACE_O_TRACESYSGOOD marks system calls with this bit. */
#define SYSTEM_CALL_STOP (SIGTRAP | 0x80)

static pid_t tracees[TRACEES_MAX];
static size_t tracee_count;

static void tracee_add(pid_t pid)
{
	for (size_t i = 0; i < tracee_count; i++) {
		if (tracees[i] == pid)
			return;
	}
	if (tracee_count == TRACEES_MAX)
		errx(1, "too many processes");
	tracees[tracee_count++] = pid;
}

static void tracee_remove(pid_t pid)
{
	for (size_t i = 0; i < tracee_count; i++) {
		if (tracees[i] == pid)
			tracees[i] = tracees[--tracee_count];
	}
}

static void tracees_search(void)
{
	char text[32];

	for (size_t i = 0; i < tracee_count; i++) {
		snprintf(text, sizeof(text), "%d", (int)tracees[i]);
		process_search(text);
	}
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		/* The program's output is not part of this report. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	if (waitpid(pid, NULL, 0) < 0 || ptrace(PTRACE_SETOPTIONS, pid, NULL, OPTIONS) < 0)
		err(1, "tracing");
	tracee_add(pid);
	ptrace(PTRACE_SYSCALL, pid, NULL, 0);
	return pid;
}

/* Handles a stop. Returns the signal to deliver to the process. */
static int stop_handle(int status, bool is_new)
{
	int number = WSTOPSIG(status);

	if (number == SYSTEM_CALL_STOP) {
		counts.rounds++;
		tracees_search();
		return 0;
	}
	/* An event, or the first stop of a traced process. */
	if (status >> 16 || (is_new && number == SIGSTOP))
		return 0;
	return number;
}

/* Runs until all processes have ended. Returns the status of the first. */
static int run(pid_t first, int number, unsigned long stop)
{
	int result = 0, status;
	pid_t pid;

	while (tracee_count > 0 && (pid = waitpid(-1, &status, __WALL)) > 0) {
		size_t before = tracee_count;
		int deliver;

		if (!WIFSTOPPED(status)) {
			tracee_remove(pid);
			if (pid == first)
				result = WIFEXITED(status) ? WEXITSTATUS(status)
							   : 128 + WTERMSIG(status);
			continue;
		}
		tracee_add(pid);
		deliver = stop_handle(status, tracee_count > before);
		if (number != 0 && counts.rounds == stop) {
			kill(first, number);
			number = 0;
		}
		ptrace(PTRACE_SYSCALL, pid, NULL, (long)deliver);
	}
	return result;
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 4)
		errx(2, "usage: step SIGNAL STOP PROGRAM ARGUMENT...");
	patterns_read();
	status = run(start(argv + 3), (int)strtol(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
	report_print();
	printf("status %d\n", status);
	return 0;
}
