/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/answer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "vars/vars.h"

/* More than any credential may have. */
#define SPOILT_SIZE (VARS_SECRET_SIZE_MAX + 1)

static const uint8_t zeros[65536];

static struct span rest(const struct serve_answer *answer)
{
	size_t left;

	if (answer->state != SERVE_SPOILT)
		return span_of(answer->value.data + answer->sent,
			       answer->value.size - answer->sent);
	left = SPOILT_SIZE - answer->sent;
	return span_of(zeros, left < sizeof(zeros) ? left : sizeof(zeros));
}

enum serve_progress serve_answer_send(struct serve_answer *answer)
{
	for (struct span bytes = rest(answer); bytes.size > 0; bytes = rest(answer)) {
		ssize_t sent =
			send(answer->fd, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN || errno == ENOBUFS ? SERVE_WAITS : SERVE_GONE;
		answer->sent += (size_t)sent;
	}
	return SERVE_DONE;
}

void serve_answer_park(struct serve_answer *answer)
{
	answer->size = answer->value.size;
	answer->state = SERVE_PARKED;
	secret_destroy(&answer->value);
}

int serve_answer_resume(struct serve_answer *answer, const struct serve_source *source,
			struct error *err)
{
	int r = serve_request_read_again(source, &answer->request, &answer->value, err);

	if (r < 0)
		return r;
	if (answer->value.size != answer->size) {
		secret_destroy(&answer->value);
		return error_set(err, VMCRED_FAILED, "the secret has another size than before");
	}
	answer->state = SERVE_PLAIN;
	answer->since = clock_now_ms();
	return 0;
}

void serve_answer_spoil(struct serve_answer *answer)
{
	secret_destroy(&answer->value);
	answer->state = SERVE_SPOILT;
}

void serve_answer_release(struct serve_answer *answer)
{
	secret_destroy(&answer->value);
	if (answer->fd >= 0) {
		/* systemd may hold it as well. */
		(void)shutdown(answer->fd, SHUT_RDWR);
		close(answer->fd);
	}
	*answer = (struct serve_answer){.fd = -1};
}
