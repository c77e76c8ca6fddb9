/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/api_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "vmm/unix_socket.h"

/* Requests that may wait; the VMM takes them one after the other. */
#define BACKLOG 16

/* Both ends. Connecting succeeds before anybody accepts. */
static int ends_open(const char *path, struct api_socket *result, struct error *err)
{
	_cleanup_close_ int listener = -1;
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	int r;

	if (client < 0)
		return error_set_errno(err, errno, "making a socket");
	r = unix_socket_address(path, &address, err);
	if (r < 0)
		return r;
	listener = unix_socket_listen(&address, BACKLOG, err);
	if (listener < 0)
		return listener;
	if (connect(client, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fcntl(client, F_SETFL, O_NONBLOCK) < 0) {
		r = error_set_errno(err, errno, "opening the socket %s", path);
		unlink(path);
		return r;
	}
	result->listener = fd_release(&listener);
	result->client = fd_release(&client);
	return 0;
}

/* A new folder of this process's own, in the first place that allows one. */
static int folder_make(char **folder, struct error *err)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
	const char *places[] = {runtime, "/run", user, "/tmp"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *path = NULL;

		if (!places[i] || places[i][0] != '/')
			continue;
		/* $RUNTIME_DIRECTORY is a list with ':' between its folders, systemd.exec(5). */
		if (asprintf(&path, "%.*s/vmcred.XXXXXX", (int)strcspn(places[i], ":"), places[i]) <
		    0)
			return error_no_memory(err);
		if (mkdtemp(path)) {
			*folder = path;
			return 0;
		}
		free(path);
	}
	return error_set_errno(err, errno, "making a folder for the VMM's socket");
}

/* In a folder that is gone again before this returns. */
static int unnamed_create(struct api_socket *result, struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	_cleanup_free_ char *path = NULL;
	int r = folder_make(&folder, err);

	if (r < 0 || !folder)
		return r;
	path = path_join(folder, "api");
	if (!path) {
		rmdir(folder);
		return error_no_memory(err);
	}
	r = ends_open(path, result, err);
	if (r == 0)
		unlink(path);
	rmdir(folder);
	return r;
}

/* A signal that ends the process waits until the folder is gone. */
static int private_create(struct api_socket *result, struct error *err)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	r = unnamed_create(result, err);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* Who may write to a socket's file may connect to it; in the abstract name space all may. */
static int owner_alone_check(const struct sockaddr_un *address, socklen_t size, struct error *err)
{
	struct stat status;

	if (size <= offsetof(struct sockaddr_un, sun_path))
		return error_set(err, VMCRED_USAGE, "it has no name to connect to");
	if (address->sun_path[0] == '\0')
		return error_set(err, VMCRED_USAGE,
				 "its name is abstract: every process of this machine can connect "
				 "and ask for the OEM strings");
	if (stat(address->sun_path, &status) < 0)
		return error_set_errno(err, errno, "%s", address->sun_path);
	if (!(status.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	error_set(err, VMCRED_USAGE,
		  "%s has mode %04o: others than its owner can connect and ask for the OEM strings",
		  address->sun_path, status.st_mode & 07777);
	return error_hint(err, "make it with mode 0600 (SocketMode=0600 in a socket unit)");
}

/* A listening socket that we were started with: its file is not ours to make or to remove. */
static int inherited_open(int fd, struct api_socket *result, struct error *err)
{
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address), option_size = sizeof(int);
	int listens = 0, flags = fcntl(fd, F_GETFD), r;

	if (client < 0)
		return error_set_errno(err, errno, "making a socket");
	if (fd <= STDERR_FILENO || flags < 0 || (flags & FD_CLOEXEC) ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &option_size) < 0 || !listens ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.sun_family != AF_UNIX)
		return error_set(err, VMCRED_USAGE, "it is not a unix socket that listens");
	r = owner_alone_check(&address, size, err);
	if (r < 0)
		return r;
	if (connect(client, (const struct sockaddr *)&address, size) < 0 ||
	    fcntl(client, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set_errno(err, errno, "opening it");
	result->listener = fd;
	result->client = fd_release(&client);
	return 0;
}

/* "fd=N" */
static int inherited_create(const char *word, struct api_socket *result, struct error *err)
{
	char *end;
	long fd = strtol(word + 3, &end, 10);
	int r;

	if (word[3] == '\0' || *end || fd < 0 || fd > INT_MAX)
		r = error_set(err, VMCRED_USAGE, "it is not a descriptor");
	else
		r = inherited_open((int)fd, result, err);
	return r < 0 ? error_wrap(err, "the API socket %s", word) : 0;
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
