/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor stand-in that starts in a millisecond: it answers every request on the descriptor of
 * --api-socket (`cloud-hypervisor`), or every line on its monitor (`qemu-system-*`), and ends on
 * request. With --cmdline or -append "refuse" it answers the first request with an error; with
 * "die" it exits at the first request.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char text[256 * 1024];

/* The number after `key` in an argument, or -1. */
static int number_find(char *const *argv, const char *key)
{
	for (; *argv; argv++) {
		const char *found = strstr(*argv, key);

		if (found)
			return (int)strtol(found + strlen(key), NULL, 10);
	}
	return -1;
}

static bool word_find(char *const *argv, const char *word)
{
	while (*argv && strcmp(*argv, word) != 0)
		argv++;
	return *argv != NULL;
}

/* Reads until `end`, and the body of Content-Length after it. False at the end of the connection.
 */
static bool request_read(int fd, const char *end)
{
	size_t size = 0, whole = 0;

	while (whole == 0 || size < whole) {
		ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);
		const char *found, *length;

		if (got <= 0)
			return false;
		size += (size_t)got;
		text[size] = '\0';
		found = strstr(text, end);
		if (!found)
			continue;
		length = strstr(text, "Content-Length:");
		whole = (size_t)(found - text) + strlen(end) +
			(length ? strtoul(length + strlen("Content-Length:"), NULL, 10) : 0);
	}
	return true;
}

static void answer(int fd, const char *reply)
{
	if (write(fd, reply, strlen(reply)) < 0)
		exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	int listener = number_find(argv, "fd="), monitor = number_find(argv, ",fd=");
	bool dies = word_find(argv, "die"), refuses = word_find(argv, "refuse");
	int fd = monitor >= 0 ? monitor : listener >= 0 ? accept(listener, NULL, NULL) : -1;

	(void)argc;
	while (fd >= 0 && request_read(fd, monitor >= 0 ? "\n" : "\r\n\r\n")) {
		/* Cloud Hypervisor gets --cmdline in the request. */
		if (dies || strstr(text, "\"die\""))
			return 7;
		refuses = refuses || strstr(text, "\"refuse\"");
		if (monitor >= 0)
			answer(fd, refuses ? "{\"error\": {\"desc\": \"no\"}}\n"
					   : "{\"return\": {}}\n");
		else
			answer(fd, refuses ? "HTTP/1.1 500 \r\nContent-Length: 6\r\n\r\n[\"no\"]"
					   : "HTTP/1.1 204 \r\n\r\n");
		if (strstr(text, "vm.power-button") || strstr(text, "system_powerdown"))
			return 0;
	}
	/* Without a connection: until a signal. */
	pause();
	return 0;
}
