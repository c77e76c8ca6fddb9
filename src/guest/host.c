/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "guest/guest.h"

#define HOST_TIMEOUT_S 60 /* for a message that has started, or is due */

/* The host may be restarting its side, or be busy. Less than a unit's start timeout. */
#define ATTEMPTS  30
#define ATTEMPT_S 1

static int vsock_connect(struct error *err)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = CHANNEL_PORT};
	_cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		error_set_errno(err, errno, "creating a vsock socket");
		return error_hint(err, "the VM needs a vsock device, and the guest its driver");
	}
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, errno, "connecting to the host by vsock");
	return fd_release(&fd);
}

static int unix_connect(const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, VMCRED_USAGE, "socket path %s is too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, errno, "connecting to %s", path);
	return fd_release(&fd);
}

static int bytes_read(int fd, uint8_t *out, size_t size, struct error *err)
{
	for (size_t at = 0; at < size;) {
		ssize_t got = recv(fd, out + at, size - at, 0);

		if (got > 0)
			at += (size_t)got;
		else if (got == 0)
			return error_set(err, VMCRED_FAILED, "the host closed the connection");
		else if (errno != EINTR)
			return error_set_errno(err, errno, "reading from the host");
	}
	return 0;
}

int host_frame_read(int fd, uint8_t *type, struct secret *payload, struct error *err)
{
	uint8_t header[CHANNEL_HEADER_SIZE];
	size_t size = 0;
	int r = bytes_read(fd, header, sizeof(header), err);

	if (r == 0)
		r = channel_header_read(header, CHANNEL_HOST_FRAME_MAX, type, &size, err);
	if (r == 0)
		r = secret_create(payload, size, err);
	if (r == 0)
		r = bytes_read(fd, payload->data, size, err);
	if (r == 0)
		payload->size = size;
	return r;
}

static int hello_read(int fd, uint8_t nonce[CHANNEL_NONCE_SIZE], struct error *err)
{
	_cleanup_secret_ struct secret payload = {0};
	struct channel_frame frame = {0};
	int r = host_frame_read(fd, &frame.type, &payload, err);

	frame.payload = secret_span(&payload);
	return r < 0 ? r : channel_hello_read(&frame, nonce, err);
}

/* Reads the channel key as systemd passes it to a unit, as PID 1 has it, or as the host left it in
 * an initrd that is the root file system. VMCRED_MISSING: a VM whose connections are its own needs
 * none. */
static int key_read(struct secret *key, struct error *err)
{
	const char *own = getenv("CREDENTIALS_DIRECTORY");
	int r = channel_key_read(own ? own : GUEST_CREDENTIALS "/" GUEST_SYSTEM, CHANNEL_CREDENTIAL,
				 key, err);

	if (r != -(int)VMCRED_MISSING)
		return r;
	error_clear(err);
	return channel_key_read(GUEST_EXTRA, CHANNEL_CREDENTIAL GUEST_EXTRA_SUFFIX, key, err);
}

/* Adds a proof to a request, if the guest has a key. */
static int proof_add(uint8_t bytes[CHANNEL_REQUEST_SIZE_MAX], size_t *size,
		     const uint8_t nonce[CHANNEL_NONCE_SIZE], struct error *err)
{
	const struct span frame = span_skip(span_of(bytes, *size), CHANNEL_GUEST_HELLO_SIZE);
	_cleanup_secret_ struct secret text = {0};
	struct channel_proof proof;
	struct channel_key key;
	int r = key_read(&text, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = channel_key_parse(secret_span(&text), &key, err);
	if (r < 0)
		return error_wrap(err, "reading the credential " CHANNEL_CREDENTIAL);
	memcpy(proof.unit, key.unit, sizeof(proof.unit));
	memcpy(proof.id, key.id, sizeof(proof.id));
	channel_proof_mac(key.key, nonce, frame, proof.mac);
	memory_wipe(&key, sizeof(key));
	*size = channel_proof_add(bytes, *size, &proof);
	return 0;
}

int host_request(int fd, const uint8_t nonce[CHANNEL_NONCE_SIZE], struct span request,
		 struct error *err)
{
	uint8_t bytes[CHANNEL_REQUEST_SIZE_MAX];
	size_t size = request.size;
	int r;

	memcpy(bytes, request.data, size);
	r = proof_add(bytes, &size, nonce, err);
	if (r < 0)
		return r;
	/* A busy host has refused already, and closed: its answer can still be read. */
	if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size && errno != EPIPE &&
	    errno != ECONNRESET && errno != ENOTCONN)
		return error_set_errno(err, errno, "sending the request to the host");
	return 0;
}

int host_connect(const char *path, uint8_t nonce[CHANNEL_NONCE_SIZE], struct error *err)
{
	const struct timeval timeout = {.tv_sec = HOST_TIMEOUT_S};
	_cleanup_close_ int fd = path ? unix_connect(path, err) : vsock_connect(err);
	int r = fd < 0 ? fd : 0;

	if (r == 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0))
		r = error_set_errno(err, errno, "setting a timeout");
	if (r == 0)
		r = hello_read(fd, nonce, err);
	return r < 0 ? r : fd_release(&fd);
}

/* `*is_final`: another attempt will not succeed either. */
static int ask_once(const char *path, struct span request, enum channel_type type, size_t size_min,
		    struct secret *payload, bool *is_final, struct error *err)
{
	uint8_t nonce[CHANNEL_NONCE_SIZE] = {0}, given = 0;
	_cleanup_close_ int fd = host_connect(path, nonce, err);
	int r = fd < 0 ? fd : 0;

	*is_final = false;
	if (r == 0)
		r = host_request(fd, nonce, request, err);
	if (r == 0)
		r = host_frame_read(fd, &given, payload, err);
	if (r < 0 || (given == type && payload->size >= size_min))
		return r;
	if (given != CHANNEL_REFUSED || payload->size != 1)
		return error_set(err, VMCRED_FAILED, "invalid message: it does not answer");
	*is_final = payload->data[0] != CHANNEL_BUSY;
	return error_set(err, payload->data[0] == CHANNEL_DENIED ? VMCRED_USAGE : VMCRED_FAILED,
			 "%s", channel_refusal_text(payload->data[0]));
}

int host_ask(const char *path, struct span request, enum channel_type type, size_t size_min,
	     struct secret *payload, struct error *err)
{
	for (int attempt = 1;; attempt++) {
		bool is_final;
		int r;

		secret_destroy(payload);
		error_clear(err);
		r = ask_once(path, request, type, size_min, payload, &is_final, err);
		if (r == 0 || is_final || attempt == ATTEMPTS)
			return r;
		sleep(ATTEMPT_S);
	}
}
