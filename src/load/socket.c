/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptors that systemd passes and keeps: sd_listen_fds(3), sd_notify(3).
 *
 * If this process is killed, its connections are closed, and systemd would take what was sent for
 * the whole credential. So systemd itself keeps a second descriptor of each until it is answered
 * (FDSTORE=1), and passes it to the next process, which refuses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "load/load.h"

#define FIRST_FD      3 /* SD_LISTEN_FDS_START */
#define INHERITED_MAX 32768
#define KEPT_NAME     "answer"
#define VSOCK_NAME    "vmcred-vsock.socket"
#define SOCKETS_MAX   3

static bool is_socket(int fd, int domain, int type)
{
	int own_domain = 0, own_type = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &own_domain, &size) == 0 &&
	       own_domain == domain && getsockopt(fd, SOL_SOCKET, SO_TYPE, &own_type, &size) == 0 &&
	       own_type == type;
}

static bool is_listening(int fd, int domain)
{
	int listening = 0;
	socklen_t size = sizeof(int);

	return is_socket(fd, domain, SOCK_STREAM) &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* The value of a variable that is a number; else -1. */
static long variable_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long number;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	number = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' ? number : -1;
}

/* Whether the socket with that number has that name. */
static bool has_name(int number, const char *name)
{
	const char *names = getenv("LISTEN_FDNAMES");
	size_t size;

	for (int i = 0; names && i < number; i++) {
		names = strchr(names, ':');
		names += names ? 1 : 0;
	}
	size = names ? strcspn(names, ":") : 0;
	return size == strlen(name) && strncmp(names, name, size) == 0;
}

/* Counts the kept connections, which come last, by the names, as in "SOCKET:answer:answer". */
static long kept_count(long count)
{
	const char *names = getenv("LISTEN_FDNAMES");
	long kept = 0;

	for (long i = 0; names && i < count; i++) {
		const size_t size = strcspn(names, ":");

		if (size == strlen(KEPT_NAME) && strncmp(names, KEPT_NAME, size) == 0)
			kept++;
		else if (kept > 0)
			return -1;
		names = names[size] ? names + size + 1 : NULL;
	}
	return kept;
}

int load_sockets_inherited(const char *unit, struct load_sockets *sockets, struct error *err)
{
	static const int on = 1;
	const long count = variable_number("LISTEN_FDS");
	const long kept =
		variable_number("LISTEN_PID") == getpid() && count >= 1 && count <= INHERITED_MAX
			? kept_count(count)
			: -1;
	const int end = FIRST_FD + (int)(count - kept);

	*sockets = (struct load_sockets){.listen_fd = -1, .datagram_fd = -1, .vsock_fd = -1};
	/* The order of the sockets is not defined. */
	for (int fd = FIRST_FD; kept >= 0 && fd < end && fd < FIRST_FD + SOCKETS_MAX; fd++) {
		/* A Unix socket of that name is one of a test. */
		if (has_name(fd - FIRST_FD, VSOCK_NAME) &&
		    (is_listening(fd, AF_VSOCK) || is_listening(fd, AF_UNIX)))
			sockets->vsock_fd = fd;
		else if (end > FIRST_FD + 1 && is_socket(fd, AF_UNIX, SOCK_DGRAM))
			sockets->datagram_fd = fd;
		else
			sockets->listen_fd = fd;
	}
	if (sockets->listen_fd < 0 ||
	    end - FIRST_FD > 1 + (sockets->datagram_fd >= 0) + (sockets->vsock_fd >= 0)) {
		error_set(err, VMCRED_USAGE, "expected one socket from systemd");
		return error_hint(err,
				  "run `systemctl start %s`; the first request starts the service",
				  unit);
	}
	if (!is_listening(sockets->listen_fd, AF_UNIX)) {
		error_set(err, VMCRED_USAGE,
			  "the socket from systemd is not a listening Unix stream socket");
		return error_hint(err, "%s needs ListenStream=/... and Accept=no", unit);
	}
	/* Nonblocking: a peer can be gone when its connection is accepted. */
	for (int fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
		    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
			return error_set_errno(err, errno, "setting up the sockets from systemd");
	}
	/* Each datagram says which process sent it. */
	if (sockets->datagram_fd >= 0 &&
	    setsockopt(sockets->datagram_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return error_set_errno(err, errno, "setting up the sockets from systemd");
	sockets->kept_fd = end;
	sockets->kept_count = (size_t)kept;
	return 0;
}

void load_socket_keep(int fd)
{
	static const char text[] = "FDSTORE=1\nFDNAME=" KEPT_NAME;
	const char *path = getenv("NOTIFY_SOCKET");
	const size_t length = path ? strlen(path) : 0;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct iovec message = {.iov_base = (char *)text, .iov_len = sizeof(text) - 1};
	const struct msghdr datagram = {
		.msg_name = &address,
		.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length),
		.msg_iov = &message,
		.msg_iovlen = 1,
	};
	_cleanup_close_ int notify = -1;

	/* Started without systemd, as by a test. */
	if (length < 2 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify >= 0)
		(void)fd_send(notify, datagram, &fd, 1);
}
