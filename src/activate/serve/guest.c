/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "activate/serve/linger.h"
#include "base/cleanup.h"

struct serve_limit *serve_limit_get(struct serve_limits *limits, const char *unit, int64_t now)
{
	struct serve_limit *found = NULL, *more;
	size_t kept = 0;

	for (size_t i = 0; i < limits->count; i++) {
		struct serve_limit *limit = &limits->limits[i];
		const bool is_this = strcmp(limit->unit, unit) == 0;

		allowance_update(&limit->allowance, GUEST_REQUESTS_MAX, GUEST_REQUESTS_SECOND, now);
		/* One that has all again needs no entry. */
		if (limit->allowance.left >= GUEST_REQUESTS_MAX && !is_this)
			continue;
		if (kept != i)
			limits->limits[kept] = *limit;
		if (is_this)
			found = &limits->limits[kept];
		kept++;
	}
	limits->count = kept;
	if (found)
		return found;
	more = reallocarray(limits->limits, kept + 1, sizeof(*more));
	if (!more)
		return NULL;
	limits->limits = more;
	found = &more[limits->count++];
	*found = (struct serve_limit){.allowance = {GUEST_REQUESTS_MAX, now}};
	memcpy(found->unit, unit, strnlen(unit, LOAD_ADDRESS_MAX));
	return found;
}

void serve_limit_charge(struct serve_limits *limits, const char *unit, struct serve_guest *guest)
{
	const int requests = (int)(guest->cost / GUEST_REQUEST_BYTES);
	struct serve_limit *limit =
		requests > 0 ? serve_limit_get(limits, unit, clock_now_ms()) : NULL;

	guest->cost %= GUEST_REQUEST_BYTES;
	if (!limit)
		return;
	/* An honest guest that reads all at once must not wait for long. */
	limit->allowance.left = limit->allowance.left - requests > -GUEST_REQUESTS_MAX
					? limit->allowance.left - requests
					: -GUEST_REQUESTS_MAX;
}

/* Any descriptor can be passed. */
static bool is_connected_stream(int fd)
{
	int domain = 0, type = 0;
	struct sockaddr_storage peer;
	socklen_t size = sizeof(int), peer_size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0;
}

/* Keeps the sender and the first descriptor; more than one are none. */
static void control_take(struct msghdr *datagram, struct serve_passed *passed)
{
	size_t count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(datagram); header;
	     header = CMSG_NXTHDR(datagram, header)) {
		if (header->cmsg_level != SOL_SOCKET)
			continue;
		if (header->cmsg_type == SCM_CREDENTIALS &&
		    header->cmsg_len == CMSG_LEN(sizeof(passed->peer)))
			memcpy(&passed->peer, CMSG_DATA(header), sizeof(passed->peer));
		if (header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= header->cmsg_len;
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
			if (count++ == 0)
				passed->fd = fd;
			else
				close(fd);
		}
	}
	if (count > 1)
		close(fd_release(&passed->fd));
}

static int passed_check(struct serve_passed *passed, struct span credential, const char *runtime,
			struct secret *boot_key, struct error *err)
{
	const struct span end = span_of_text(CHANNEL_PROVES);
	int r = 0;

	if (credential.size >= end.size &&
	    span_equal(span_skip(credential, credential.size - end.size), end)) {
		passed->guest_proves = true;
		credential.size -= end.size;
	}
	if (passed->fd < 0 || !is_connected_stream(passed->fd))
		return error_set(err, VMCRED_FAILED, "it sent no connection");
	if (boot_key->size == 0)
		r = serve_key_read(runtime, boot_key, err);
	return r < 0 ? r : serve_key_check(boot_key, credential, &passed->unit_key, err);
}

/* Without a datagram, passed->fd is -1. */
static int guest_receive(int socket, const char *runtime, struct secret *boot_key,
			 struct serve_passed *passed, struct error *err)
{
	uint8_t bytes[SERVE_KEY_CREDENTIAL_MAX];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr datagram = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t size = recvmsg(socket, &datagram, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int r;

	*passed = (struct serve_passed){.fd = -1};
	if (size < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 0
			       : error_set_errno(err, errno, "receiving a guest's connection");
	control_take(&datagram, passed);
	if (datagram.msg_flags & MSG_TRUNC)
		r = error_set(err, VMCRED_FAILED, "it sent no channel key");
	else
		r = passed_check(passed, span_of(bytes, (size_t)size), runtime, boot_key, err);
	memory_wipe(bytes, sizeof(bytes));
	if (r < 0 && passed->fd >= 0)
		close(fd_release(&passed->fd));
	return r;
}

static int guest_accept(int listener, struct serve_passed *passed, struct error *err)
{
	struct sockaddr_vm peer = {0};
	socklen_t size = sizeof(peer), process_size = sizeof(passed->peer);

	*passed = (struct serve_passed){
		.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK),
		.guest_proves = true,
	};
	if (passed->fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED
			       ? 0
			       : error_set_errno(err, errno, "accept(2)");
	if (getpeername(passed->fd, (struct sockaddr *)&peer, &size) == 0 &&
	    peer.svm_family == AF_VSOCK)
		passed->cid = peer.svm_cid;
	/* On a Unix socket, as in a test, a process replaces the CID. */
	else if (getsockopt(passed->fd, SOL_SOCKET, SO_PEERCRED, &passed->peer, &process_size) == 0)
		passed->cid = (uint32_t)passed->peer.pid;
	return 0;
}

int serve_guests_take(int socket, bool is_vsock, const char *runtime, struct serve_passed *passed,
		      size_t max, size_t *count, struct error *err)
{
	_cleanup_secret_ struct secret boot_key = {0};
	int r = 0;
	linger_limited();

	for (*count = 0; r == 0 && *count < max; (*count)++) {
		r = is_vsock ? guest_accept(socket, &passed[*count], err)
			     : guest_receive(socket, runtime, &boot_key, &passed[*count], err);
		if (passed[*count].fd < 0)
			break;
	}
	return r;
}

enum serve_arrival serve_guest_read(int fd, struct serve_guest *guest,
				    struct channel_request *request, struct error *err)
{
	linger_limited();

	for (;;) {
		const size_t room = sizeof(guest->bytes) - guest->size;
		bool is_whole = false;
		ssize_t got;

		if (channel_request_read(span_of(guest->bytes, guest->size), request, &is_whole,
					 err) < 0)
			return SERVE_INVALID;
		if (is_whole)
			return SERVE_REQUEST;
		/* Two whole frames fit, so there is room. */
		got = recv(fd, guest->bytes + guest->size, room, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return SERVE_PART;
		if (got <= 0)
			return SERVE_CLOSED;
		guest->size += (size_t)got;
	}
}

int serve_guest_greet(int fd, struct serve_guest *guest, struct error *err)
{
	uint8_t hello[CHANNEL_HELLO_SIZE_MAX];
	size_t size;

	/* It does not wait once the system has booted, and 16 bytes come at once: random(7). */
	if (getrandom(guest->nonce, sizeof(guest->nonce), 0) != sizeof(guest->nonce))
		return error_set_errno(err, errno, "getrandom(2)");
	size = channel_host_hello_write(hello, guest->nonce);
	if (send(fd, hello, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
		return error_set(err, VMCRED_FAILED, "the guest closed the connection too early");
	return 0;
}

void serve_guest_turn_away(int fd, enum channel_refusal reason)
{
	/* Nobody proves anything with this nonce. */
	static const uint8_t nonce[CHANNEL_NONCE_SIZE];
	uint8_t bytes[CHANNEL_HELLO_SIZE_MAX + CHANNEL_HEADER_SIZE + 1];
	size_t size = channel_host_hello_write(bytes, nonce);
	linger_limited();

	size += channel_refused_write(bytes + size, reason);
	(void)!send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_RDWR);
	close(fd);
}
