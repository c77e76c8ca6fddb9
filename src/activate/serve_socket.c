/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that systemd hands over: sd_listen_fds(3). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/activate.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static bool is_listening(int fd)
{
	int domain = 0, type = 0, listening = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* Whether the variable holds just that number. */
static bool variable_is(const char *name, long expected)
{
	const char *text = getenv(name);
	char *end;
	long number;

	if (!text || !*text)
		return false;
	errno = 0;
	number = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' && number == expected;
}

int serve_socket_inherited(struct error *err)
{
	if (!variable_is("LISTEN_PID", getpid()) || !variable_is("LISTEN_FDS", 1)) {
		error_set(err, VMCRED_USAGE, "systemd has handed over no socket, or several");
		return error_hint(err,
				  "`systemctl start vmcred.socket` starts it when it is asked");
	}
	if (!is_listening(FIRST_FD)) {
		error_set(err, VMCRED_USAGE,
			  "what systemd has handed over is no listening Unix stream socket");
		return error_hint(err, "vmcred.socket needs ListenStream=/… and Accept=no");
	}
	/* Accepting must not wait where the peer has gone meanwhile. */
	if (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(FIRST_FD, F_SETFL, fcntl(FIRST_FD, F_GETFL) | O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "taking over the socket");
	return FIRST_FD;
}
