/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

int unix_socket_address(const char *path, struct sockaddr_un *address, struct error *err)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(err, VMCRED_FAILED, "socket path %s is longer than %zu bytes",
				 path, sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A stale socket is one on which no process listens any more. */
static int stale_remove(const struct sockaddr_un *address, struct error *err)
{
	_cleanup_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat status;

	if (probe < 0)
		return error_set_errno(err, errno, "creating a socket");
	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return error_set(err, VMCRED_FAILED, "%s exists and is not a socket",
				 address->sun_path);
	/* EAGAIN: it is in use, and its queue is full. */
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		return error_set(err, VMCRED_FAILED, "socket %s is in use", address->sun_path);
	if (errno != ECONNREFUSED || unlink(address->sun_path) < 0)
		return error_set_errno(err, errno, "replacing the stale socket %s",
				       address->sun_path);
	return 0;
}

static int socket_bind(int fd, const struct sockaddr_un *address, struct error *err)
{
	int r;

	/* bind() creates the file with the mode of the unbound socket. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return error_set_errno(err, errno, "setting the mode of a socket");
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return error_set_errno(err, errno, "creating socket %s", address->sun_path);
	r = stale_remove(address, err);
	if (r < 0)
		return r;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return error_set_errno(err, errno, "creating socket %s", address->sun_path);
	return 0;
}

int unix_socket_listen(const struct sockaddr_un *address, int backlog, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return error_set_errno(err, errno, "creating a socket");
	r = socket_bind(fd, address, err);
	if (r < 0)
		return r;
	if (listen(fd, backlog) < 0) {
		r = error_set_errno(err, errno, "listening on socket %s", address->sun_path);
		unlink(address->sun_path);
		return r;
	}
	return fd_release(&fd);
}

int unix_socket_listen_port(const char *socket_path, uint32_t port, int backlog, char **path,
			    struct error *err)
{
	_cleanup_free_ char *name = text_format("%s_%u", socket_path, port);
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address;
	int r = name ? unix_socket_address(name, &address, err) : error_no_memory(err);

	if (r == 0)
		r = fd = unix_socket_listen(&address, backlog, err);
	if (r < 0)
		return r;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		r = error_set_errno(err, errno, "listening on socket %s", name);
		unlink(name);
		return r;
	}
	*path = pointer_release(&name);
	return fd_release(&fd);
}

void unix_socket_remove_stale(const char *path)
{
	_cleanup_error_ struct error ignored = {0};
	struct sockaddr_un address;
	struct stat status;

	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
	    unix_socket_address(path, &address, &ignored) == 0)
		(void)stale_remove(&address, &ignored);
}
