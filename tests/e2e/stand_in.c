/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor stand-in that starts in a millisecond, for tests with hundreds of launches. It
 * answers every request on the socket `--api-socket fd=N` with 204, up to vmm.shutdown, and reads
 * each /dev/fd/N of its arguments. Then it prints `running` and waits for SIGTERM, or ends at once
 * if $STAND_IN_ENDS is set.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_SIZE_MAX ((size_t)256 * 1024)

static char request[REQUEST_SIZE_MAX + 1];

/* Whether the request is complete. */
static bool request_is_whole(size_t size)
{
	const char *end = strstr(request, "\r\n\r\n"),
		   *length = strcasestr(request, "content-length:");

	if (!end)
		return false;
	if (!length || length > end)
		return true;
	return size >=
	       (size_t)(end + 4 - request) + strtoul(length + strlen("content-length:"), NULL, 10);
}

/* Reads one request. Returns its first line, or NULL at the end of the connection. */
static const char *request_read(int fd)
{
	size_t size = 0;
	ssize_t got;

	do {
		got = read(fd, request + size, REQUEST_SIZE_MAX - size);
		if (got <= 0)
			return NULL;
		size += (size_t)got;
		request[size] = '\0';
	} while (!request_is_whole(size));
	request[strcspn(request, "\r")] = '\0';
	return request;
}

static void connection_serve(int fd)
{
	static const char reply[] = "HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n";
	const char *line;

	while ((line = request_read(fd))) {
		bool is_boot = strstr(line, "vm.boot"), is_end = strstr(line, "vmm.shutdown");

		if (write(fd, reply, sizeof(reply) - 1) < 0)
			err(1, "reply");
		if (is_boot)
			dprintf(STDOUT_FILENO, "running\n");
		if (is_end || (is_boot && getenv("STAND_IN_ENDS")))
			exit(EXIT_SUCCESS);
	}
	close(fd);
}

static _Noreturn void api_serve(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			err(1, "accept");
		connection_serve(fd);
	}
}

static void file_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	while (read(fd, request, REQUEST_SIZE_MAX) > 0)
		continue;
	close(fd);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *path = strstr(argv[i], "=/dev/fd/");

		if (path)
			file_read(path + 1);
		else if (strcmp(argv[i - 1], "--api-socket") == 0)
			api_serve((int)strtol(argv[i] + strlen("fd="), NULL, 10));
	}
	dprintf(STDOUT_FILENO, "running\n");
	while (!getenv("STAND_IN_ENDS"))
		pause();
	return EXIT_SUCCESS;
}
