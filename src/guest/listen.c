/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to vmcred-guest.socket. Each is answered by a child, so that none waits for
 * another.
 *
 * systemd would take a connection that only ends for an empty credential, and a part of a value for
 * all of it. So systemd does not accept connections itself: one that is not accepted yet waits. If
 * a child is killed, this process refuses its request. If this process is killed, the next one
 * does: systemd keeps a second descriptor of each connection (load_socket_keep()).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "guest/guest.h"
#include "load/load.h"

#define ASKERS_MAX       64 /* the others wait in the socket's queue */
#define IDLE_MS          ((int64_t)30 * 1000)
#define STOP_MS          ((int64_t)10 * 1000) /* less than TimeoutStopSec= of vmcred-guest.service */
#define REFUSE_TIMEOUT_S 5                    /* systemd reads at once */

/* A unit that waits for an answer. */
struct asker {
	pid_t child; /* 0: none */
	int fd;
};

struct listener {
	int listen_fd, signal_fd;
	struct asker askers[ASKERS_MAX];
	size_t count;
	int64_t end; /* exit then, if there are no requests; once `is_stopping`, in any case */
	bool is_stopping;
	sigset_t signals_before;
};

static void fd_refuse(int fd)
{
	const struct timeval timeout = {.tv_sec = REFUSE_TIMEOUT_S};

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	guest_refuse(fd);
	(void)shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* Those that an earlier process accepted, which was killed. */
static void kept_refuse(const struct load_sockets *sockets)
{
	for (int fd = sockets->kept_fd; fd < sockets->kept_fd + (int)sockets->kept_count; fd++) {
		struct pollfd kept = {.fd = fd};

		/* One that was answered was shut down. */
		if (poll(&kept, 1, 0) == 1 && (kept.revents & POLLHUP)) {
			close(fd);
			continue;
		}
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
		fd_refuse(fd);
	}
}

static void children_reap(struct listener *listener)
{
	int status;
	pid_t child;

	while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < listener->count; i++) {
			const struct asker asker = listener->askers[i];

			if (asker.child != child)
				continue;
			listener->askers[i] = listener->askers[--listener->count];
			if (WIFEXITED(status)) {
				(void)shutdown(asker.fd, SHUT_RDWR);
				close(asker.fd);
			} else {
				fd_refuse(asker.fd);
			}
			break;
		}
	}
	if (!listener->is_stopping)
		listener->end = clock_now_ms() + IDLE_MS;
}

static void signals_take(struct listener *listener)
{
	struct signalfd_siginfo info;

	while (read(listener->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			children_reap(listener);
		} else if (!listener->is_stopping) {
			listener->is_stopping = true;
			listener->end = clock_now_ms() + STOP_MS;
		}
	}
}

/* Accepts a connection. Returns true in the child that answers it, with its descriptor. */
static bool connection_take(struct listener *listener, int *fd)
{
	pid_t child;

	*fd = accept4(listener->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (*fd < 0)
		return false;
	load_socket_keep(*fd);
	child = fork();
	if (child == 0) {
		(void)sigprocmask(SIG_SETMASK, &listener->signals_before, NULL);
		return true;
	}
	if (child < 0)
		fd_refuse(*fd);
	else
		listener->askers[listener->count++] = (struct asker){child, *fd};
	return false;
}

static void listener_release(struct listener *listener)
{
	if (listener->signal_fd >= 0)
		close(listener->signal_fd);
}

/* Ends what takes too long, after SIGTERM. */
static void askers_refuse(struct listener *listener)
{
	for (size_t i = 0; i < listener->count; i++) {
		kill(listener->askers[i].child, SIGKILL);
		fd_refuse(listener->askers[i].fd);
	}
}

int guest_listen(const char *host, const struct report *report, struct error *err)
{
	__attribute__((cleanup(listener_release))) struct listener listener = {.signal_fd = -1};
	struct load_sockets sockets;
	sigset_t signals;
	int r = load_sockets_inherited("vmcred-guest.socket", &sockets, err);

	if (r < 0)
		return r;
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	listener.listen_fd = sockets.listen_fd;
	listener.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (listener.signal_fd < 0 ||
	    sigprocmask(SIG_BLOCK, &signals, &listener.signals_before) < 0)
		return error_set_errno(err, errno, "blocking signals");
	kept_refuse(&sockets);
	listener.end = clock_now_ms() + IDLE_MS;
	for (;;) {
		const int64_t left = listener.end - clock_now_ms();
		const bool may_wait = listener.count > 0 && !listener.is_stopping;
		const bool may_accept = !listener.is_stopping && listener.count < ASKERS_MAX;
		struct pollfd polled[] = {
			{.fd = listener.signal_fd, .events = POLLIN},
			{.fd = may_accept ? listener.listen_fd : -1, .events = POLLIN},
		};
		int fd;

		if ((listener.is_stopping && listener.count == 0) || (!may_wait && left <= 0))
			break;
		if (poll(polled, 2, may_wait ? -1 : (int)left) < 0 && errno != EINTR)
			return error_set_errno(err, errno, "waiting for requests");
		if (polled[0].revents)
			signals_take(&listener);
		if (polled[1].revents && connection_take(&listener, &fd))
			return guest_serve(fd, host, report, err);
	}
	askers_refuse(&listener);
	return 0;
}
