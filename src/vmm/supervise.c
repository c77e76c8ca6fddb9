/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervise.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"

/* A button that is pressed before the guest listens is lost. */
#define PRESS_AGAIN_MS 10000

/* What a VMM may take to end: it writes out what its disks have cached. Together with the time for
 * the guest it is less than systemd's own DefaultTimeoutStopSec=90s. */
#define QUIT_TIMEOUT_MS 10000

/* A VMM that dies closes its socket first: what is waited for its end, before it is taken to be
 * alive. */
#define END_TIMEOUT_MS 1000

enum step {
	STEP_NONE,
	STEP_POWER_OFF,
	STEP_QUIT,
	STEP_KILL,
};

struct stopping {
	enum step step;
	int64_t deadline; /* when the next step is taken */
	int64_t again;    /* when the button is pressed again */
};

static bool connection_closed(int connection)
{
	struct pollfd closed = {.fd = connection, .events = POLLRDHUP};

	return poll(&closed, 1, 0) > 0;
}

int supervise_abandon(struct child *child, struct words *words, int connection, struct error *err)
{
	bool ended = child_end_await(child, connection_closed(connection) ? END_TIMEOUT_MS : 0);
	int number = child_signal(child, NULL);
	int code = child_stop(child);

	words_finish(words);
	if (number != 0) {
		error_clear(err);
		return 128 + number;
	}
	if (!ended)
		return -(int)err->code;
	error_set(err, VMCRED_FAILED, "it ended with exit code %d before its VM was booted", code);
	words_quote(words, err);
	return -(int)err->code;
}

/* Asks for a step; false where it cannot be asked. */
static bool step_ask(const struct supervision *supervision, enum step step)
{
	_cleanup_error_ struct error err = {0};
	int r = 0;

	if (step == STEP_POWER_OFF)
		r = supervision->stop_timeout_ms > 0
			    ? supervision->power_off(supervision->vmm, &err)
			    : -VMCRED_FAILED;
	else if (step == STEP_QUIT && supervision->quit(supervision->vmm, &err) < 0)
		r = kill(supervision->child->pid, SIGTERM);
	else if (step == STEP_KILL)
		r = kill(supervision->child->pid, SIGKILL);
	if (r < 0 && err.text)
		report_message(supervision->report, REPORT_INFO, "%s", err.text);
	return r == 0;
}

static void step_take(const struct supervision *supervision, struct stopping *stopping)
{
	static const char *const said[] = {
		[STEP_POWER_OFF] = "the guest is asked to power off",
		[STEP_QUIT] = "the VMM is asked to end",
		[STEP_KILL] = "the VMM is killed",
	};
	int64_t now;

	while (stopping->step < STEP_KILL) {
		stopping->step++;
		if (!step_ask(supervision, stopping->step))
			continue;
		report_message(supervision->report, REPORT_INFO, "%s", said[stopping->step]);
		break;
	}
	now = clock_now_ms();
	stopping->again = stopping->step == STEP_POWER_OFF ? now + PRESS_AGAIN_MS : INT64_MAX;
	stopping->deadline = stopping->step == STEP_KILL   ? INT64_MAX
			     : stopping->step == STEP_QUIT ? now + QUIT_TIMEOUT_MS
							   : now + supervision->stop_timeout_ms;
}

static void signals_handle(const struct supervision *supervision, struct stopping *stopping)
{
	bool from_terminal;
	int number;

	while ((number = child_signal(supervision->child, &from_terminal)) != 0) {
		if (from_terminal)
			continue;
		if (number == SIGTERM || number == SIGINT)
			step_take(supervision, stopping);
		else
			kill(supervision->child->pid, number);
	}
}

static void deadlines_handle(const struct supervision *supervision, struct stopping *stopping)
{
	int64_t now = clock_now_ms();

	if (now >= stopping->deadline) {
		report_message(supervision->report, REPORT_WARNING,
			       stopping->step == STEP_POWER_OFF
				       ? "the guest has not powered off within %d seconds"
				       : "the VMM has not ended within %d seconds",
			       stopping->step == STEP_POWER_OFF
				       ? supervision->stop_timeout_ms / 1000
				       : QUIT_TIMEOUT_MS / 1000);
		step_take(supervision, stopping);
	} else if (now >= stopping->again) {
		step_ask(supervision, STEP_POWER_OFF);
		stopping->again = now + PRESS_AGAIN_MS;
	}
}

/* Whether more may come. */
static bool chatter_discard(int fd)
{
	char bytes[512];
	ssize_t got;

	do {
		got = read(fd, bytes, sizeof(bytes));
	} while (got > 0 || (got < 0 && errno == EINTR));
	return got < 0 && errno == EAGAIN;
}

static int timeout_until(int64_t deadline)
{
	int64_t left = deadline - clock_now_ms();

	if (deadline == INT64_MAX)
		return -1;
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

int supervise(const struct supervision *supervision)
{
	struct stopping stopping = {.deadline = INT64_MAX, .again = INT64_MAX};
	int chatter = supervision->chatter, code;
	bool ended = false;

	while (!ended) {
		int64_t deadline =
			stopping.deadline < stopping.again ? stopping.deadline : stopping.again;
		struct pollfd fds[4 + NOTIFY_POLL_MAX] = {
			{.fd = supervision->child->pid_fd, .events = POLLIN},
			{.fd = supervision->child->signal_fd, .events = POLLIN},
			{.fd = chatter, .events = POLLIN},
			words_poll(supervision->words),
		};
		size_t count = 4 + notify_poll(supervision->notify, fds + 4, &deadline);

		if (poll(fds, count, timeout_until(deadline)) < 0 && errno != EINTR)
			break;
		ended = fds[0].revents != 0;
		if (fds[2].revents && !chatter_discard(chatter))
			chatter = -1;
		if (fds[3].revents)
			words_pass(supervision->words);
		notify_relay(supervision->notify);
		signals_handle(supervision, &stopping);
		deadlines_handle(supervision, &stopping);
	}
	code = child_reap(supervision->child);
	words_finish(supervision->words);
	return code;
}
