/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/cloud_hypervisor/api_socket.h"

static void the_socket_of_api_socket_is_private(void **state)
{
	char directory[] = "/tmp/vmcred-api.XXXXXX", path[64];
	struct api_socket first, second;
	struct error err = {0};
	struct stat status;
	char expected[128];
	mode_t before = umask(0);

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/api", directory);
	assert_success(api_socket_create(path, &first, &err));
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(status.st_mode, S_IFSOCK | 0600);
	snprintf(expected, sizeof(expected), "socket %s is in use", path);
	assert_error(api_socket_create(path, &second, &err), VMCRED_FAILED, expected);
	/* A VMM that was killed leaves a stale socket. */
	close(first.listener);
	close(first.client);
	free(first.path);
	assert_success(api_socket_create(path, &second, &err));
	api_socket_destroy(&second);
	assert_int_equal(lstat(path, &status), -1);
	/* A file that is not a socket is never removed. */
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(expected, sizeof(expected), "%s exists and is not a socket", path);
	assert_error(api_socket_create(path, &second, &err), VMCRED_FAILED, expected);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	umask(before);
}

static void a_private_socket_is_connected_and_has_no_file(void **state)
{
	char directory[] = "/tmp/vmcred-api.XXXXXX", buffer[4];
	struct api_socket socket;
	struct error err = {0};
	int server;

	(void)state;
	assert_non_null(mkdtemp(directory));
	setenv("RUNTIME_DIRECTORY", directory, 1);
	assert_success(api_socket_create(NULL, &socket, &err));
	unsetenv("RUNTIME_DIRECTORY");
	/* rmdir() succeeds only in an empty directory. */
	assert_int_equal(rmdir(directory), 0);
	server = accept4(socket.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	assert_int_equal(write(socket.client, "ping", 4), 4);
	assert_int_equal(read(server, buffer, 4), 4);
	close(server);
	api_socket_destroy(&socket);
}

static void a_private_socket_is_not_created_where_others_can_replace_it(void **state)
{
	char directory[] = "/tmp/vmcred-api.XXXXXX", event[256];
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct api_socket socket;
	struct error err = {0};

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0777), 0);
	assert_true(inotify_add_watch(watch, directory, IN_CREATE) >= 0);
	setenv("RUNTIME_DIRECTORY", directory, 1);
	assert_success(api_socket_create(NULL, &socket, &err));
	unsetenv("RUNTIME_DIRECTORY");
	assert_int_equal(read(watch, event, sizeof(event)), -1);
	assert_int_equal(errno, EAGAIN);
	api_socket_destroy(&socket);
	close(watch);
	assert_int_equal(rmdir(directory), 0);
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
	snprintf(expected, sizeof(expected), "socket path %s is longer than 107 bytes", path);
	assert_error(api_socket_create(path, &socket, &err), VMCRED_FAILED, expected);
}

/* A listening socket as a unit passes it: without FD_CLOEXEC. */
static int listener_make(const char *path, socklen_t size, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* NOLINT(android-cloexec-socket): inherited */
	mode_t before = umask(0);

	assert_true(fd > STDERR_FILENO);
	memcpy(address.sun_path, path, size);
	assert_int_equal(fchmod(fd, mode), 0);
	if (size > 0)
		assert_int_equal(bind(fd, (const struct sockaddr *)&address,
				      (socklen_t)(sizeof(sa_family_t) + size)),
				 0);
	assert_int_equal(listen(fd, 1), 0);
	umask(before);
	return fd;
}

static void an_inherited_socket_is_used_and_its_file_is_kept(void **state)
{
	char directory[] = "/tmp/vmcred-api.XXXXXX", path[64], word[32], buffer[4];
	struct api_socket socket;
	struct error err = {0};
	struct stat status;
	int fd, server;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/api", directory);
	fd = listener_make(path, (socklen_t)strlen(path) + 1, 0600);
	snprintf(word, sizeof(word), "fd=%d", fd);
	assert_success(api_socket_create(word, &socket, &err));
	assert_int_equal(socket.listener, fd);
	/* Only the VMM inherits it, when it is started. */
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(write(socket.client, "ping", 4), 4);
	assert_int_equal(read(server, buffer, 4), 4);
	close(server);
	api_socket_destroy(&socket);
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void an_inherited_socket_whose_file_was_replaced_is_refused(void **state)
{
	char directory[] = "/tmp/vmcred-api.XXXXXX", path[64], word[32], expected[256], ready;
	struct api_socket socket;
	struct error err = {0};
	int fd, ends[2];
	pid_t other;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/api", directory);
	fd = listener_make(path, (socklen_t)strlen(path) + 1, 0600);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	other = fork();
	if (other == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		unlink(path);
		listener_make(path, (socklen_t)strlen(path) + 1, 0600);
		if (write(ends[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ends[0], &ready, 1), 1);
	snprintf(word, sizeof(word), "fd=%d", fd);
	snprintf(expected, sizeof(expected),
		 "--api-socket %s: another process has replaced socket %s", word, path);
	assert_error(api_socket_create(word, &socket, &err), VMCRED_FAILED, expected);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	close(ends[0]);
	close(ends[1]);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void an_inherited_socket_that_others_can_open_is_refused(void **state)
{
	char directory[] = "/tmp/vmcred-api.XXXXXX", path[64], word[32], expected[512];
	char abstract[64] = "";
	struct api_socket socket;
	struct error err = {0};
	int fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/api", directory);
	fd = listener_make(path, (socklen_t)strlen(path) + 1, 0660);
	snprintf(word, sizeof(word), "fd=%d", fd);
	snprintf(expected, sizeof(expected),
		 "--api-socket %s: %s has mode 0660: other users can connect and read the OEM "
		 "strings: create it with mode 0600 (SocketMode=0600 in a socket unit)",
		 word, path);
	assert_error(api_socket_create(word, &socket, &err), VMCRED_USAGE, expected);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);

	snprintf(abstract + 1, sizeof(abstract) - 1, "vmcred-test-%d", (int)getpid());
	fd = listener_make(abstract, (socklen_t)strlen(abstract + 1) + 1, 0600);
	snprintf(word, sizeof(word), "fd=%d", fd);
	snprintf(expected, sizeof(expected),
		 "--api-socket %s: its name is abstract: every process of this host can connect "
		 "and read the OEM strings",
		 word);
	assert_error(api_socket_create(word, &socket, &err), VMCRED_USAGE, expected);
	close(fd);
}

static void a_descriptor_that_is_not_a_listening_socket_is_refused(void **state)
{
	int ends[2],
		null = open("/dev/null", O_RDONLY); /* NOLINT(android-cloexec-open): inherited */
	char words[4][32] = {"fd=", "fd=x"}, expected[256];
	struct api_socket created;
	struct error err = {0};

	(void)state;
	/* NOLINTNEXTLINE(android-cloexec-socket): inherited */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	snprintf(words[2], sizeof(words[2]), "fd=%d", null);
	snprintf(words[3], sizeof(words[3]), "fd=%d", ends[0]);
	for (size_t i = 0; i < 4; i++) {
		snprintf(expected, sizeof(expected), "--api-socket %s: it is not a %s", words[i],
			 i < 2 ? "descriptor" : "listening unix socket");
		assert_error(api_socket_create(words[i], &created, &err), VMCRED_USAGE, expected);
	}
	close(null);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_socket_of_api_socket_is_private),
		cmocka_unit_test(a_private_socket_is_connected_and_has_no_file),
		cmocka_unit_test(a_private_socket_is_not_created_where_others_can_replace_it),
		cmocka_unit_test(a_path_that_is_too_long_for_a_socket_is_an_error),
		cmocka_unit_test(an_inherited_socket_is_used_and_its_file_is_kept),
		cmocka_unit_test(an_inherited_socket_whose_file_was_replaced_is_refused),
		cmocka_unit_test(an_inherited_socket_that_others_can_open_is_refused),
		cmocka_unit_test(a_descriptor_that_is_not_a_listening_socket_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
