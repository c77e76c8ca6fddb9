/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"

/* An answer is an error message at most. */
#define REPLY_SIZE_MAX ((size_t)256 * 1024)

/* Waits until the socket is ready for `events`. */
static int socket_wait(const struct api_call *call, short events, int64_t deadline,
		       struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = call->fd, .events = events},
			{.fd = call->interrupts[0], .events = POLLIN},
			{.fd = call->interrupts[1], .events = POLLIN},
			call->output ? stderr_relay_poll(call->output) : (struct pollfd){.fd = -1},
		};
		int64_t left = deadline - clock_now_ms();
		int ready = left > 0 ? poll(fds, 4, (int)left) : 0;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return error_set_errno(err, errno, "waiting for the VMM's API");
		if (ready == 0)
			return error_set(err, VMCRED_FAILED,
					 "the VMM's API did not answer within %d s",
					 call->timeout_ms / 1000);
		/* First, because an answer counts even if the VMM has ended since. */
		if (fds[0].revents)
			return 0;
		if (fds[1].revents || fds[2].revents)
			return error_set(err, VMCRED_FAILED, "interrupted");
		stderr_relay_forward(call->output);
	}
}

/* As send(), with the call's descriptors. */
static ssize_t bytes_send_with_fds(const struct api_call *call, struct span bytes)
{
	struct iovec content = {.iov_base = (void *)bytes.data, .iov_len = bytes.size};

	return fd_send(call->fd, (struct msghdr){.msg_iov = &content, .msg_iovlen = 1}, call->fds,
		       call->fd_count);
}

/* Sets `*closed` if the peer has closed the connection; it may have answered before. */
static int bytes_send(const struct api_call *call, struct span bytes, bool with_fds,
		      int64_t deadline, bool *closed, struct error *err)
{
	while (bytes.size > 0 && !*closed) {
		ssize_t sent = with_fds ? bytes_send_with_fds(call, bytes)
					: send(call->fd, bytes.data, bytes.size, MSG_NOSIGNAL);

		if (sent >= 0) {
			bytes = span_of(bytes.data + sent, bytes.size - (size_t)sent);
			with_fds = with_fds && sent == 0;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			*closed = true;
		} else if (errno == EAGAIN) {
			int r = socket_wait(call, POLLOUT, deadline, err);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return error_set_errno(err, errno, "writing to the VMM's API");
		}
	}
	return 0;
}

static int request_send(const struct api_call *call, int64_t deadline, struct error *err)
{
	const char *method = call->method ? call->method : "PUT";
	bool closed = false;
	char head[512];
	int length = snprintf(head, sizeof(head),
			      "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
			      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			      method, call->resource, call->body.size);
	int r;

	if (length < 0 || (size_t)length >= sizeof(head))
		return error_set(err, VMCRED_FAILED, "the resource name is too long");
	if (call->fd_count > FD_SEND_MAX)
		return error_set(err, VMCRED_FAILED, "%zu descriptors are too many for one message",
				 call->fd_count);
	r = bytes_send(call, span_of(head, (size_t)length), call->fd_count > 0, deadline, &closed,
		       err);
	return r == 0 ? bytes_send(call, call->body, false, deadline, &closed, err) : r;
}

/* Reads more of the answer. */
static int bytes_receive(const struct api_call *call, struct secret *received, int64_t deadline,
			 struct error *err)
{
	int r = secret_reserve(received, received->size + 1024, err);

	if (r == 0 && received->size > REPLY_SIZE_MAX)
		r = error_set(err, VMCRED_FAILED, "the answer of the VMM's API is too large");
	while (r == 0) {
		ssize_t got = recv(call->fd, received->data + received->size,
				   received->capacity - received->size, 0);

		if (got > 0) {
			received->size += (size_t)got;
			return 0;
		}
		if (got == 0 || errno == ECONNRESET)
			return error_set(err, VMCRED_FAILED,
					 "the VMM closed its API without an answer");
		if (errno == EAGAIN)
			r = socket_wait(call, POLLIN, deadline, err);
		else if (errno != EINTR)
			r = error_set_errno(err, errno, "reading from the VMM's API");
	}
	return r;
}

static int reply_malformed(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the answer of the VMM's API is not HTTP");
}

/* Three digits after the protocol; the reason phrase may be empty. */
static int status_parse(struct span head, int *status, struct error *err)
{
	static const char protocol[] = "HTTP/1.1 ";
	const size_t start = sizeof(protocol) - 1;

	if (head.size < start + 3 || memcmp(head.data, protocol, start) != 0)
		return reply_malformed(err);
	*status = 0;
	for (size_t i = start; i < start + 3; i++) {
		if (!isdigit(head.data[i]))
			return reply_malformed(err);
		*status = *status * 10 + (head.data[i] - '0');
	}
	return 0;
}

/* The value of Content-Length; without it there is no body. */
static int length_parse(struct span head, size_t *length, struct error *err)
{
	static const char name[] = "\r\ncontent-length:";
	const size_t size = sizeof(name) - 1;

	*length = 0;
	for (size_t i = 0; i + size < head.size; i++) {
		size_t at = i + size;

		if (strncasecmp((const char *)head.data + i, name, size) != 0)
			continue;
		while (at < head.size && head.data[at] == ' ')
			at++;
		for (; at < head.size && isdigit(head.data[at]); at++) {
			*length = *length * 10 + (size_t)(head.data[at] - '0');
			if (*length > REPLY_SIZE_MAX)
				return error_set(err, VMCRED_FAILED,
						 "the answer of the VMM's API is too large");
		}
		return at < head.size && head.data[at] == '\r' ? 0 : reply_malformed(err);
	}
	return 0;
}

static int reply_receive(const struct api_call *call, int64_t deadline, struct api_reply *reply,
			 struct error *err)
{
	_cleanup_secret_ struct secret received = {0};
	const uint8_t *end = NULL;
	size_t head_size, length = 0;
	struct span head;
	int r;

	while (!end) {
		r = bytes_receive(call, &received, deadline, err);
		if (r < 0)
			return r;
		end = memmem(received.data, received.size, "\r\n\r\n", 4);
	}
	head_size = (size_t)(end - received.data) + 4;
	head = span_of(received.data, head_size);
	r = status_parse(head, &reply->status, err);
	if (r == 0)
		r = length_parse(head, &length, err);
	while (r == 0 && received.size < head_size + length)
		r = bytes_receive(call, &received, deadline, err);
	if (r < 0)
		return r;
	return secret_copy(&reply->body, span_of(received.data + head_size, length), err);
}

int api_call(const struct api_call *call, struct api_reply *reply, struct error *err)
{
	int64_t deadline = clock_now_ms() + call->timeout_ms;
	int r;

	*reply = (struct api_reply){0};
	r = request_send(call, deadline, err);
	return r == 0 ? reply_receive(call, deadline, reply, err) : r;
}

void api_reply_destroy(struct api_reply *reply)
{
	secret_destroy(&reply->body);
}
