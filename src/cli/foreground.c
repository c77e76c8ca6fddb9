/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting while plaintext lies on a memory file system: for an editor, a command, a person. A
 * signal that would end this process must not leave the plaintext behind.
 */
#include "cli/foreground.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"

static void signals_block(sigset_t *blocked, sigset_t *before, bool child)
{
	static const int ending[] = {SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
				     SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};

	sigemptyset(blocked);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaddset(blocked, ending[i]);
	if (child)
		sigaddset(blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, blocked, before);
}

/* Drops the signals that came meanwhile: the plaintext must still be removed. */
static void signals_restore(const sigset_t *blocked, const sigset_t *before)
{
	const struct timespec at_once = {0};

	while (sigtimedwait(blocked, NULL, &at_once) > 0)
		continue;
	sigprocmask(SIG_SETMASK, before, NULL);
}

int foreground_run(char *const *argv, int *status, struct error *err)
{
	const struct program program = {.file = argv[0], .argv = argv, .fds = PROGRAM_OUR_FDS};
	sigset_t blocked, before;
	pid_t pid, ended = 0;
	int r;

	signals_block(&blocked, &before, true);
	r = program_start(&program, &pid, err);
	while (r == 0 && (ended = waitpid(pid, status, WNOHANG)) == 0) {
		int number = sigwaitinfo(&blocked, NULL);

		if (number == SIGTERM || number == SIGHUP)
			(void)kill(pid, number);
	}
	if (ended < 0)
		r = error_set_errno(err, errno, "waiting for %s", argv[0]);
	signals_restore(&blocked, &before);
	return r;
}

int foreground_line_wait(const char *text)
{
	sigset_t blocked, before;
	_cleanup_close_ int signals = -1;
	struct pollfd watched[2];
	int r = 0;

	signals_block(&blocked, &before, false);
	signals = signalfd(-1, &blocked, SFD_CLOEXEC);
	/* After the signals: a reader of the text may send one at once. */
	fputs(text, stderr);
	watched[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	watched[1] = (struct pollfd){.fd = signals, .events = POLLIN};
	while (signals >= 0 && r == 0) {
		char character;

		if (poll(watched, 2, -1) < 0 || watched[1].revents ||
		    read(STDIN_FILENO, &character, 1) != 1)
			break;
		r = character == '\n';
	}
	signals_restore(&blocked, &before);
	return r;
}
