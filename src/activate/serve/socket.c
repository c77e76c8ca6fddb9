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

#include "activate/serve/answer.h"
#include "activate/serve/serve.h"
#include "base/cleanup.h"

#define FIRST_FD      3 /* SD_LISTEN_FDS_START */
#define INHERITED_MAX 32768
#define KEPT_NAME     "answer"

static bool is_listening(int fd)
{
	int domain = 0, type = 0, listening = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
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

/* Whether all names after the first, as in "SOCKET:answer:answer", are those of kept connections.
 */
static bool names_are_kept(long count)
{
	const char *names = getenv("LISTEN_FDNAMES");

	for (long i = 1; i < count; i++) {
		names = names ? strchr(names, ':') : NULL;
		if (!names || strncmp(names, ":" KEPT_NAME, strlen(":" KEPT_NAME)) != 0)
			return false;
		names += strlen(":" KEPT_NAME);
		if (*names != ':' && *names != '\0')
			return false;
	}
	return true;
}

int serve_socket_inherited(size_t *kept_count, struct error *err)
{
	const long count = variable_number("LISTEN_FDS");

	if (variable_number("LISTEN_PID") != getpid() || count < 1 || count > INHERITED_MAX ||
	    !names_are_kept(count)) {
		error_set(err, VMCRED_USAGE, "expected one socket from systemd");
		return error_hint(err, "run `systemctl start vmcred.socket`; the first request "
				       "starts vmcred serve");
	}
	if (!is_listening(FIRST_FD)) {
		error_set(err, VMCRED_USAGE,
			  "the socket from systemd is not a listening Unix stream socket");
		return error_hint(err, "vmcred.socket needs ListenStream=/... and Accept=no");
	}
	/* Nonblocking: a peer can be gone when its connection is accepted. */
	for (int fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
		    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
			return error_set_errno(err, errno, "setting up the sockets from systemd");
	}
	*kept_count = (size_t)count - 1;
	return FIRST_FD;
}

void serve_socket_keep(int fd)
{
	static const char text[] = "FDSTORE=1\nFDNAME=" KEPT_NAME;
	const char *path = getenv("NOTIFY_SOCKET");
	const size_t length = path ? strlen(path) : 0;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
				.cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec message = {.iov_base = (char *)text, .iov_len = sizeof(text) - 1};
	struct msghdr datagram = {
		.msg_name = &address,
		.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length),
		.msg_iov = &message,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	_cleanup_close_ int notify = -1;

	/* Started without systemd, as by a test. */
	if (length < 2 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify >= 0)
		(void)sendmsg(notify, &datagram, MSG_NOSIGNAL);
}
