/* SPDX-License-Identifier: Apache-2.0 */
/* One LoadCredential= of a unit of the guest, answered by the host. */
#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "guest/guest.h"
#include "guest/host.h"
#include "guest/record.h"
#include "load/load.h"

/* Requests the credential. `*frame` is a whole VALUE, with its version. */
static int value_ask(const char *host, const char *credential, struct secret *frame,
		     struct error *err)
{
	uint8_t request[CHANNEL_REQUEST_SIZE_MAX];
	const size_t size = channel_request_write(request, credential);

	return host_ask(host, span_of(request, size), CHANNEL_VALUE, CHANNEL_VALUE_VERSION_SIZE,
			frame, err);
}

static int value_send(int fd, struct span value, struct error *err)
{
	/* With a buffer for all of it, it is sent whole or not at all, even if this process is
	 * killed: systemd would take a part for the credential. */
	const int room = (int)(2 * value.size + 65536);

	if (value.size > CHANNEL_VALUE_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "the value is too large");
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	while (value.size > 0) {
		ssize_t sent = send(fd, value.data, value.size, MSG_NOSIGNAL);

		if (sent >= 0)
			value = span_skip(value, (size_t)sent);
		else if (errno != EINTR)
			return error_set_errno(err, errno, "sending the value to systemd");
	}
	return 0;
}

void guest_refuse(int fd)
{
	static const uint8_t zeros[4096];

	for (size_t sent = 0; sent < LOAD_REFUSAL_SIZE;) {
		const size_t rest = LOAD_REFUSAL_SIZE - sent;
		ssize_t size =
			send(fd, zeros, rest < sizeof(zeros) ? rest : sizeof(zeros), MSG_NOSIGNAL);

		if (size >= 0)
			sent += (size_t)size;
		else if (errno != EINTR)
			return;
	}
}

int guest_serve(int fd, const char *host, const struct report *report, struct error *err)
{
	_cleanup_secret_ struct secret frame = {0};
	struct load_address asked = {0};
	struct ucred peer;
	int r = load_peer_check(fd, &peer, err);

	/* No unit waits for another peer. */
	if (r < 0)
		return r;
	r = load_address_read(fd, &asked, err);
	if (r == 0 && asked.is_full) {
		error_set(err, VMCRED_USAGE, "the names of unit and credential are too long");
		r = error_hint(err, "use shorter names");
	}
	if (r == 0)
		r = credential_name_check(asked.credential, err);
	if (r == 0)
		r = value_ask(host, asked.credential, &frame, err);
	if (r < 0)
		guest_refuse(fd);
	/* First: what is recorded and then not sent makes the unit fail, and it starts again. */
	if (r == 0)
		record_keep(&asked, frame.data, report);
	if (r == 0)
		r = value_send(fd, span_skip(secret_span(&frame), CHANNEL_VALUE_VERSION_SIZE), err);
	return r < 0 && asked.unit[0] ? error_wrap(err, "%s for %s", asked.credential, asked.unit)
				      : r;
}
