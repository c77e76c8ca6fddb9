/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that systemd hands over: sd_listen_fds(3), sd_notify(3). */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "activate/serve/socket.h"
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

/* The number that the variable holds and nothing else; -1: none. */
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

/* Whether all names behind the first, "SOCKET:answer:answer", are those of kept connections. */
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

static int take_over(int fd, struct error *err)
{
	/* Nothing may wait where the peer has gone meanwhile. */
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "taking over the sockets");
	return 0;
}

int serve_socket_inherited(size_t *kept_count, struct error *err)
{
	long count = variable_number("LISTEN_FDS");

	if (variable_number("LISTEN_PID") != getpid() || count < 1 || count > INHERITED_MAX ||
	    !names_are_kept(count)) {
		error_set(err, VMCRED_USAGE, "systemd has handed over no socket, or several");
		return error_hint(err,
				  "`systemctl start vmcred.socket` starts it when it is asked");
	}
	if (!is_listening(FIRST_FD)) {
		error_set(err, VMCRED_USAGE,
			  "what systemd has handed over is no listening Unix stream socket");
		return error_hint(err, "vmcred.socket needs ListenStream=/… and Accept=no");
	}
	for (long i = 0; i < count; i++) {
		int r = take_over(FIRST_FD + (int)i, err);

		if (r < 0)
			return r;
	}
	*kept_count = (size_t)count - 1;
	return FIRST_FD;
}

/* Where $NOTIFY_SOCKET is; 0: nowhere, or something that is not systemd's. */
static socklen_t notify_address(struct sockaddr_un *address)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || length >= sizeof(address->sun_path) || (path[0] != '/' && path[0] != '@'))
		return 0;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, length);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

void serve_socket_keep(int fd)
{
	static const char text[] = "FDSTORE=1\nFDNAME=" KEPT_NAME;
	_cleanup_close_ int notify = -1;
	struct sockaddr_un address;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec message = {.iov_base = (char *)text, .iov_len = sizeof(text) - 1};
	struct msghdr datagram = {
		.msg_name = &address,
		.msg_namelen = notify_address(&address),
		.msg_iov = &message,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	if (datagram.msg_namelen == 0)
		return;
	notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS,
					  .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (notify >= 0)
		(void)sendmsg(notify, &datagram, MSG_NOSIGNAL);
}
