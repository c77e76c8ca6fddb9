/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/answer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vars/vars.h"

/* More than systemd accepts for a credential. */
#define REFUSAL_SIZE (VARS_SECRET_SIZE_MAX + 1)

enum serve_progress serve_answer_send(struct serve_answer *answer, struct span value)
{
	static const uint8_t zeros[65536];
	const size_t size = answer->is_refused ? REFUSAL_SIZE : value.size;

	while (answer->sent < size) {
		const size_t rest = size - answer->sent;
		ssize_t sent;

		if (!answer->is_refused)
			sent = send(answer->fd, value.data + answer->sent, rest,
				    MSG_NOSIGNAL | MSG_DONTWAIT);
		else
			sent = send(answer->fd, zeros, rest < sizeof(zeros) ? rest : sizeof(zeros),
				    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0)
			answer->sent += (size_t)sent;
		else if (errno == EAGAIN || errno == ENOBUFS)
			return SERVE_WAITS;
		else if (errno != EINTR)
			return SERVE_GONE;
	}
	return SERVE_DONE;
}

void serve_answer_close(struct serve_answer *answer)
{
	(void)shutdown(answer->fd, SHUT_RDWR);
	close(answer->fd);
	answer->fd = -1;
}
