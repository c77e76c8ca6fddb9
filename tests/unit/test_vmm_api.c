/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/api_client.h"
#include "vmm/api_socket.h"

/* A peer that has already said what it will say. */
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

static const struct {
	const char *answer;
	bool closes;
	const char *line;
} failures[] = {
	{"", true, "the VMM closed its API without an answer"},
	{"HTTP/1.1 20", true, "the VMM closed its API without an answer"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[", true,
	 "the VMM closed its API without an answer"},
	{"", false, "the VMM's API gave no whole answer within 1 seconds"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[", false,
	 "the VMM's API gave no whole answer within 1 seconds"},
	{"SSH-2.0-x\r\n\r\n", false, "the answer of the VMM's API is not HTTP"},
	{"HTTP/1.1 2x4 \r\n\r\n", false, "the answer of the VMM's API is not HTTP"},
	{"HTTP/1.1 200 \r\nContent-Length: 1x\r\n\r\n[]", false,
	 "the answer of the VMM's API is not HTTP"},
	{"HTTP/1.1 200 \r\nContent-Length: 99999999999999999999\r\n\r\n", false,
	 "the answer of the VMM's API is too large"},
};

static void an_answer_that_is_not_whole_is_an_error(void **state)
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

static void waiting_ends_when_an_interrupt_comes(void **state)
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

static void an_answer_to_a_request_that_was_not_read_still_counts(void **state)
{
	const char refusal[] = "HTTP/1.1 400 \r\nContent-Length: 2\r\n\r\n[]";
	struct peer peer = peer_make(refusal, false);
	struct api_reply reply;
	struct error err = {0};

	(void)state;
	/* Gone before the request: sending fails with EPIPE, and the answer is there to be read. */
	close(peer.server);
	assert_success(peer_call(&peer, &reply, &err));
	assert_int_equal(reply.status, 400);
	api_reply_destroy(&reply);
	close(peer.client);
}

static void the_users_socket_is_the_owners_alone(void **state)
{
	char folder[] = "/tmp/vmcred-api.XXXXXX", path[64];
	struct api_socket first, second;
	struct error err = {0};
	struct stat status;
	char expected[128];
	mode_t before = umask(0);

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/api", folder);
	assert_success(api_socket_create(path, &first, &err));
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(status.st_mode, S_IFSOCK | 0600);
	snprintf(expected, sizeof(expected), "the socket %s is in use", path);
	assert_error(api_socket_create(path, &second, &err), VMCRED_FAILED, expected);
	/* A VMM that was killed leaves a socket that nobody listens on. */
	close(first.listener);
	close(first.client);
	free(first.path);
	assert_success(api_socket_create(path, &second, &err));
	api_socket_destroy(&second);
	assert_int_equal(lstat(path, &status), -1);
	/* Never removes what is no socket. */
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(expected, sizeof(expected), "%s is there and is not a socket", path);
	assert_error(api_socket_create(path, &second, &err), VMCRED_FAILED, expected);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	umask(before);
}

static void the_private_socket_is_connected_and_nowhere(void **state)
{
	char folder[] = "/tmp/vmcred-api.XXXXXX", buffer[4];
	struct api_socket socket;
	struct error err = {0};
	int server;

	(void)state;
	assert_non_null(mkdtemp(folder));
	setenv("RUNTIME_DIRECTORY", folder, 1);
	assert_success(api_socket_create(NULL, &socket, &err));
	unsetenv("RUNTIME_DIRECTORY");
	/* Empty: rmdir() would fail else. */
	assert_int_equal(rmdir(folder), 0);
	server = accept4(socket.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	assert_int_equal(write(socket.client, "ping", 4), 4);
	assert_int_equal(read(server, buffer, 4), 4);
	close(server);
	api_socket_destroy(&socket);
}

static void a_path_that_is_too_long_for_a_socket_is_an_error(void **state)
{
	char path[160], expected[256];
	struct api_socket socket;
	struct error err = {0};

	(void)state;
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	snprintf(expected, sizeof(expected), "the path of the socket, %s, is longer than 107 bytes",
		 path);
	assert_error(api_socket_create(path, &socket, &err), VMCRED_FAILED, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read_whatever_its_status),
		cmocka_unit_test(an_answer_that_is_not_whole_is_an_error),
		cmocka_unit_test(waiting_ends_when_an_interrupt_comes),
		cmocka_unit_test(an_answer_to_a_request_that_was_not_read_still_counts),
		cmocka_unit_test(the_users_socket_is_the_owners_alone),
		cmocka_unit_test(the_private_socket_is_connected_and_nowhere),
		cmocka_unit_test(a_path_that_is_too_long_for_a_socket_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
