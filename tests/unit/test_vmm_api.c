/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "vmm/api.h"

/* A peer that has already sent its answer. */
struct peer {
	int client, server;
};

static struct peer peer_make(const char *answer, bool closes)
{
	struct peer peer;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	peer = (struct peer){.client = ends[0], .server = ends[1]};
	assert_int_equal(fcntl(peer.client, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(write(peer.server, answer, strlen(answer)), (ssize_t)strlen(answer));
	if (closes)
		shutdown(peer.server, SHUT_WR);
	return peer;
}

static void peer_close(const struct peer *peer)
{
	close(peer->client);
	close(peer->server);
}

static int peer_call(const struct peer *peer, struct api_reply *reply, struct error *err)
{
	const struct api_call call = {
		.fd = peer->client,
		.interrupts = {-1, -1},
		.timeout_ms = 1000,
		.resource = "/api/v1/vm.create",
		.body = span_of("{}", 2),
	};

	return api_call(&call, reply, err);
}

static const struct {
	const char *answer;
	int status;
	const char *body;
} answers[] = {
	{"HTTP/1.1 204 \r\nServer: x\r\nConnection: keep-alive\r\n\r\n", 204, ""},
	{"HTTP/1.1 204\r\n\r\n", 204, ""},
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", 200, "[]"},
	{"HTTP/1.1 400 \r\ncontent-length:   4\r\n\r\n[\"\"]", 400, "[\"\"]"},
	{"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", 500, ""},
};

static void an_answer_is_read_whatever_its_status(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct peer peer = peer_make(answers[i].answer, false);
		struct api_reply reply;
		char request[256];
		ssize_t size;

		assert_success(peer_call(&peer, &reply, &err));
		assert_int_equal(reply.status, answers[i].status);
		assert_span_equal(secret_span(&reply.body), answers[i].body);
		size = read(peer.server, request, sizeof(request) - 1);
		assert_true(size > 0);
		request[size] = '\0';
		assert_string_equal(request,
				    "PUT /api/v1/vm.create HTTP/1.1\r\nHost: localhost\r\n"
				    "Accept: application/json\r\nContent-Type: application/json\r\n"
				    "Content-Length: 2\r\n\r\n{}");
		api_reply_destroy(&reply);
		peer_close(&peer);
	}
}

/* Reads a message with its descriptors. */
static size_t message_receive(int from, char *bytes, size_t size, int *fds)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec content = {.iov_base = bytes, .iov_len = size - 1};
	struct msghdr message = {.msg_iov = &content,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(from, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	size_t count;

	assert_true(got > 0);
	bytes[got] = '\0';
	if (!header)
		return 0;
	assert_int_equal(header->cmsg_type, SCM_RIGHTS);
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	return count;
}

static void descriptors_are_sent_in_order_and_stay_open(void **state)
{
	struct peer peer = peer_make("HTTP/1.1 204 \r\n\r\n", false);
	int ours[] = {open("/dev/null", O_RDONLY | O_CLOEXEC),
		      open("/dev/zero", O_RDONLY | O_CLOEXEC)};
	const struct api_call call = {.fd = peer.client,
				      .interrupts = {-1, -1},
				      .timeout_ms = 1000,
				      .resource = "/x",
				      .body = span_of("{}", 2),
				      .fds = ours,
				      .fd_count = 2};
	struct api_reply reply;
	struct error err = {0};
	char request[512];
	int theirs[4] = {-1, -1, -1, -1};

	(void)state;
	assert_success(api_call(&call, &reply, &err));
	assert_int_equal(message_receive(peer.server, request, sizeof(request), theirs), 2);
	assert_non_null(strstr(request, "PUT /x HTTP/1.1\r\n"));
	for (size_t i = 0; i < 2; i++) {
		struct stat expected, got;

		assert_int_equal(fstat(ours[i], &expected), 0);
		assert_int_equal(fstat(theirs[i], &got), 0);
		assert_int_equal(got.st_rdev, expected.st_rdev);
		close(ours[i]);
		close(theirs[i]);
	}
	api_reply_destroy(&reply);
	peer_close(&peer);
}

static void too_many_descriptors_are_an_error(void **state)
{
	struct peer peer = peer_make("", false);
	static const int fds[FD_SEND_MAX + 1];
	const struct api_call call = {.fd = peer.client,
				      .interrupts = {-1, -1},
				      .timeout_ms = 1000,
				      .resource = "/x",
				      .fds = fds,
				      .fd_count = FD_SEND_MAX + 1};
	struct api_reply reply;
	struct error err = {0};

	(void)state;
	assert_error(api_call(&call, &reply, &err), VMCRED_FAILED,
		     "254 descriptors are too many for one message");
	peer_close(&peer);
}

static void a_request_may_have_another_method(void **state)
{
	struct peer peer = peer_make("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}", false);
	const struct api_call call = {.fd = peer.client,
				      .interrupts = {-1, -1},
				      .timeout_ms = 1000,
				      .method = "GET",
				      .resource = "/x"};
	struct api_reply reply;
	struct error err = {0};
	char request[512];
	int fds[4] = {-1, -1, -1, -1};

	(void)state;
	assert_success(api_call(&call, &reply, &err));
	assert_span_equal(secret_span(&reply.body), "{}");
	assert_int_equal(message_receive(peer.server, request, sizeof(request), fds), 0);
	assert_non_null(strstr(request, "GET /x HTTP/1.1\r\n"));
	api_reply_destroy(&reply);
	peer_close(&peer);
}

static const struct {
	const char *answer;
	bool closes;
	const char *line;
} failures[] = {
	{"", true, "the VMM closed its API without an answer"},
	{"HTTP/1.1 20", true, "the VMM closed its API without an answer"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[", true,
	 "the VMM closed its API without an answer"},
	{"", false, "the VMM's API did not answer within 1 s"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[", false,
	 "the VMM's API did not answer within 1 s"},
	{"SSH-2.0-x\r\n\r\n", false, "the answer of the VMM's API is not HTTP"},
	{"HTTP/1.1 2x4 \r\n\r\n", false, "the answer of the VMM's API is not HTTP"},
	{"HTTP/1.1 200 \r\nContent-Length: 1x\r\n\r\n[]", false,
	 "the answer of the VMM's API is not HTTP"},
	{"HTTP/1.1 200 \r\nContent-Length: 99999999999999999999\r\n\r\n", false,
	 "the answer of the VMM's API is too large"},
};

static void an_incomplete_answer_is_an_error(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct peer peer = peer_make(failures[i].answer, failures[i].closes);
		struct api_reply reply;

		assert_error(peer_call(&peer, &reply, &err), VMCRED_FAILED, failures[i].line);
		api_reply_destroy(&reply);
		peer_close(&peer);
	}
}

static void waiting_ends_on_an_interrupt(void **state)
{
	struct peer peer = peer_make("", false);
	struct api_reply reply;
	struct error err = {0};
	struct api_call call = {.fd = peer.client, .timeout_ms = 60000, .resource = "/x"};
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[1]);
	call.interrupts[0] = -1;
	call.interrupts[1] = ends[0];
	assert_error(api_call(&call, &reply, &err), VMCRED_FAILED, "interrupted");
	close(ends[0]);
	peer_close(&peer);
}

static void an_answer_to_an_unread_request_counts(void **state)
{
	const char refusal[] = "HTTP/1.1 400 \r\nContent-Length: 2\r\n\r\n[]";
	struct peer peer = peer_make(refusal, false);
	struct api_reply reply;
	struct error err = {0};

	(void)state;
	/* Closed before the request: sending fails with EPIPE, and the answer can still be read. */
	close(peer.server);
	assert_success(peer_call(&peer, &reply, &err));
	assert_int_equal(reply.status, 400);
	api_reply_destroy(&reply);
	close(peer.client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read_whatever_its_status),
		cmocka_unit_test(descriptors_are_sent_in_order_and_stay_open),
		cmocka_unit_test(too_many_descriptors_are_an_error),
		cmocka_unit_test(a_request_may_have_another_method),
		cmocka_unit_test(an_incomplete_answer_is_an_error),
		cmocka_unit_test(waiting_ends_on_an_interrupt),
		cmocka_unit_test(an_answer_to_an_unread_request_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
