/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread and poll(2): a request costs a decryption, a fraction of a millisecond, and its answer
 * fits into the socket's buffer unless it is very large. So a thousand units that start together
 * wait in the socket's queue for tenths of a second.
 *
 * Plaintext is decrypted for each request and not kept: a document of the store holds one secret, a
 * unit asks for it once, and what is not there cannot be taken.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/activate.h"
#include "activate/serve_answer.h"
#include "activate/serve_declaration.h"
#include "activate/serve_policy.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define ANSWERS_MAX       512 /* half of the usual limit of descriptors */
#define PLAIN_MAX         64  /* of those, with plaintext: 64 MiB at the most */
#define ACCEPTS_AT_A_TIME 64  /* then those that wait have their turn */
#define PLAIN_MS          ((int64_t)30 * 1000)
#define STOP_MS           ((int64_t)5 * 1000)
#define ACCEPT_FAILED_MS  ((int64_t)100)
#define POLL_SIGNALS      0
#define POLL_LISTENER     1
#define POLL_FIRST_ANSWER 2

struct server {
	const struct serve_options *options;
	const struct report *report;
	struct serve_declaration declaration;
	struct serve_answer answers[ANSWERS_MAX];
	size_t count;
	int64_t accept_after; /* accept(2) has failed: not before */
	int64_t idle_since;
	int64_t stop_at; /* 0: not asked to stop */
};

static void server_release(struct server *server)
{
	for (size_t i = 0; i < server->count; i++)
		serve_answer_release(&server->answers[i]);
	serve_declaration_release(&server->declaration);
}

/* Which machine's secrets; the declaration may have become another one. */
static const char *machine_get(const struct server *server, struct error *err)
{
	const struct config *config = &server->declaration.config;

	if (server->options->machine)
		return config_machine_get(config, server->options->machine, err)
			       ? server->options->machine
			       : NULL;
	if (config->machine_count == 1)
		return config->machines[0].name;
	error_set(err, VMCRED_USAGE, "%s declares %zu machines", config->path,
		  config->machine_count);
	error_hint(err, "say which with --machine NAME");
	return NULL;
}

static void warn(const struct server *server, const struct error *err, const char *what)
{
	_cleanup_free_ char *line = error_line(err);

	report_message(server->report, REPORT_WARNING, "%s: %s", what,
		       line ? line : "out of memory");
}

static void declaration_update(struct server *server, bool force)
{
	_cleanup_error_ struct error err = {0};
	int r = serve_declaration_update(&server->declaration, server->options->config, force,
					 &err);

	if (r < 0)
		warn(server, &err, "going on with the declaration as it was");
	else if (r > 0)
		report_message(server->report, REPORT_INFO, "read %s",
			       server->declaration.config.path);
}

/* Only root may ask: systemd does it as itself, or as its child before that drops its rights. */
static int peer_check(int fd, struct ucred *peer, struct error *err)
{
	socklen_t size = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0)
		return error_set_errno(err, errno, "asking who the peer is");
	if (peer->uid != 0 && peer->pid != 1)
		return error_set(err, VMCRED_USAGE, "the peer is the user %u: only root may ask",
				 (unsigned int)peer->uid);
	return 0;
}

/* Decrypts what the peer asks for, if it gets it. `who` says who asked for what, as far as known.
 */
static int request_answer(const struct server *server, const struct ucred *peer,
			  struct serve_answer *answer, struct error *err)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);
	struct serve_address asked;
	const struct config_load *load = NULL;
	struct vars_location location = {0};
	const char *machine;
	int r;

	(void)snprintf(answer->who, sizeof(answer->who), "process %d", (int)peer->pid);
	if (getpeername(answer->fd, (struct sockaddr *)&address, &size) < 0)
		return error_set_errno(err, errno, "asking for the peer's address");
	r = serve_address_parse(&address, size, &asked, err);
	if (r < 0)
		return r;
	(void)snprintf(answer->who, sizeof(answer->who), "%s%s to %s (process %d)",
		       asked.credential, asked.is_full ? "..." : "", asked.unit, (int)peer->pid);
	machine = machine_get(server, err);
	if (!machine)
		return -(int)err->code;
	r = serve_policy_find(&server->declaration.config, machine, &asked, &load, &location, err);
	if (r < 0)
		return r;
	r = vars_store_read(server->declaration.store_dirfd, &location, server->options->identities,
			    &answer->value, err);
	if (r == 0 && answer->value.size > VARS_SECRET_SIZE_MAX)
		r = error_set(err, VMCRED_FAILED, "%s/%s is larger than systemd takes",
			      load->generator, load->file);
	if (r == 0)
		(void)snprintf(answer->who, sizeof(answer->who), "%s to %s (process %d)",
			       load->credential, asked.unit, (int)peer->pid);
	return r;
}

/* Sends what can be sent; returns whether the answer is over and was released. */
static bool answer_advance(const struct server *server, struct serve_answer *answer)
{
	enum serve_progress progress = serve_answer_send(answer);

	if (progress == SERVE_WAITS)
		return false;
	if (progress == SERVE_GONE && !answer->is_spoilt)
		report_message(server->report, REPORT_WARNING,
			       "giving %s: the peer has hung up before the end", answer->who);
	else if (!answer->is_spoilt)
		report_message(server->report, REPORT_INFO, "gave %s", answer->who);
	serve_answer_release(answer);
	return true;
}

static void request_take(struct server *server, int fd)
{
	_cleanup_error_ struct error err = {0};
	struct serve_answer *answer = &server->answers[server->count];
	struct ucred peer = {0};

	*answer = (struct serve_answer){.fd = fd, .deadline = clock_now_ms() + PLAIN_MS};
	/* No unit waits for it, and nothing of ours shall. */
	if (peer_check(fd, &peer, &err) < 0) {
		warn(server, &err, "hung up");
		serve_answer_release(answer);
		return;
	}
	if (request_answer(server, &peer, answer, &err) < 0) {
		_cleanup_free_ char *what = NULL;

		warn(server, &err,
		     asprintf(&what, "refused %s", answer->who) < 0 ? "refused" : what);
		serve_answer_spoil(answer);
	}
	if (!answer_advance(server, answer))
		server->count++;
}

static size_t plain_count(const struct server *server)
{
	size_t count = 0;

	for (size_t i = 0; i < server->count; i++)
		count += !server->answers[i].is_spoilt;
	return count;
}

static bool may_accept(const struct server *server)
{
	return server->stop_at == 0 && server->count < ANSWERS_MAX &&
	       plain_count(server) < PLAIN_MAX && clock_now_ms() >= server->accept_after;
}

static void requests_accept(struct server *server)
{
	for (int i = 0; i < ACCEPTS_AT_A_TIME && may_accept(server); i++) {
		int fd = accept4(server->options->listen_fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			/* What was declared before a unit asks holds for it. */
			declaration_update(server, false);
			request_take(server, fd);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			report_message(server->report, REPORT_WARNING,
				       "taking a connection: %s: it waits", strerror(errno));
			server->accept_after = clock_now_ms() + ACCEPT_FAILED_MS;
		}
		return;
	}
}

/* Those whose peer takes more, or has hung up, and those who have had their time. */
static void answers_advance(struct server *server, const struct pollfd *polled)
{
	size_t kept = 0;
	int64_t now = clock_now_ms();

	for (size_t i = 0; i < server->count; i++) {
		struct serve_answer *answer = &server->answers[i];

		if (polled[i].revents && answer_advance(server, answer))
			continue;
		if (!answer->is_spoilt && now >= answer->deadline) {
			report_message(server->report, REPORT_WARNING,
				       "giving %s: the peer does not read: what is left is spoilt",
				       answer->who);
			serve_answer_spoil(answer);
		}
		if (kept != i)
			server->answers[kept] = *answer;
		kept++;
	}
	server->count = kept;
}

/* SIGHUP reads the declaration anew, SIGTERM and SIGINT end. */
static void signals_take(struct server *server, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			declaration_update(server, true);
		else if (server->stop_at == 0)
			server->stop_at = clock_now_ms() + STOP_MS;
	}
}

/* Milliseconds until something has to be done although nothing happens; -1: never. */
static int wait_ms(const struct server *server)
{
	int64_t now = clock_now_ms(), until = INT64_MAX;

	for (size_t i = 0; i < server->count; i++) {
		if (!server->answers[i].is_spoilt && server->answers[i].deadline < until)
			until = server->answers[i].deadline;
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

static int server_loop(struct server *server, int signal_fd, struct error *err)
{
	struct pollfd polled[POLL_FIRST_ANSWER + ANSWERS_MAX];

	while (!is_over(server)) {
		size_t count = server->count;

		polled[POLL_SIGNALS] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
		polled[POLL_LISTENER] = (struct pollfd){
			.fd = may_accept(server) ? server->options->listen_fd : -1,
			.events = POLLIN,
		};
		for (size_t i = 0; i < count; i++)
			polled[POLL_FIRST_ANSWER + i] =
				(struct pollfd){.fd = server->answers[i].fd, .events = POLLOUT};
		if (poll(polled, POLL_FIRST_ANSWER + count, wait_ms(server)) < 0 && errno != EINTR)
			return error_set_errno(err, errno, "waiting for requests");
		answers_advance(server, polled + POLL_FIRST_ANSWER);
		if (polled[POLL_SIGNALS].revents)
			signals_take(server, signal_fd);
		if (polled[POLL_LISTENER].revents)
			requests_accept(server);
		if (polled[POLL_LISTENER].revents || count > 0)
			server->idle_since = clock_now_ms();
	}
	return 0;
}

int serve_run(const struct serve_options *options, const struct report *report, struct error *err)
{
	__attribute__((cleanup(server_release))) struct server server = {
		.options = options,
		.report = report,
		.declaration = {.store_dirfd = -1},
		.idle_since = clock_now_ms(),
	};
	_cleanup_close_ int signal_fd = -1;
	sigset_t taken, before;
	int r = serve_declaration_update(&server.declaration, options->config, true, err);

	if (r < 0)
		return r;
	if (!machine_get(&server, err))
		return -(int)err->code;
	sigemptyset(&taken);
	sigaddset(&taken, SIGHUP);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0 || sigprocmask(SIG_BLOCK, &taken, &before) < 0)
		return error_set_errno(err, errno, "preparing for signals");
	r = server_loop(&server, signal_fd, err);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
