/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/serve/answer.h"

#define SYSTEMD_CREDENTIAL_SIZE_MAX ((size_t)1024 * 1024) /* systemd.exec(5) */

static uint8_t bytes[SYSTEMD_CREDENTIAL_SIZE_MAX];
static const struct span value = {bytes, sizeof(bytes)};

/* An answer, and the peer's end of its connection. */
static struct serve_answer answer_start(int *peer)
{
	int ends[2];

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*peer = ends[1];
	return (struct serve_answer){.fd = ends[0]};
}

/* Reads everything available; adds to the counts of both kinds of bytes. */
static void peer_read(int peer, size_t *values, size_t *zeros)
{
	uint8_t received[65536];
	ssize_t size;

	while ((size = recv(peer, received, sizeof(received), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < size; i++) {
			*values += received[i] == 'x';
			*zeros += received[i] == 0;
		}
	}
}

static void an_answer_that_the_peer_reads_is_sent_whole(void **state)
{
	size_t values = 0, zeros = 0;
	int peer;
	struct serve_answer answer = answer_start(&peer);

	(void)state;
	while (serve_answer_send(&answer, value) == SERVE_WAITS)
		peer_read(peer, &values, &zeros);
	peer_read(peer, &values, &zeros);
	assert_int_equal(values, SYSTEMD_CREDENTIAL_SIZE_MAX);
	assert_int_equal(zeros, 0);
	serve_answer_close(&answer);
	close(peer);
}

static void an_answer_refused_midway_is_larger_than_systemd_accepts(void **state)
{
	size_t values = 0, zeros = 0;
	int peer;
	struct serve_answer answer = answer_start(&peer);

	(void)state;
	assert_int_equal(serve_answer_send(&answer, value), SERVE_WAITS);
	answer.is_refused = true;
	while (serve_answer_send(&answer, span_of(NULL, 0)) == SERVE_WAITS)
		peer_read(peer, &values, &zeros);
	peer_read(peer, &values, &zeros);
	assert_true(values > 0 && values < SYSTEMD_CREDENTIAL_SIZE_MAX);
	assert_int_equal(values + zeros, SYSTEMD_CREDENTIAL_SIZE_MAX + 1);
	serve_answer_close(&answer);
	close(peer);
}

static void a_peer_that_closed_the_connection_is_not_waited_for(void **state)
{
	int peer;
	struct serve_answer answer = answer_start(&peer);

	(void)state;
	assert_int_equal(serve_answer_send(&answer, value), SERVE_WAITS);
	close(peer);
	assert_int_equal(serve_answer_send(&answer, value), SERVE_GONE);
	serve_answer_close(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_the_peer_reads_is_sent_whole),
		cmocka_unit_test(an_answer_refused_midway_is_larger_than_systemd_accepts),
		cmocka_unit_test(a_peer_that_closed_the_connection_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
