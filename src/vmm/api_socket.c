/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

/* Requests that may wait; the VMM takes them one after the other. */
#define BACKLOG 16

static int address_make(const char *path, struct sockaddr_un *address, struct error *err)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(err, VMCRED_FAILED,
				 "the path of the socket, %s, is longer than %zu bytes", path,
				 sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A socket that nobody listens on any more is in the way; one that is in use is not ours to take.
 */
static int stale_remove(const struct sockaddr_un *address, struct error *err)
{
	_cleanup_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat status;

	if (probe < 0)
		return error_set_errno(err, errno, "making a socket");
	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return error_set(err, VMCRED_FAILED, "%s is there and is not a socket",
				 address->sun_path);
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return error_set(err, VMCRED_FAILED, "the socket %s is in use", address->sun_path);
	if (errno != ECONNREFUSED || unlink(address->sun_path) < 0)
		return error_set_errno(err, errno, "taking over the old socket %s",
				       address->sun_path);
	return 0;
}

static int listener_bind(int fd, const struct sockaddr_un *address, struct error *err)
{
	int r;

	/* The mode of an unbound socket is the mode that bind() makes its file with: never wider.
	 */
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return error_set_errno(err, errno, "setting the mode of a socket");
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return error_set_errno(err, errno, "making the socket %s", address->sun_path);
	r = stale_remove(address, err);
	if (r < 0)
		return r;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return error_set_errno(err, errno, "making the socket %s", address->sun_path);
	return 0;
}

/* Both ends. Connecting succeeds before anybody accepts. */
static int ends_open(const char *path, struct api_socket *result, struct error *err)
{
	_cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	int r;

	if (listener < 0 || client < 0)
		return error_set_errno(err, errno, "making a socket");
	r = address_make(path, &address, err);
	if (r == 0)
		r = listener_bind(listener, &address, err);
	if (r < 0)
		return r;
	if (listen(listener, BACKLOG) < 0 ||
	    connect(client, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
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

static int private_create(struct api_socket *result, struct error *err)
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

int api_socket_create(const char *path, struct api_socket *result, struct error *err)
{
	int r;

	*result = API_SOCKET_NONE;
	if (!path)
		return private_create(result, err);
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
