/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "vmm/qemu/qemu.h"

/* Allocating all memory of a large guest takes minutes. */
#define START_TIMEOUT_MS 600000

/* The greeting and events have a few hundred bytes. */
#define LINE_SIZE_MAX 8192

/* A name that no user's option will have. */
#define CHARDEV "vmcred-monitor"

/*
 * A monitor in a file of -readconfig. -mon, -qmp and -monitor would switch off QEMU's default
 * monitor, which is what makes Ctrl-C reach the guest and Ctrl-A work with -nographic.
 */
static const char config[] = "[mon \"" CHARDEV "\"]\n"
			     "  chardev = \"" CHARDEV "\"\n"
			     "  mode = \"control\"\n";

int qmp_open(struct qemu_command *command, int *monitor, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(err, errno, "creating a socket");
	*monitor = ends[0];
	r = qemu_command_keep(command, ends[1], err);
	if (r == 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		r = error_set_errno(err, errno, "creating a socket");
	if (r == 0)
		r = strings_add(&command->argv, "-chardev", err);
	if (r == 0)
		r = strings_add_format(&command->argv, err, "socket,id=" CHARDEV ",fd=%d", ends[1]);
	if (r == 0)
		r = strings_add(&command->argv, "-readconfig", err);
	if (r < 0)
		return r;
	path = qemu_command_add_file(command, span_of_text(config), false, err);
	return path ? strings_add(&command->argv, path, err) : -(int)err->code;
}

int qmp_send(int monitor, const char *command, struct error *err)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "{\"execute\":\"%s\"}\n", command);

	/* So short that the socket accepts all of it or nothing. */
	if (length < 0 || (size_t)length >= sizeof(line) ||
	    send(monitor, line, (size_t)length, MSG_NOSIGNAL) != length)
		return error_set_errno(err, errno, "%s: writing to QEMU's monitor", command);
	return 0;
}

/* Whether the line is an answer, unlike the greeting and events. Negative: it reports an error. */
static int line_read(struct span line, struct error *err)
{
	_cleanup_json_ json_t *value = NULL;
	int r = json_parse(line, "QEMU's monitor", &value, err);

	if (r < 0)
		return r;
	/* Its text is not shown: QEMU has the credentials. */
	if (json_object_get(value, "error"))
		return error_set(err, VMCRED_FAILED, "QEMU's monitor refused a command");
	return json_object_get(value, "return") ? 1 : 0;
}

struct lines {
	uint8_t bytes[LINE_SIZE_MAX];
	size_t size;
};

/* Reads what is available. Positive: the answer has arrived. */
static int lines_read(struct lines *lines, int fd, struct error *err)
{
	ssize_t got = recv(fd, lines->bytes + lines->size, sizeof(lines->bytes) - lines->size, 0);
	const uint8_t *newline;

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (got <= 0)
		return error_set(err, VMCRED_FAILED, "QEMU closed its monitor without an answer");
	lines->size += (size_t)got;
	while ((newline = memchr(lines->bytes, '\n', lines->size))) {
		size_t size = (size_t)(newline + 1 - lines->bytes);
		int r = line_read(span_of(lines->bytes, size), err);

		if (r != 0)
			return r;
		memmove(lines->bytes, lines->bytes + size, lines->size - size);
		lines->size -= size;
	}
	if (lines->size == sizeof(lines->bytes))
		return error_set(err, VMCRED_FAILED, "QEMU's monitor sent a line that is too long");
	return 0;
}

int qmp_await(int monitor, const struct child *child, struct stderr_relay *output,
	      struct error *err)
{
	int64_t deadline = clock_now_ms() + START_TIMEOUT_MS;
	struct lines lines = {.size = 0};
	int r = qmp_send(monitor, "qmp_capabilities", err);

	while (r == 0) {
		struct pollfd fds[] = {
			{.fd = monitor, .events = POLLIN},
			{.fd = child->pid_fd, .events = POLLIN},
			{.fd = child->signal_fd, .events = POLLIN},
			stderr_relay_poll(output),
		};
		int64_t left = deadline - clock_now_ms();
		int ready = left > 0 ? poll(fds, 4, (int)left) : 0;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return error_set(err, VMCRED_FAILED,
					 "QEMU's monitor did not answer within %d s",
					 START_TIMEOUT_MS / 1000);
		stderr_relay_forward(output);
		if (fds[0].revents)
			r = lines_read(&lines, monitor, err);
		else if (fds[1].revents || fds[2].revents)
			r = error_set(err, VMCRED_FAILED, "interrupted");
	}
	return r < 0 ? r : 0;
}
