/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread and poll(2): a request costs a decryption, a fraction of a millisecond, and its answer
 * fits into the socket's buffer unless it is very large. So a thousand units that start together
 * wait in the socket's queue for tenths of a second.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/activate.h"
#include "activate/serve/answer.h"
#include "activate/serve/socket.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define PLAIN_MAX         16 /* answers that wait with plaintext: 16 MiB at the most */
#define ACCEPTS_AT_A_TIME 64 /* then those that wait have their turn */
#define PLAIN_MS          ((int64_t)30 * 1000)
#define STOP_MS           ((int64_t)60 * 1000) /* TimeoutStopSec= of vmcred.service is longer */
#define ACCEPT_FAILED_MS  ((int64_t)100)
#define POLL_SIGNALS      0
#define POLL_LISTENER     1
#define POLL_FIRST_ANSWER 2

struct server {
	const struct serve_options *options;
	const struct report *report;
	struct serve_source source;
	struct serve_answer *answers; /* owned */
	struct pollfd *polled;        /* owned; POLL_FIRST_ANSWER more than answers */
	size_t count, capacity;
	int signal_fd;        /* owned; -1: none yet */
	int64_t accept_after; /* accept(2) has failed: not before */
	int64_t idle_since;
	int64_t stop_at; /* 0: not asked to stop */
};

static void server_release(struct server *server)
{
	for (size_t i = 0; i < server->count; i++)
		serve_answer_release(&server->answers[i]);
	free(server->answers);
	free(server->polled);
	if (server->signal_fd >= 0)
		close(server->signal_fd);
	serve_source_release(&server->source);
}

/* Makes room for one more answer. */
static int server_grow(struct server *server, struct error *err)
{
	size_t capacity = server->capacity ? 2 * server->capacity : ACCEPTS_AT_A_TIME;
	struct serve_answer *answers;
	struct pollfd *polled;

	if (server->count < server->capacity)
		return 0;
	answers = reallocarray(server->answers, capacity, sizeof(*answers));
	if (!answers)
		return error_no_memory(err);
	server->answers = answers;
	polled = reallocarray(server->polled, POLL_FIRST_ANSWER + capacity, sizeof(*polled));
	if (!polled)
		return error_no_memory(err);
	server->polled = polled;
	server->capacity = capacity;
	return 0;
}

static void tell(const struct server *server, const struct serve_request *request,
		 enum serve_result result, const struct error *reason)
{
	bool is_whole = request->credential[0];
	const char *unit = request->asked.unit;
	const struct serve_event event = {
		.result = result,
		.unit = unit[0] ? unit : NULL,
		.credential = is_whole  ? request->credential
			      : unit[0] ? request->asked.credential
					: NULL,
		.is_cut = !is_whole && request->asked.is_full,
		.process = request->peer.pid,
		.user = request->peer.uid,
		.reason = reason,
	};

	server->options->told(server->options, &event);
}

/* How one ended that was not refused. */
static void answer_tell(const struct server *server, const struct serve_answer *answer,
			enum serve_progress progress)
{
	_cleanup_error_ struct error err = {0};

	if (progress == SERVE_GONE) {
		error_set(&err, VMCRED_FAILED, "the peer has hung up before the end");
		tell(server, &answer->request, SERVE_HUNG_UP, &err);
	} else if (answer->is_left_out) {
		error_set(&err, VMCRED_MISSING, "it is optional, and not in the store");
		tell(server, &answer->request, SERVE_LEFT_OUT, &err);
	} else {
		tell(server, &answer->request, SERVE_GAVE, NULL);
	}
}

/* Sends what can be sent; returns whether the answer is over and was released. */
static bool answer_advance(const struct server *server, struct serve_answer *answer)
{
	_cleanup_error_ struct error err = {0};
	enum serve_progress progress;

	if (answer->state == SERVE_PARKED &&
	    serve_answer_resume(answer, &server->source, &err) < 0) {
		tell(server, &answer->request, SERVE_REFUSED, &err);
		serve_answer_spoil(answer);
	}
	progress = serve_answer_send(answer);
	if (progress == SERVE_WAITS)
		return false;
	if (answer->state == SERVE_PLAIN)
		answer_tell(server, answer, progress);
	serve_answer_release(answer);
	return true;
}

/* Room for one more that waits with plaintext: the oldest ones are decrypted again later. */
static void answers_park(struct server *server)
{
	size_t plain = 0, oldest = 0;

	for (size_t i = 0; i < server->count; i++) {
		if (server->answers[i].state != SERVE_PLAIN)
			continue;
		if (plain++ == 0 || server->answers[i].since < server->answers[oldest].since)
			oldest = i;
	}
	if (plain > PLAIN_MAX)
		serve_answer_park(&server->answers[oldest]);
}

static void request_answer(const struct server *server, struct serve_answer *answer)
{
	_cleanup_error_ struct error err = {0};

	if (serve_request_ask(answer->fd, &answer->request, &err) < 0 ||
	    serve_request_read(&server->source, &answer->request, &answer->value,
			       &answer->is_left_out, &err) < 0) {
		tell(server, &answer->request, SERVE_REFUSED, &err);
		serve_answer_spoil(answer);
	}
}

static void request_take(struct server *server, int fd)
{
	_cleanup_error_ struct error err = {0};
	struct serve_answer *answer = &server->answers[server->count];

	*answer = (struct serve_answer){.fd = fd, .since = clock_now_ms()};
	/* No unit waits for it, and nothing of ours shall. */
	if (serve_request_check_peer(fd, &answer->request, &err) < 0) {
		tell(server, &answer->request, SERVE_TURNED_AWAY, &err);
		serve_answer_release(answer);
		return;
	}
	serve_socket_keep(fd);
	request_answer(server, answer);
	if (answer_advance(server, answer))
		return;
	server->count++;
	if (answer->state == SERVE_PLAIN)
		answers_park(server);
}

/* SIGHUP reads all anew, SIGTERM and SIGINT end. */
static void signals_take(struct server *server)
{
	struct signalfd_siginfo info;

	while (read(server->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			serve_source_update(&server->source, true);
		else if (server->stop_at == 0)
			server->stop_at = clock_now_ms() + STOP_MS;
	}
}

/* How far the process before had come is not known. One that was finished is gone by itself. */
static void kept_spoil(struct server *server, int fd)
{
	_cleanup_error_ struct error reason = {0}, ignored = {0};
	struct serve_answer answer = {.fd = fd};
	struct pollfd polled = {.fd = fd};

	if (poll(&polled, 1, 0) < 0 || (polled.revents & (POLLHUP | POLLERR))) {
		serve_answer_release(&answer);
		return;
	}
	(void)serve_request_check_peer(fd, &answer.request, &ignored);
	error_clear(&ignored);
	(void)serve_request_ask(fd, &answer.request, &ignored);
	error_set(&reason, VMCRED_FAILED, "the process that answered it was killed");
	tell(server, &answer.request, SERVE_REFUSED, &reason);
	serve_answer_spoil(&answer);
	/* Where there is no memory it stays open, and the unit waits. */
	error_clear(&ignored);
	if (!answer_advance(server, &answer) && server_grow(server, &ignored) == 0)
		server->answers[server->count++] = answer;
}

static bool may_accept(const struct server *server)
{
	return server->stop_at == 0 && server->count < server->options->answers_max &&
	       clock_now_ms() >= server->accept_after;
}

static void accept_failed(struct server *server, const char *why)
{
	report_message(server->report, REPORT_WARNING, "taking a connection: %s: it waits", why);
	server->accept_after = clock_now_ms() + ACCEPT_FAILED_MS;
}

static void requests_accept(struct server *server)
{
	_cleanup_error_ struct error err = {0};

	for (int i = 0; i < ACCEPTS_AT_A_TIME; i++) {
		int fd;

		/* Who asks after a signal was sent is asking what is so after it. */
		signals_take(server);
		if (!may_accept(server))
			return;
		if (server_grow(server, &err) < 0) {
			accept_failed(server, err.text);
			return;
		}
		fd = accept4(server->options->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			/* What was declared before a unit asks holds for it. */
			serve_source_update(&server->source, false);
			request_take(server, fd);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			accept_failed(server, strerror(errno));
		return;
	}
}

/* Those whose peer takes more, or has hung up, and those who have had their time. */
static void answers_advance(struct server *server, size_t count)
{
	const struct pollfd *polled = server->polled + POLL_FIRST_ANSWER;
	size_t kept = 0;
	int64_t now = clock_now_ms();

	for (size_t i = 0; i < count; i++) {
		struct serve_answer *answer = &server->answers[i];

		if (polled[i].revents && answer_advance(server, answer))
			continue;
		if (answer->state == SERVE_PLAIN && now >= answer->since + PLAIN_MS)
			serve_answer_park(answer);
		if (kept != i)
			server->answers[kept] = *answer;
		kept++;
	}
	server->count = kept;
}

/* Milliseconds until something has to be done although nothing happens; -1: never. */
static int wait_ms(const struct server *server)
{
	int64_t now = clock_now_ms(), until = INT64_MAX;

	for (size_t i = 0; i < server->count; i++) {
		const struct serve_answer *answer = &server->answers[i];

		if (answer->state == SERVE_PLAIN && answer->since + PLAIN_MS < until)
			until = answer->since + PLAIN_MS;
	}
	if (server->accept_after > now && server->accept_after < until)
		until = server->accept_after;
	if (server->stop_at > 0 && server->stop_at < until)
		until = server->stop_at;
	if (server->count == 0 && server->options->idle_ms > 0 &&
	    server->idle_since + server->options->idle_ms < until)
		until = server->idle_since + server->options->idle_ms;
	if (until == INT64_MAX)
		return -1;
	return until > now ? (int)(until - now) : 0;
}

static bool is_over(const struct server *server)
{
	int64_t now = clock_now_ms();

	if (server->stop_at > 0)
		return server->count == 0 || now >= server->stop_at;
	return server->count == 0 && server->options->idle_ms > 0 &&
	       now >= server->idle_since + server->options->idle_ms;
}

static int server_wait(struct server *server, struct error *err)
{
	struct pollfd *polled = server->polled;

	polled[POLL_SIGNALS] = (struct pollfd){.fd = server->signal_fd, .events = POLLIN};
	polled[POLL_LISTENER] = (struct pollfd){
		.fd = may_accept(server) ? server->options->listen_fd : -1,
		.events = POLLIN,
	};
	for (size_t i = 0; i < server->count; i++)
		polled[POLL_FIRST_ANSWER + i] =
			(struct pollfd){.fd = server->answers[i].fd, .events = POLLOUT};
	if (poll(polled, POLL_FIRST_ANSWER + server->count, wait_ms(server)) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, errno, "waiting for requests");
		for (size_t i = 0; i < POLL_FIRST_ANSWER + server->count; i++)
			polled[i].revents = 0;
	}
	return 0;
}

static int server_loop(struct server *server, struct error *err)
{
	int r = server_grow(server, err);

	while (r == 0 && !is_over(server)) {
		size_t count = server->count;
		short asked;

		r = server_wait(server, err);
		if (r < 0)
			break;
		asked = server->polled[POLL_LISTENER].revents;
		answers_advance(server, count);
		signals_take(server);
		if (asked)
			requests_accept(server);
		if (asked || count > 0)
			server->idle_since = clock_now_ms();
	}
	return r;
}

int serve_run(const struct serve_options *options, const struct report *report, struct error *err)
{
	__attribute__((cleanup(server_release))) struct server server = {
		.options = options,
		.report = report,
		.source = {.options = options,
			   .report = report,
			   .declaration = {.store_dirfd = -1}},
		.signal_fd = -1,
		.idle_since = clock_now_ms(),
	};
	sigset_t taken, before;
	int r;

	sigemptyset(&taken);
	sigaddset(&taken, SIGHUP);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	server.signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server.signal_fd < 0 || sigprocmask(SIG_BLOCK, &taken, &before) < 0)
		return error_set_errno(err, errno, "preparing for signals");
	/* What is wrong with it is told to the units that ask, and is mended without a restart: a
	 * service that did not start would leave them waiting while systemd starts it again. */
	serve_source_update(&server.source, true);
	for (size_t i = 0; i < options->kept_count; i++)
		kept_spoil(&server, options->listen_fd + 1 + (int)i);
	r = server_loop(&server, err);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
