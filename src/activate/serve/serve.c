/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/serve/server.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define ACCEPTS_AT_A_TIME 128                  /* then waiting answers have their turn */
#define STOP_MS           ((int64_t)60 * 1000) /* less than TimeoutStopSec= of vmcred.service */
/* Guests ask again, and what units ask meanwhile waits for the next start. */
#define STOP_GUESTS_MS    ((int64_t)2 * 1000)
#define ACCEPT_RETRY_MS   ((int64_t)100)
#define WATCH_TURN_MS     2 /* of checks for changes; then requests have their turn */

enum {
	POLL_SIGNALS,
	POLL_LISTENER,
	POLL_GUESTS,
	POLL_VSOCK,
	POLL_FIRST_ANSWER
};

/* Makes room for as many answers as are started at a time. */
static int server_grow(struct server *server, struct error *err)
{
	const size_t capacity = 2 * server->capacity + ACCEPTS_AT_A_TIME;
	struct serve_answer *answers;
	struct pollfd *polled;

	if (server->count + ACCEPTS_AT_A_TIME <= server->capacity)
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
	if (load_peer_check(fd, &answer->request.peer, &err) < 0) {
		/* No unit waits for this peer. */
		server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
		serve_answer_close(answer);
		return;
	}
	if (!is_kept)
		load_socket_keep(fd);
	if (load_address_read(fd, &answer->request.asked, &err) < 0) {
		server_answer_refuse(server, answer, &err);
	} else if (is_kept) {
		error_set(&err, VMCRED_FAILED, "vmcred serve was killed while answering");
		server_answer_refuse(server, answer, &err);
	}
	if (!server_answer_advance(server, answer))
		server->count++;
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

/* How many more answers may start now. */
static size_t accepts_max(const struct server *server)
{
	const size_t more = server->options->answers_max - server->count;

	if (server->stop_at > 0 || server->count >= server->options->answers_max ||
	    clock_now_ms() < server->accept_after)
		return 0;
	return more < ACCEPTS_AT_A_TIME ? more : ACCEPTS_AT_A_TIME;
}

static void accept_fail(struct server *server, const struct error *err)
{
	report_message(server->report, REPORT_WARNING, "accepting a connection: %s", err->text);
	server->accept_after = clock_now_ms() + ACCEPT_RETRY_MS;
}

/* Returns how many requests to take. */
static size_t accepts_begin(struct server *server)
{
	_cleanup_error_ struct error err = {0};
	size_t max;

	signals_take(server);
	max = accepts_max(server);
	if (max == 0 || server_grow(server, &err) == 0)
		return max;
	accept_fail(server, &err);
	return 0;
}

/* Starts a session with a guest, unless it has too many. */
static void guest_take(struct server *server, struct serve_passed *passed)
{
	_cleanup_error_ struct error err = {0};
	struct serve_answer *answer = &server->answers[server->count];
	struct serve_guest *guest = NULL;

	*answer = (struct serve_answer){
		.fd = passed->fd,
		.request = {.is_guest = true, .peer = passed->peer, .cid = passed->cid}};
	memcpy(answer->request.asked.unit, passed->unit_key.unit, sizeof(passed->unit_key.unit));
	if (server_guest_admit(server, answer))
		guest = calloc(1, sizeof(*guest));
	if (!guest) {
		serve_guest_turn_away(passed->fd, CHANNEL_BUSY);
		return;
	}
	memcpy(guest->key, passed->unit_key.key, sizeof(guest->key));
	guest->is_unproven = passed->guest_proves;
	guest->deadline = clock_now_ms() + GUEST_REQUEST_MS;
	answer->guest = guest;
	if (serve_guest_greet(answer->fd, guest, &err) < 0) {
		server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
		serve_answer_close(answer);
	} else {
		server->count++;
	}
}

/* How many vsock connections have not proved their unit yet, and which one is the oldest. */
static size_t unproven_count(const struct server *server, size_t *oldest)
{
	size_t count = 0;

	*oldest = 0;
	for (size_t i = 0; i < server->count; i++) {
		const struct serve_request *request = &server->answers[i].request;

		if (request->is_guest && !request->asked.unit[0] && count++ == 0)
			*oldest = i;
	}
	return count;
}

/* When there is room for one more of them. Honest guests prove their unit at once, but many may
 * have connected together. */
static int64_t vsock_after(const struct server *server)
{
	size_t oldest;

	return unproven_count(server, &oldest) < GUEST_UNPROVEN_MAX
		       ? 0
		       : server->answers[oldest].guest->deadline - GUEST_REQUEST_MS +
				 GUEST_PROOF_MS;
}

/* Makes room for one: a guest can ask again. */
static void unproven_limit(struct server *server)
{
	size_t oldest;

	if (unproven_count(server, &oldest) < GUEST_UNPROVEN_MAX)
		return;
	server_answer_end(server, &server->answers[oldest], SERVE_LATE);
	server->count--;
	memmove(&server->answers[oldest], &server->answers[oldest + 1],
		(server->count - oldest) * sizeof(*server->answers));
}

/* Takes all of them before it answers the first one: while descriptors wait in a socket, each
 * close(2) of one makes the kernel search for lost ones. */
static void guests_accept(struct server *server, bool is_vsock)
{
	const struct load_sockets *sockets = &server->options->sockets;
	_cleanup_error_ struct error err = {0};
	struct serve_passed passed[ACCEPTS_AT_A_TIME];
	size_t max = accepts_begin(server), count = 0, oldest;
	const size_t unproven = is_vsock ? unproven_count(server, &oldest) : 0;
	int r;

	if (is_vsock && unproven + max > GUEST_UNPROVEN_MAX)
		max = unproven < GUEST_UNPROVEN_MAX ? GUEST_UNPROVEN_MAX - unproven : 1;
	r = serve_guests_take(is_vsock ? sockets->vsock_fd : sockets->datagram_fd, is_vsock,
			      server->options->runtime, passed, max, &count, &err);

	for (size_t i = 0; i < count; i++) {
		if (!passed[i].unit_key.unit[0])
			unproven_limit(server);
		guest_take(server, &passed[i]);
	}
	if (r < 0 && is_vsock) {
		accept_fail(server, &err);
	} else if (r < 0) {
		const struct serve_answer sender = {.request.peer = passed[count].peer};

		server_event_report(server, &sender, SERVE_TURNED_AWAY, &err);
	}
	/* With the one that was not valid. */
	memory_wipe(passed, (count < max ? count + 1 : count) * sizeof(*passed));
}

static void kept_take(struct server *server)
{
	for (size_t i = 0; i < server->options->sockets.kept_count; i++) {
		_cleanup_error_ struct error ignored = {0};
		struct pollfd kept = {.fd = server->options->sockets.kept_fd + (int)i};

		/* One that was answered was shut down. Without memory the unit waits. */
		if (poll(&kept, 1, 0) == 1)
			close(kept.fd);
		else if (server_grow(server, &ignored) == 0)
			connection_take(server, kept.fd, true);
	}
}

/* Those not yet accepted are not lost if this process is killed. */
static void requests_accept(struct server *server)
{
	for (int i = 0; i < ACCEPTS_AT_A_TIME && accepts_begin(server) > 0; i++) {
		_cleanup_error_ struct error err = {0};
		int fd = accept4(server->options->sockets.listen_fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			return;
		if (fd < 0) {
			error_set(&err, VMCRED_FAILED, "%s", strerrordesc_np(errno));
			accept_fail(server, &err);
			return;
		}
		/* A request after a signal or a changed declaration gets the new state. */
		serve_source_update(&server->source, false);
		connection_take(server, fd, false);
	}
}

/* After `until`, it waits for its turn. */
static bool watcher_is_due(struct server *server, const struct serve_answer *answer, int64_t until)
{
	if (!answer->guest || !answer->guest->is_watching || answer->guest->round == server->round)
		return false;
	if (clock_now_ms() <= until)
		return true;
	server->is_behind = true;
	/* The next round does not wait for a guest with many values. */
	server->is_round_open |= answer->guest->seen_next == 0;
	return false;
}

/* The others that wait for the same have their turn before this one has another. */
static void answer_move_last(struct server *server, int fd)
{
	for (size_t i = 0; i < server->count; i++) {
		const struct serve_answer answer = server->answers[i];

		if (answer.fd != fd)
			continue;
		memmove(&server->answers[i], &server->answers[i + 1],
			(server->count - 1 - i) * sizeof(answer));
		server->answers[server->count - 1] = answer;
		return;
	}
}

/* Continues the answers whose peer has read, and ends those whose peer has hung up. */
static void answers_advance(struct server *server)
{
	const int64_t now = clock_now_ms();
	const int value_fd = server->value_fd;
	bool is_updated = false;
	size_t kept = 0;

	if (server->watchers > 0 && now >= server->watch_at && !server->is_round_open) {
		serve_source_update(&server->source, false);
		server->watch_at =
			now + (server->watchers > GUEST_WATCH_MS ? (int64_t)server->watchers
								 : GUEST_WATCH_MS);
		server->round++;
	}
	server->is_behind = server->is_round_open = false;
	server->behind_fd = -1;

	for (size_t i = 0; i < server->count; i++) {
		struct serve_answer *answer = &server->answers[i];
		const short events = server->polled[POLL_FIRST_ANSWER + i].revents;

		if (events & (POLLHUP | POLLERR)) {
			server_answer_end(server, answer, SERVE_GONE);
			continue;
		}
		if (answer->guest && now >= answer->guest->deadline) {
			server_answer_end(server, answer, SERVE_LATE);
			continue;
		}
		/* As for units: what has arrived now was sent before this. */
		if (events && !is_updated && server_answer_is_reading(answer)) {
			serve_source_update(&server->source, false);
			is_updated = true;
		}
		if (watcher_is_due(server, answer, now + WATCH_TURN_MS)
			    ? server_watcher_advance(server, answer, now + WATCH_TURN_MS)
			    : events && !server_answer_is_waiting(server, answer, now) &&
				      server_answer_advance(server, answer))
			continue;
		if (kept != i) {
			server->answers[kept] = *answer;
			answer->fd = -1; /* server_guest_admit() does not count it twice */
		}
		kept++;
	}
	server->count = kept;
	if (server->value_fd != value_fd)
		answer_move_last(server, server->value_fd);
	if (server->behind_fd >= 0)
		answer_move_last(server, server->behind_fd);
}

/* When the server exits unless something happens; INT64_MAX: never. */
static int64_t end_find(const struct server *server)
{
	if (server->stop_at > 0) {
		for (size_t i = 0; i < server->count; i++) {
			if (!server->answers[i].guest)
				return server->stop_at;
		}
		return server->count > server->watchers ? server->stop_at - STOP_MS + STOP_GUESTS_MS
							: 0;
	}
	return server->count == 0 && server->options->idle_ms > 0
		       ? server->idle_since + server->options->idle_ms
		       : INT64_MAX;
}

static short events_of(const struct server *server, const struct serve_answer *answer, int64_t now)
{
	if ((answer->guest && answer->guest->is_watching) ||
	    server_answer_is_waiting(server, answer, now))
		return 0;
	return server_answer_is_reading(answer) ? POLLIN : POLLOUT;
}

/* Waits for an event or until `until`, or until something else is due. */
static int server_wait(struct server *server, int64_t now, int64_t until, struct error *err)
{
	const struct load_sockets *sockets = &server->options->sockets;
	const bool accepts = accepts_max(server) > 0;
	const int64_t vsock_at = vsock_after(server);
	const int fds[POLL_FIRST_ANSWER] = {
		[POLL_SIGNALS] = server->signal_fd,
		[POLL_LISTENER] = accepts ? sockets->listen_fd : -1,
		[POLL_GUESTS] = accepts ? sockets->datagram_fd : -1,
		[POLL_VSOCK] = accepts && vsock_at <= now ? sockets->vsock_fd : -1,
	};
	struct pollfd *polled = server->polled;

	for (size_t i = 0; i < POLL_FIRST_ANSWER; i++)
		polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	for (size_t i = 0; i < server->count; i++) {
		const struct serve_answer *answer = &server->answers[i];

		polled[POLL_FIRST_ANSWER + i] =
			(struct pollfd){.fd = answer->fd, .events = events_of(server, answer, now)};
		if (answer->guest && answer->guest->deadline < until)
			until = answer->guest->deadline;
	}
	if (server->value_fd >= 0 && server->value_until < until)
		until = server->value_until;
	if (server->value_fd >= 0 && server->value_turn > now && server->value_turn < until)
		until = server->value_turn;
	if (server->watchers > 0 && server->watch_at < until)
		until = server->watch_at;
	if (server->is_behind)
		until = now;
	if (server->accept_after > now && server->accept_after < until)
		until = server->accept_after;
	if (vsock_at > now && vsock_at < until)
		until = vsock_at;
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
		bool is_asked, is_passed, is_connected;

		r = server_wait(server, now, end, err);
		if (r < 0)
			break;
		is_asked = server->polled[POLL_LISTENER].revents;
		is_passed = server->polled[POLL_GUESTS].revents;
		is_connected = server->polled[POLL_VSOCK].revents;
		if (is_asked || is_passed || is_connected || server->count > 0)
			server->idle_since = clock_now_ms();
		signals_take(server);
		answers_advance(server);
		if (server->value_fd >= 0 && clock_now_ms() >= server->value_until)
			server_value_forget(server);
		if (is_asked)
			requests_accept(server);
		if (is_passed)
			guests_accept(server, false);
		if (is_connected)
			guests_accept(server, true);
	}
	return r;
}

static void server_release(struct server *server)
{
	for (size_t i = 0; i < server->count; i++)
		serve_answer_close(&server->answers[i]);
	free(server->answers);
	free(server->polled);
	free(server->limits.limits);
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
		.unknown_lines = {UNKNOWN_LINES_MAX, clock_now_ms()},
		.idle_since = clock_now_ms(),
	};
	struct secret_pages pages = {0};
	sigset_t signals, before;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	server.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server.signal_fd < 0 || sigprocmask(SIG_BLOCK, &signals, &before) < 0)
		return error_set_errno(err, errno, "blocking signals");
	secret_pages_keep(&pages);
	/* A failure is reported to the units that ask. If the service failed to start instead, they
	 * would wait while systemd restarts it. */
	serve_source_update(&server.source, true);
	kept_take(&server);
	r = server_loop(&server, err);
	secret_pages_release(&pages);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
