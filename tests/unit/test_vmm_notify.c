/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/notify.h"

static void only_permitted_fields_of_a_guests_message_are_forwarded(void **state)
{
	static const struct {
		const char *message, *forwarded;
	} cases[] = {
		{"", ""},
		{"READY=1", "READY=1"},
		{"READY=1\n", "READY=1"},
		{"STATUS=a b=c\nMAINPID=1\nREADY=1", "STATUS=a b=c\nREADY=1"},
		{"\n\nX_SYSTEMD_UNIT_ACTIVE=a\n\n", "X_SYSTEMD_UNIT_ACTIVE=a"},
		{"STATUS=\n", "STATUS="},
		{"STATUS=a\rMAINPID=2", ""},
		{"FDSTORE=1\nFDNAME=READY=1", ""},
		{"STATUS=\xc3\xa9\xe2\x80\xa6", "STATUS=\xc3\xa9\xe2\x80\xa6"},
		{"STATUS=\xc2\x9b", ""},
		{"STATUS=\xe9", ""},
		{"READY=12\nREADY=1x\nREADY=", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[NOTIFY_MESSAGE_MAX];
		size_t size = notify_filter(span_of_text(cases[i].message), out);

		assert_span_equal(span_of(out, size), cases[i].forwarded);
	}
}

/* A peer that has sent its message. */
static void peer_tell(const struct notify *notify, const char *message)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t size = sizeof(address);

	assert_int_equal(getsockname(notify->listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(write(fd, message, strlen(message)), strlen(message));
}

/* Every process of the host can connect to a vsock port. */
static void strangers_use_none_of_the_allowance_of_the_guest(void **state)
{
	const struct vmm_vsock vsock = {.cid = 3, .socket = *state};
	struct notify notify = NOTIFY_NONE;
	struct error err = {0};
	char *path;
	int manager[2], allowance;
	char heard[16] = "";

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, manager), 0);
	assert_success(notify_listen(&notify, &vsock, 8888, &err));
	notify.fd = manager[0];
	allowance = notify.allowance.left;
	/* Without a path it is a vsock port, and a unix socket never is the guest's. */
	path = pointer_release(&notify.path);
	for (int i = 0; i < 1000; i++) {
		peer_tell(&notify, "READY=1");
		notify_relay(&notify);
	}
	assert_int_equal(notify.allowance.left, allowance);
	assert_int_equal(recv(manager[1], heard, sizeof(heard), MSG_DONTWAIT), -1);
	notify.path = path;
	peer_tell(&notify, "READY=1");
	notify_relay(&notify);
	assert_int_equal(notify.allowance.left, allowance - 1);
	assert_int_equal(recv(manager[1], heard, sizeof(heard), MSG_DONTWAIT), strlen("READY=1"));
	notify_destroy(&notify);
	close(manager[1]);
}

static void frequent_updates_of_an_allowance_lose_no_time(void **state)
{
	struct allowance allowance = {0, 0};

	(void)state;
	for (int64_t now = 0; now <= 9900; now += 99)
		allowance_update(&allowance, 100, 8, now);
	assert_int_equal(allowance.left, 79);
}

static int directory_create(void **state)
{
	static char path[] = "/dev/shm/vmcred-notify.XXXXXX";
	static char socket_path[sizeof(path) + 8];

	if (!mkdtemp(path))
		return -1;
	(void)snprintf(socket_path, sizeof(socket_path), "%s/vsock", path);
	*state = socket_path;
	return 0;
}

static int directory_remove(void **state)
{
	char *slash = strrchr(*state, '/');

	*slash = '\0';
	return rmdir(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_permitted_fields_of_a_guests_message_are_forwarded),
		cmocka_unit_test(frequent_updates_of_an_allowance_lose_no_time),
		cmocka_unit_test_setup_teardown(strangers_use_none_of_the_allowance_of_the_guest,
						directory_create, directory_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
