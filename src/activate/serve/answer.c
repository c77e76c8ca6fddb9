/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/serve/linger.h"

enum serve_progress serve_answer_send(struct serve_answer *answer, struct span value)
{
	static const uint8_t zeros[65536];
	const struct serve_guest *guest = answer->guest;
	const size_t head = guest ? guest->head_size : 0;
	const size_t size = head + (!answer->is_refused ? value.size
				    : guest             ? 0
							: LOAD_REFUSAL_SIZE);

	while (answer->sent < size) {
		const size_t at = answer->sent < head ? answer->sent : head;
		const size_t rest = size - head - (answer->sent - at);
		const bool is_cut = answer->is_refused && rest > sizeof(zeros);
		const uint8_t *bytes =
			answer->is_refused ? zeros : value.data + (answer->sent - at);
		/* Input is only read. */
		struct iovec parts[] = {{guest ? (void *)(guest->head + at) : NULL, head - at},
					{(void *)bytes, is_cut ? sizeof(zeros) : rest}};
		const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		const ssize_t sent = sendmsg(answer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

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
	linger_limited();

	(void)shutdown(answer->fd, SHUT_RDWR);
	close(answer->fd);
	answer->fd = -1;
	if (answer->guest) {
		free(answer->guest->seen);
		memory_wipe(answer->guest, sizeof(*answer->guest));
	}
	free(answer->guest);
	answer->guest = NULL;
}
