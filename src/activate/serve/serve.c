/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/serve/answer.h"
#include "activate/serve/source.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define ACCEPTS_AT_A_TIME 64 /* then waiting answers have their turn */
#define VALUE_KEEP_MS     ((int64_t)30 * 1000)
#define STOP_MS           ((int64_t)60 * 1000) /* less than TimeoutStopSec= of vmcred.service */
#define ACCEPT_RETRY_MS   ((int64_t)100)

enum {
	POLL_SIGNALS,
	POLL_LISTENER,
	POLL_FIRST_ANSWER
};

struct server {
	const struct serve_options *options;
	const struct report *report;
	struct serve_source source;
	struct serve_answer *answers; /* owned; those that wait for their peers */
	struct pollfd *polled;        /* owned; POLL_FIRST_ANSWER more than answers */
	size_t count, capacity;
	/* The value of one waiting answer: the last one decrypted. The others' are decrypted again
	 * when their peers go on reading. */
	struct secret value;
	int value_fd; /* that answer's; -1: none */
	int64_t value_until;
	int signal_fd;        /* owned */
	int64_t accept_after; /* accept(2) failed: not before */
	int64_t idle_since;
	int64_t stop_at; /* 0: not asked to stop */
};

static void event_report(const struct server *server, const struct serve_answer *answer,
			 enum serve_result result, const struct error *reason)
{
	const struct serve_request *request = &answer->request;
	const bool is_whole = request->credential[0], is_known = request->asked.unit[0];
	const struct serve_event event = {
		.result = result,
		.unit = is_known ? request->asked.unit : NULL,
		.credential = is_whole   ? request->credential
			      : is_known ? request->asked.credential
					 : NULL,
		.is_cut = !is_whole && request->asked.is_full,
		.process = request->peer.pid,
		.user = request->peer.uid,
		.reason = reason,
	};

	server->options->on_event(server->options, &event);
}

static void value_forget(struct server *server)
{
	secret_destroy(&server->value);
	server->value_fd = -1;
}

static void answer_refuse(struct server *server, struct serve_answer *answer,
			  const struct error *reason)
{
	event_report(server, answer, SERVE_REFUSED, reason);
	answer->is_refused = true;
}

/* Closes the connection, and reports an answer that was not refused before. */
static void answer_end(struct server *server, struct serve_answer *answer, bool is_complete)
{
	_cleanup_error_ struct error reason = {0};

	if (!answer->is_refused && !is_complete) {
		error_set(&reason, VMCRED_FAILED, "the peer closed the connection too early");
		event_report(server, answer, SERVE_HUNG_UP, &reason);
	} else if (!answer->is_refused && answer->is_left_out) {
		error_set(&reason, VMCRED_MISSING, "it is optional and not in the store");
		event_report(server, answer, SERVE_LEFT_OUT, &reason);
	} else if (!answer->is_refused) {
		event_report(server, answer, SERVE_GAVE, NULL);
	}
	if (server->value_fd == answer->fd)
		value_forget(server);
	serve_answer_close(answer);
}

static int value_read(struct server *server, struct serve_answer *answer, struct secret *value,
		      struct error *err)
{
	int r = serve_source_read(&server->source, &answer->request, value, &answer->is_left_out,
				  err);

	if (r == 0 && answer->sent > 0 && value->size != answer->size)
		r = error_set(err, VMCRED_FAILED, "the secret changed while it was sent");
	answer->size = value->size;
	return r;
}

static bool has_hung_up(int fd)
{
	struct pollfd polled = {.fd = fd};

	return poll(&polled, 1, 0) == 1 && (polled.revents & (POLLHUP | POLLERR));
}

/* Sends what the socket's buffer holds, 208 KiB by default. Returns whether the answer has ended.
 */
static bool answer_advance(struct server *server, struct serve_answer *answer)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret fresh = {0};
	const bool has_value = server->value_fd == answer->fd;
	enum serve_progress progress;

	/* Decrypt nothing for a peer that is gone. */
	if (has_hung_up(answer->fd)) {
		answer_end(server, answer, false);
		return true;
	}
	if (!answer->is_refused && !has_value && value_read(server, answer, &fresh, &err) < 0)
		answer_refuse(server, answer, &err);
	progress = serve_answer_send(answer, secret_span(has_value ? &server->value : &fresh));
	if (progress != SERVE_WAITS) {
		answer_end(server, answer, progress == SERVE_DONE);
		return true;
	}
	if (!answer->is_refused && !has_value) {
		value_forget(server);
		secret_move(&server->value, &fresh);
		server->value_fd = answer->fd;
		server->value_until = clock_now_ms() + VALUE_KEEP_MS;
	}
	return false;
}

/* Makes room for one more answer. */
static int server_grow(struct server *server, struct error *err)
{
	const size_t capacity = server->capacity ? 2 * server->capacity : ACCEPTS_AT_A_TIME;
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

/* Starts to answer a connection. `is_kept`: a process that was killed may have sent a part. */
static void connection_take(struct server *server, int fd, bool is_kept)
{
	_cleanup_error_ struct error err = {0};
	struct serve_answer *answer = &server->answers[server->count];

	*answer = (struct serve_answer){.fd = fd};
	if (serve_request_check_peer(fd, &answer->request, &err) < 0) {
		/* No unit waits for this peer. */
		event_report(server, answer, SERVE_TURNED_AWAY, &err);
		serve_answer_close(answer);
		return;
	}
	if (!is_kept)
		serve_socket_keep(fd);
	if (serve_request_read_address(fd, &answer->request, &err) < 0) {
		answer_refuse(server, answer, &err);
	} else if (is_kept) {
		error_set(&err, VMCRED_FAILED, "vmcred serve was killed while answering");
		answer_refuse(server, answer, &err);
	}
	if (!answer_advance(server, answer))
		server->count++;
}

static void kept_take(struct server *server)
{
	for (size_t i = 0; i < server->options->kept_count; i++) {
		_cleanup_error_ struct error ignored = {0};
		struct pollfd kept = {.fd = server->options->listen_fd + 1 + (int)i};

		/* One that was answered was shut down. Without memory the unit waits. */
		if (poll(&kept, 1, 0) == 1)
			close(kept.fd);
		else if (server_grow(server, &ignored) == 0)
			connection_take(server, kept.fd, true);
	}
}

/* SIGHUP reads everything again; SIGTERM and SIGINT stop the server. */
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

static bool may_accept(const struct server *server)
{
	return server->stop_at == 0 && server->count < server->options->answers_max &&
	       clock_now_ms() >= server->accept_after;
}

static void requests_accept(struct server *server)
{
	_cleanup_error_ struct error err = {0};

	for (int i = 0; i < ACCEPTS_AT_A_TIME; i++) {
		int fd;

		/* A request after a signal or a changed declaration gets the new state. */
		signals_take(server);
		if (!may_accept(server))
			return;
		if (server_grow(server, &err) < 0)
			break;
		fd = accept4(server->options->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			return;
		if (fd < 0) {
			error_set(&err, VMCRED_FAILED, "%s", strerrordesc_np(errno));
			break;
		}
		serve_source_update(&server->source, false);
		connection_take(server, fd, false);
	}
	if (!err.text)
		return;
	report_message(server->report, REPORT_WARNING, "accepting a connection: %s", err.text);
	server->accept_after = clock_now_ms() + ACCEPT_RETRY_MS;
}

/* Continues the answers whose peer has read, and ends those whose peer has hung up. */
static void answers_advance(struct server *server)
{
	size_t kept = 0;

	for (size_t i = 0; i < server->count; i++) {
		struct serve_answer *answer = &server->answers[i];
		const short events = server->polled[POLL_FIRST_ANSWER + i].revents;

		if (events & (POLLHUP | POLLERR)) {
			answer_end(server, answer, false);
			continue;
		}
		if (events && answer_advance(server, answer))
			continue;
		if (kept != i)
			server->answers[kept] = *answer;
		kept++;
	}
	server->count = kept;
}

/* When the server exits unless something happens; INT64_MAX: never. */
static int64_t end_find(const struct server *server)
{
	if (server->stop_at > 0)
		return server->count > 0 ? server->stop_at : 0;
	return server->count == 0 && server->options->idle_ms > 0
		       ? server->idle_since + server->options->idle_ms
		       : INT64_MAX;
}

/* Waits for an event or until `until`, or until something else is due. */
static int server_wait(struct server *server, int64_t now, int64_t until, struct error *err)
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
	if (server->value_fd >= 0 && server->value_until < until)
		until = server->value_until;
	if (server->accept_after > now && server->accept_after < until)
		until = server->accept_after;
	if (poll(polled, POLL_FIRST_ANSWER + server->count,
		 until == INT64_MAX ? -1
		 : until > now      ? (int)(until - now)
				    : 0) >= 0)
		return 0;
	if (errno != EINTR)
		return error_set_errno(err, errno, "waiting for requests");
	for (size_t i = 0; i < POLL_FIRST_ANSWER + server->count; i++)
		polled[i].revents = 0;
	return 0;
}

static int server_loop(struct server *server, struct error *err)
{
	int64_t now = clock_now_ms(), end;
	int r = server_grow(server, err);

	for (; r == 0 && now < (end = end_find(server)); now = clock_now_ms()) {
		bool is_asked;

		r = server_wait(server, now, end, err);
		if (r < 0)
			break;
		is_asked = server->polled[POLL_LISTENER].revents;
		if (is_asked || server->count > 0)
			server->idle_since = clock_now_ms();
		answers_advance(server);
		if (server->value_fd >= 0 && clock_now_ms() >= server->value_until)
			value_forget(server);
		signals_take(server);
		if (is_asked)
			requests_accept(server);
	}
	return r;
}

static void server_release(struct server *server)
{
	for (size_t i = 0; i < server->count; i++)
		serve_answer_close(&server->answers[i]);
	free(server->answers);
	free(server->polled);
	secret_destroy(&server->value);
	if (server->signal_fd >= 0)
		close(server->signal_fd);
	serve_source_release(&server->source);
}

int serve_run(const struct serve_options *options, const struct report *report, struct error *err)
{
	__attribute__((cleanup(server_release))) struct server server = {
		.options = options,
		.report = report,
		.source = {.options = options, .report = report, .store_dirfd = -1},
		.value_fd = -1,
		.signal_fd = -1,
		.idle_since = clock_now_ms(),
	};
	sigset_t signals, before;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	server.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server.signal_fd < 0 || sigprocmask(SIG_BLOCK, &signals, &before) < 0)
		return error_set_errno(err, errno, "blocking signals");
	/* A failure is reported to the units that ask. If the service failed to start instead, they
	 * would wait while systemd restarts it. */
	serve_source_update(&server.source, true);
	kept_take(&server);
	r = server_loop(&server, err);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
