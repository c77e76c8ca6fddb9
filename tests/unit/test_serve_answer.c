/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activate/serve/answer.h"

#define SYSTEMD_CREDENTIAL_SIZE_MAX ((size_t)1024 * 1024) /* systemd.exec(5) */

/* An answer with `size` bytes 'x', and the peer's end. */
static struct serve_answer answer_start(size_t size, int *peer)
{
	struct serve_answer answer = {.fd = -1};
	struct error err = {0};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	answer.fd = ends[0];
	*peer = ends[1];
	assert_success(secret_create(&answer.value, size, &err));
	memset(answer.value.data, 'x', size);
	answer.value.size = size;
	return answer;
}

/* Reads what there is; adds to the counts of both kinds of bytes. */
static void peer_read(int peer, size_t *values, size_t *zeros)
{
	uint8_t bytes[65536];
	ssize_t size;

	while ((size = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < size; i++) {
			*values += bytes[i] == 'x';
			*zeros += bytes[i] == 0;
		}
	}
}

static void an_answer_that_the_peer_reads_is_sent_whole(void **state)
{
	size_t values = 0, zeros = 0;
	int peer;
	struct serve_answer answer = answer_start(SYSTEMD_CREDENTIAL_SIZE_MAX, &peer);

	(void)state;
	while (serve_answer_send(&answer) == SERVE_WAITS)
		peer_read(peer, &values, &zeros);
	peer_read(peer, &values, &zeros);
	assert_int_equal(values, SYSTEMD_CREDENTIAL_SIZE_MAX);
	assert_int_equal(zeros, 0);
	serve_answer_release(&answer);
	close(peer);
}

static void an_answer_spoilt_in_the_middle_is_more_than_systemd_takes(void **state)
{
	size_t values = 0, zeros = 0;
	int peer;
	struct serve_answer answer = answer_start(SYSTEMD_CREDENTIAL_SIZE_MAX, &peer);

	(void)state;
	assert_int_equal(serve_answer_send(&answer), SERVE_WAITS);
	serve_answer_spoil(&answer);
	assert_int_equal(answer.value.size, 0);
	assert_null(answer.value.data);
	while (serve_answer_send(&answer) == SERVE_WAITS)
		peer_read(peer, &values, &zeros);
	peer_read(peer, &values, &zeros);
	assert_true(values > 0 && values < SYSTEMD_CREDENTIAL_SIZE_MAX);
	assert_int_equal(values + zeros, SYSTEMD_CREDENTIAL_SIZE_MAX + 1);
	serve_answer_release(&answer);
	close(peer);
}

static void a_peer_that_has_hung_up_is_told_from_one_that_is_slow(void **state)
{
	int peer;
	struct serve_answer answer = answer_start(SYSTEMD_CREDENTIAL_SIZE_MAX, &peer);

	(void)state;
	assert_int_equal(serve_answer_send(&answer), SERVE_WAITS);
	close(peer);
	assert_int_equal(serve_answer_send(&answer), SERVE_GONE);
	serve_answer_release(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_the_peer_reads_is_sent_whole),
		cmocka_unit_test(an_answer_spoilt_in_the_middle_is_more_than_systemd_takes),
		cmocka_unit_test(a_peer_that_has_hung_up_is_told_from_one_that_is_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
