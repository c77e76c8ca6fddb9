/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervise.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/program.h"

/* A guest that is not listening yet misses the power button, so it is pressed again. */
#define PRESS_AGAIN_MS 10000

/* How long a VMM may take to end: it flushes its disks' caches. With the time for the guest this
 * stays below systemd's DefaultTimeoutStopSec=90s. */
#define QUIT_TIMEOUT_MS 10000

/* A VMM that is ending closes its socket first, so a closed socket means that it will be gone
 * soon. */
#define END_TIMEOUT_MS 1000

/* How long a full queue of the service manager may delay our end. */
#define FLUSH_TIMEOUT_MS 10000

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

int supervise_abandon(struct child *child, struct stderr_relay *output, int connection,
		      struct error *err)
{
	struct pollfd closed = {.fd = connection, .events = POLLRDHUP};
	bool ended = child_end_await(child, poll(&closed, 1, 0) > 0 ? END_TIMEOUT_MS : 0);
	_cleanup_error_ struct error reason = {0};
	int number = child_signal(child, NULL);
	int status = child_stop(child);

	stderr_relay_finish(output);
	if (number != 0) {
		error_clear(err);
		return 128 + number;
	}
	if (!ended)
		return -(int)err->code;
	if (program_status_check(status, "it", &reason) == 0)
		error_set(&reason, VMCRED_FAILED, "it exited with code 0");
	error_set(err, VMCRED_FAILED, "%s before its VM booted", reason.text);
	stderr_relay_quote(output, err);
	return -(int)err->code;
}

/* Requests a step; false if that fails. */
static bool step_request(const struct supervision *supervision, enum step step)
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

static void step_next(const struct supervision *supervision, struct stopping *stopping)
{
	static const char *const messages[] = {
		[STEP_POWER_OFF] = "asking the guest to power off",
		[STEP_QUIT] = "asking the VMM to end",
		[STEP_KILL] = "killing the VMM",
	};
	int64_t now;

	while (stopping->step < STEP_KILL) {
		stopping->step++;
		if (!step_request(supervision, stopping->step))
			continue;
		report_message(supervision->report, REPORT_INFO, "%s", messages[stopping->step]);
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
			step_next(supervision, stopping);
		else
			kill(supervision->child->pid, number);
	}
}

static void deadlines_handle(const struct supervision *supervision, struct stopping *stopping)
{
	int64_t now = clock_now_ms();

	if (now >= stopping->deadline) {
		bool guest = stopping->step == STEP_POWER_OFF;

		report_message(supervision->report, REPORT_WARNING, "the %s did not %s within %d s",
			       guest ? "guest" : "VMM", guest ? "power off" : "end",
			       (guest ? supervision->stop_timeout_ms : QUIT_TIMEOUT_MS) / 1000);
		step_next(supervision, stopping);
	} else if (now >= stopping->again) {
		step_request(supervision, STEP_POWER_OFF);
		stopping->again = now + PRESS_AGAIN_MS;
	}
}

/* Whether more data may follow. One read at a time: a VMM that writes without end must not keep us
 * from signals. */
static bool data_discard(int fd)
{
	char bytes[4096];
	const ssize_t got = read(fd, bytes, sizeof(bytes));

	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static int timeout_until(int64_t deadline)
{
	int64_t left = deadline - clock_now_ms();

	if (deadline == INT64_MAX)
		return -1;
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Once the guest has reported, its unit is ready, or its VM is stopped. */
static void delivery_handle(const struct supervision *supervision, struct stopping *stopping)
{
	struct notify *notify = supervision->notify;

	if (!delivery_is_awaited(&notify->delivery))
		return;
	delivery_wait_run(&notify->delivery);
	if (notify->delivery.state == DELIVERY_DELIVERED) {
		report_message(supervision->report, REPORT_INFO, "the guest has all credentials");
		notify_delivered(notify);
	} else if (notify->delivery.state == DELIVERY_REJECTED && stopping->step == STEP_NONE) {
		report_message(supervision->report, REPORT_WARNING, "stopping the VM: %s",
			       notify->delivery.rejection.text);
		step_next(supervision, stopping);
	}
}

/* The exit code for a VMM that ended. A signal that killed it is reported, unless it was ours. */
static int end_report(const struct supervision *supervision, const char *program,
		      const struct stopping *stopping, int status)
{
	_cleanup_error_ struct error killed = {0};
	int number;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	number = WTERMSIG(status);
	(void)program_status_check(status, program, &killed);
	if (stopping->step < STEP_QUIT || (number != SIGTERM && number != SIGKILL))
		report_message(supervision->report, REPORT_WARNING, "%s", killed.text);
	return 128 + number;
}

int supervise(const struct supervision *supervision)
{
	struct stopping stopping = {.deadline = INT64_MAX, .again = INT64_MAX};
	const char *program = supervision->child->program;
	int discard = supervision->discard, status;
	bool ended = false;

	report_message(supervision->report, REPORT_INFO, "the VM is booted");
	notify_booted(supervision->notify);
	/* The rest of the VM's life needs little memory. */
	malloc_trim(0);
	while (!ended) {
		int64_t deadline =
			stopping.deadline < stopping.again ? stopping.deadline : stopping.again;
		struct pollfd fds[4 + NOTIFY_POLL_MAX] = {
			{.fd = supervision->child->pid_fd, .events = POLLIN},
			{.fd = supervision->child->signal_fd, .events = POLLIN},
			{.fd = discard, .events = POLLIN},
			stderr_relay_poll(supervision->output),
		};
		size_t count = 4 + notify_poll(supervision->notify, fds + 4, &deadline);

		count += channel_relay_poll(&supervision->notify->channel, fds + count, &deadline);
		delivery_wait_poll(&supervision->notify->delivery, &deadline);
		if (poll(fds, count, timeout_until(deadline)) < 0 && errno != EINTR)
			break;
		ended = fds[0].revents != 0;
		if (fds[2].revents && !data_discard(discard))
			discard = -1;
		if (fds[3].revents)
			stderr_relay_forward(supervision->output);
		notify_relay(supervision->notify);
		channel_relay_run(&supervision->notify->channel);
		delivery_handle(supervision, &stopping);
		signals_handle(supervision, &stopping);
		deadlines_handle(supervision, &stopping);
	}
	status = child_reap(supervision->child);
	stderr_relay_finish(supervision->output);
	notify_flush(supervision->notify, FLUSH_TIMEOUT_MS);
	return end_report(supervision, program, &stopping, status);
}
