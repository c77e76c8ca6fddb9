/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define LINE_SIZE_MAX 4096

/* systemd takes no larger credential: systemd.exec(5), LoadCredential=. */
#define LINES_SIZE_MAX ((size_t)1024 * 1024)

static int terminal_open(struct error *err)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set(err, VMCRED_FAILED, "no terminal to ask on");
	return fd;
}

/* Waits for a character, or for a blocked signal to be pending; `signals` may be -1. Returns false
 * after a signal. */
static bool character_wait(int fd, int signals)
{
	struct pollfd files[] = {{.fd = signals, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	while (poll(files, 2, -1) < 0 && errno == EINTR)
		continue;
	return files[0].revents == 0;
}

/*
 * Reads a line without its line break, or all lines to the end of input, into secret memory. `stop`
 * is a character that cancels, or -1. `signals` is a signalfd(2) of signals that cancel, or -1.
 */
static int answer_read(int fd, bool lines, int stop, int signals, struct secret *answer,
		       struct error *err)
{
	const size_t size_max = lines ? LINES_SIZE_MAX : LINE_SIZE_MAX;
	int r = secret_reserve(answer, LINE_SIZE_MAX, err);

	while (r == 0) {
		uint8_t character;
		ssize_t got;

		if (signals >= 0 && !character_wait(fd, signals))
			return error_set(err, VMCRED_FAILED, "no answer given");
		got = read(fd, &character, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "reading from the terminal");
		if (got == 0 && lines)
			return 0;
		if (got == 0 || character == stop)
			return error_set(err, VMCRED_FAILED, "no answer given");
		if (character == '\n' && !lines)
			return 0;
		if (answer->size == size_max)
			return error_set(err, VMCRED_FAILED, "the answer is too long");
		r = secret_append(answer, span_of(&character, 1), err);
		memory_wipe(&character, 1);
	}
	return r;
}

/* A question may quote a declaration or an age plugin. */
static void question_print(int fd, const char *before, const char *text)
{
	_cleanup_free_ char *visible = text_visible(span_of_text(text), true);

	dprintf(fd, "%s%s ", before, visible ? visible : "");
}

/*
 * Signals are blocked until echo is restored; those that end the process are delivered then. Echo
 * is off before the question appears. What a person typed ahead is part of the answer, as for age
 * and ssh, so no change of the settings flushes the input.
 */
static int answer_read_hidden(int fd, const struct terminal_question *question,
			      const char *before_it, struct secret *answer, struct error *err)
{
	_cleanup_close_ int signals = -1;
	struct termios before, silent;
	sigset_t stopping, unblocked;
	int r;

	if (tcgetattr(fd, &before) < 0)
		return error_set_errno(err, errno, "reading the terminal settings");
	sigemptyset(&stopping);
	sigaddset(&stopping, SIGTERM);
	sigaddset(&stopping, SIGHUP);
	signals = signalfd(-1, &stopping, SFD_CLOEXEC);
	if (signals < 0)
		return error_set_errno(err, errno, "preparing for signals");
	sigaddset(&stopping, SIGTSTP);
	sigprocmask(SIG_BLOCK, &stopping, &unblocked);
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	silent.c_lflag |= ICANON;
	/* Ctrl-C ends the line, so that read(2) returns and answer_read() sees it. */
	silent.c_cc[VEOL] = before.c_cc[VINTR];
	if (tcsetattr(fd, TCSADRAIN, &silent) < 0) {
		r = error_set_errno(err, errno, "turning off echo");
	} else {
		question_print(fd, before_it, question->text);
		r = answer_read(fd, question->lines, before.c_cc[VINTR], signals, answer, err);
	}
	(void)tcsetattr(fd, TCSADRAIN, &before);
	sigprocmask(SIG_SETMASK, &unblocked, NULL);
	(void)!write(fd, "\n", 1);
	return r;
}

static int answer_ask(const struct terminal_question *question, const char *before,
		      struct secret *answer, struct error *err)
{
	_cleanup_close_ int fd = terminal_open(err);

	if (fd < 0)
		return fd;
	if (question->hidden)
		return answer_read_hidden(fd, question, before, answer, err);
	question_print(fd, before, question->text);
	return answer_read(fd, question->lines, -1, -1, answer, err);
}

int terminal_ask(const struct terminal_question *question, struct secret *answer, struct error *err)
{
	for (;;) {
		_cleanup_secret_ struct secret first = {0}, second = {0};
		int r = answer_ask(question, "", &first, err);

		if (r == 0 && question->twice)
			r = answer_ask(question, "Again: ", &second, err);
		if (r < 0)
			return r;
		if (!question->twice || secret_equal(secret_span(&first), secret_span(&second)))
			return secret_append(answer, secret_span(&first), err);
		fprintf(stderr, "vmcred: the answers differ, try again\n");
	}
}

int terminal_show(const char *before, const struct secret *text, struct error *err)
{
	_cleanup_close_ int fd = terminal_open(err);
	int r = fd;

	if (r >= 0)
		r = fd_write(fd, span_of_text(before), "the terminal", err);
	if (r == 0)
		r = fd_write(fd, secret_span(text), "the terminal", err);
	return r == 0 ? fd_write(fd, span_of_text("\n"), "the terminal", err) : r;
}

static int ask(void *context, const char *question, bool hidden, struct secret *answer,
	       struct error *err)
{
	const struct terminal_question asked = {.text = question, .hidden = hidden};

	(void)context;
	return terminal_ask(&asked, answer, err);
}

static int confirm(void *context, const char *question, const char *yes, const char *no,
		   struct error *err)
{
	_cleanup_close_ int fd = terminal_open(err);

	(void)context;
	if (fd < 0)
		return fd;
	for (;;) {
		_cleanup_secret_ struct secret answer = {0};
		int r;

		if (no)
			dprintf(fd, "%s (1: %s, 2: %s) ", question, yes, no);
		else
			dprintf(fd, "%s (Enter: %s) ", question, yes);
		r = answer_read(fd, false, -1, -1, &answer, err);
		if (r < 0)
			return r;
		if (!no || (answer.size == 1 && answer.data[0] == '1'))
			return 1;
		if (answer.size == 1 && answer.data[0] == '2')
			return 0;
	}
}

static int show(void *context, const char *message, struct error *err)
{
	(void)context;
	(void)err;
	fprintf(stderr, "vmcred: %s\n", message);
	return 0;
}

const struct age_prompt terminal_prompt = {.ask = ask, .confirm = confirm, .show = show};
