/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "vmm/notify.h"
#include "vmm/unix_socket.h"

/*
 * A guest sends its message and shuts down its side; Cloud Hypervisor up to v52 does not forward
 * the shutdown, so silence ends a message too. CONNECTION_MS limits a connection in any case.
 */
#define SILENCE_MS    50
#define CONNECTION_MS 1000

/* A booting guest sends about three messages a second, and one for each target that it reaches; its
 * PID 1 waits for each. */
#define ALLOWANCE_MAX        256
#define ALLOWANCE_PER_SECOND 64

#define BACKLOG 16

static int vsock_listen(struct notify *notify, struct error *err)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = notify->port > 0 ? notify->port : VMADDR_PORT_ANY,
	};
	socklen_t size = sizeof(address);

	notify->listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (notify->listener < 0 ||
	    bind(notify->listener, (const struct sockaddr *)&address, size) < 0 ||
	    listen(notify->listener, BACKLOG) < 0 ||
	    getsockname(notify->listener, (struct sockaddr *)&address, &size) < 0)
		return error_set_errno(err, errno, "listening on a vsock port");
	notify->port = address.svm_port;
	return 0;
}

int notify_listen(struct notify *notify, const struct vmm_vsock *vsock, uint32_t port,
		  struct error *err)
{
	int r;

	notify->connections = calloc(NOTIFY_CONNECTIONS_MAX, sizeof(*notify->connections));
	if (!notify->connections)
		return error_no_memory(err);
	for (size_t i = 0; i < NOTIFY_CONNECTIONS_MAX; i++)
		notify->connections[i].fd = -1;
	notify->cid = vsock->cid;
	notify->port = port;
	notify->allowance = (struct allowance){ALLOWANCE_MAX, clock_now_ms()};
	if (vsock->socket) {
		notify->listener =
			unix_socket_listen_port(vsock->socket, port, BACKLOG, &notify->path, err);
		r = notify->listener < 0 ? notify->listener : 0;
	} else {
		r = vsock_listen(notify, err);
	}
	if (r == 0 && fcntl(notify->listener, F_SETFL, O_NONBLOCK) < 0)
		r = error_set_errno(err, errno, "listening on a vsock port");
	return r < 0 ? error_wrap(err, "listening for messages from the guest") : 0;
}

static struct notify_connection *connection_free(const struct notify *notify)
{
	for (size_t i = 0; i < NOTIFY_CONNECTIONS_MAX; i++) {
		if (notify->connections[i].fd < 0)
			return &notify->connections[i];
	}
	return NULL;
}

static void deadline_lower(int64_t *deadline, int64_t other)
{
	if (other < *deadline)
		*deadline = other;
}

size_t notify_poll(struct notify *notify, struct pollfd *fds, int64_t *deadline)
{
	size_t count = 0;

	if (notify->waiting)
		fds[count++] = (struct pollfd){.fd = notify->fd, .events = POLLOUT};
	if (notify->listener < 0)
		return count;
	allowance_update(&notify->allowance, ALLOWANCE_MAX, ALLOWANCE_PER_SECOND, clock_now_ms());
	if (notify->allowance.left <= 0)
		deadline_lower(deadline, notify->allowance.at + 1000 / ALLOWANCE_PER_SECOND + 1);
	else if (connection_free(notify))
		fds[count++] = (struct pollfd){.fd = notify->listener, .events = POLLIN};
	for (size_t i = 0; i < NOTIFY_CONNECTIONS_MAX; i++) {
		const struct notify_connection *connection = &notify->connections[i];

		if (connection->fd < 0)
			continue;
		fds[count++] = (struct pollfd){.fd = connection->fd, .events = POLLIN};
		deadline_lower(deadline, connection->deadline);
	}
	return count;
}

/* Every process of the host and every guest can connect to a vsock port of the host. */
static bool peer_is_the_guest(const struct notify *notify, const struct sockaddr_storage *peer)
{
	const struct sockaddr_vm *address = (const struct sockaddr_vm *)peer;

	return notify->path || (peer->ss_family == AF_VSOCK && address->svm_cid == notify->cid);
}

static void connections_accept(struct notify *notify, int64_t now)
{
	struct notify_connection *connection;
	int left = BACKLOG; /* strangers use no allowance */

	while (left-- > 0 && notify->allowance.left > 0 && (connection = connection_free(notify))) {
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof(peer);
		int fd = accept4(notify->listener, (struct sockaddr *)&peer, &size,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (!peer_is_the_guest(notify, &peer)) {
			close(fd);
			continue;
		}
		notify->allowance.left--;
		connection->fd = fd;
		connection->size = 0;
		connection->deadline = now + CONNECTION_MS;
	}
}

static void connection_end(struct notify *notify, struct notify_connection *connection,
			   bool complete)
{
	static const char ready[] = "\n" NOTIFY_READY;
	char message[NOTIFY_MESSAGE_MAX + sizeof(ready)];
	size_t size = 0;

	/* First, because the guest's PID 1 waits for it. */
	close(fd_release(&connection->fd));
	if (complete)
		size = notify_filter(span_of(connection->message, connection->size), message);
	message[size] = '\0';
	if (size > 0) {
		report_message(notify->report, REPORT_DEBUG, "message from the guest: %s", message);
		if (notify->ready_field && notify_has_field(message, notify->ready_field) &&
		    !notify_has_field(message, NOTIFY_READY))
			memcpy(message + size, ready, sizeof(ready));
		notify_send(notify, message);
	} else if (connection->size > 0) {
		report_message(notify->report, REPORT_DEBUG, "dropped a message from the guest");
	}
}

/* Whether the connection is still open. */
static bool connection_read(struct notify *notify, struct notify_connection *connection,
			    int64_t now)
{
	for (;;) {
		size_t room = sizeof(connection->message) - connection->size;
		ssize_t got = recv(connection->fd, connection->message + connection->size, room, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return true;
		if (got <= 0 || (size_t)got == room) {
			connection_end(notify, connection, got == 0);
			return false;
		}
		connection->size += (size_t)got;
		deadline_lower(&connection->deadline, now + SILENCE_MS);
	}
}

void notify_relay(struct notify *notify)
{
	int64_t now = clock_now_ms();

	notify_flush(notify, 0);
	if (notify->listener < 0)
		return;
	connections_accept(notify, now);
	for (size_t i = 0; i < NOTIFY_CONNECTIONS_MAX; i++) {
		struct notify_connection *connection = &notify->connections[i];

		if (connection->fd >= 0 && connection_read(notify, connection, now) &&
		    now >= connection->deadline)
			connection_end(notify, connection, true);
	}
}
