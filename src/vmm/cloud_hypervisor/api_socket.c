/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/api_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/trusted/trusted.h"
#include "vmm/unix_socket.h"

/* Connections that may wait; the VMM accepts one at a time. */
#define BACKLOG 16

/*
 * Connects the client by the listener's name. A user who can write to its directory may have
 * replaced the file, and would get the OEM strings, so the peer must be the process that listens:
 * unix(7), SO_PEERCRED; for a listener it is that process, too.
 */
static int client_connect(int client, int listener, const struct sockaddr_un *address,
			  socklen_t size, struct error *err)
{
	struct ucred peer, expected;
	socklen_t peer_size = sizeof(peer), expected_size = sizeof(expected);

	if (connect(client, (const struct sockaddr *)address, size) < 0 ||
	    fcntl(client, F_SETFL, O_NONBLOCK) < 0 ||
	    getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0 ||
	    getsockopt(listener, SOL_SOCKET, SO_PEERCRED, &expected, &expected_size) < 0)
		return error_set_errno(err, errno, "connecting to socket %s", address->sun_path);
	return memcmp(&peer, &expected, sizeof(peer)) == 0
		       ? 0
		       : error_set(err, VMCRED_FAILED, "another process has replaced socket %s",
				   address->sun_path);
}

/* Opens both ends. connect(2) succeeds before the VMM accepts. */
static int ends_open(const char *path, struct api_socket *result, struct error *err)
{
	_cleanup_close_ int listener = -1;
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	int r;

	if (client < 0)
		return error_set_errno(err, errno, "creating a socket");
	r = unix_socket_address(path, &address, err);
	if (r < 0)
		return r;
	listener = unix_socket_listen(&address, BACKLOG, err);
	if (listener < 0)
		return listener;
	r = client_connect(client, listener, &address, sizeof(address), err);
	if (r < 0) {
		unlink(path);
		return r;
	}
	result->listener = fd_release(&listener);
	result->client = fd_release(&client);
	return 0;
}

/* A new private directory, in the first place where that works and others cannot replace it. */
static char *directory_create(void)
{
	const char *places[] = {getenv("RUNTIME_DIRECTORY"), "/run", getenv("XDG_RUNTIME_DIR"),
				"/tmp"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		_cleanup_error_ struct error ignored = {0};
		_cleanup_free_ char *place = NULL, *path = NULL;
		_cleanup_close_ int fd = -1;

		if (!places[i] || places[i][0] != '/')
			continue;
		/* $RUNTIME_DIRECTORY is a list separated by ':', systemd.exec(5). */
		place = strndup(places[i], strcspn(places[i], ":"));
		fd = place ? trusted_directory_open(place, &ignored) : -1;
		path = fd < 0 ? NULL : text_format("%s/vmcred.XXXXXX", place);
		if (path && mkdtemp(path))
			return pointer_release(&path);
	}
	return NULL;
}

/* Its name is removed before this returns; until then a signal that would end the process waits. */
static int private_create(struct api_socket *result, struct error *err)
{
	_cleanup_free_ char *directory = NULL, *path = NULL;
	sigset_t all, before;
	int r;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	directory = directory_create();
	path = directory ? text_format("%s/api", directory) : NULL;
	if (path)
		r = ends_open(path, result, err);
	else
		r = error_set_errno(err, errno, "creating a directory for the VMM's socket");
	if (r == 0)
		unlink(path);
	if (directory)
		rmdir(directory);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* Write permission on a socket file is permission to connect; an abstract name has no permissions.
 */
static int owner_only_check(const struct sockaddr_un *address, socklen_t size, struct error *err)
{
	struct stat status;

	if (size <= offsetof(struct sockaddr_un, sun_path))
		return error_set(err, VMCRED_USAGE, "it has no name");
	if (address->sun_path[0] == '\0')
		return error_set(err, VMCRED_USAGE,
				 "its name is abstract: every process of this host can connect and "
				 "read the OEM strings");
	if (stat(address->sun_path, &status) < 0)
		return error_set_errno(err, errno, "%s", address->sun_path);
	if (!(status.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	error_set(err, VMCRED_USAGE,
		  "%s has mode %04o: other users can connect and read the OEM strings",
		  address->sun_path, status.st_mode & 07777);
	return error_hint(err, "create it with mode 0600 (SocketMode=0600 in a socket unit)");
}

/* An inherited listening socket. Its creator removes its file. */
static int inherited_open(int fd, struct api_socket *result, struct error *err)
{
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address), option_size = sizeof(int);
	int listens = 0, flags = fcntl(fd, F_GETFD), r;

	if (client < 0)
		return error_set_errno(err, errno, "creating a socket");
	if (fd <= STDERR_FILENO || flags < 0 || (flags & FD_CLOEXEC) ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &option_size) < 0 || !listens ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.sun_family != AF_UNIX)
		return error_set(err, VMCRED_USAGE, "it is not a listening unix socket");
	r = owner_only_check(&address, size, err);
	if (r < 0)
		return r;
	r = client_connect(client, fd, &address, size, err);
	if (r < 0)
		return r;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set_errno(err, errno, "keeping it");
	result->listener = fd;
	result->client = fd_release(&client);
	return 0;
}

/* "fd=N" */
static int inherited_create(const char *text, struct api_socket *result, struct error *err)
{
	char *end;
	long fd = strtol(text + 3, &end, 10);
	int r;

	if (text[3] == '\0' || *end || fd < 0 || fd > INT_MAX)
		r = error_set(err, VMCRED_USAGE, "it is not a descriptor");
	else
		r = inherited_open((int)fd, result, err);
	return r < 0 ? error_wrap(err, "--api-socket %s", text) : 0;
}

int api_socket_create(const char *path, struct api_socket *result, struct error *err)
{
	int r;

	*result = API_SOCKET_NONE;
	if (!path)
		return private_create(result, err);
	if (strncmp(path, "fd=", 3) == 0)
		return inherited_create(path, result, err);
	r = ends_open(path, result, err);
	if (r < 0)
		return r;
	result->path = strdup(path);
	if (!result->path) {
		unlink(path);
		return error_no_memory(err);
	}
	return 0;
}

void api_socket_destroy(struct api_socket *socket)
{
	if (socket->listener >= 0)
		close(socket->listener);
	if (socket->client >= 0)
		close(socket->client);
	if (socket->path)
		unlink(socket->path);
	free(socket->path);
	*socket = API_SOCKET_NONE;
}
