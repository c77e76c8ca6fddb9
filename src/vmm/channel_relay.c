/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/channel_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "channel/channel.h"
#include "vmm/driver.h"
#include "vmm/unix_socket.h"

/* More than vmcred serve accepts of a VM. */
#define ALLOWANCE_MAX        128
#define ALLOWANCE_PER_SECOND 32

#define BACKLOG  16
#define AGAIN_MS 50 /* the queue of vmcred serve is full */
#define DECLARED "channelCredentials"

static int relay_check(struct vmm_launch *launch, struct error *err)
{
	if (launch->ops->is_supervisor || launch->parent == VMM_PARENT_EXEC) {
		error_set(err, VMCRED_USAGE,
			  DECLARED " need a parent of the hypervisor, which %s does not have",
			  launch->ops->name);
		return error_hint(err, "remove %s", vmm_option(launch, "--exec", "exec"));
	}
	launch->parent = VMM_PARENT_STAYS;
	return 0;
}

static int device_missing(const struct vmm_launch *launch, struct error *err)
{
	if (launch->vsock.socket_missing) {
		error_set(err, VMCRED_USAGE,
			  DECLARED ": the socket of the vsock daemon is not known");
		return error_hint(err, "name it with %s",
				  vmm_option(launch, "--vsock-socket", "vsockSocket"));
	}
	error_set(err, VMCRED_USAGE, DECLARED ": the VM has no vsock device");
	return error_hint(err, "add one, or remove " DECLARED);
}

bool channel_guest_proves(const struct vmm_launch *launch)
{
	/* A VM with a socket may have no way for credentials. */
	return launch->vsock.is_vhost || vmm_has_strings(launch);
}

int channel_relay_prepare(struct channel_relay *relay, struct vmm_launch *launch, struct span key,
			  struct error *err)
{
	int r;

	if (key.size == 0)
		return 0;
	relay->credentials = launch->credentials;
	relay->report = launch->report;
	relay->guest_proves = channel_guest_proves(launch);
	if (relay->guest_proves &&
	    oem_list_add_credential(&launch->list, CHANNEL_CREDENTIAL, key, err) < 0)
		return error_wrap(err, DECLARED);
	if (launch->vsock.is_vhost)
		return 0;
	r = launch->vsock.socket ? relay_check(launch, err) : device_missing(launch, err);
	if (r < 0)
		return r;
	relay->allowance = (struct allowance){ALLOWANCE_MAX, clock_now_ms()};
	relay->listener = unix_socket_listen_port(launch->vsock.socket, CHANNEL_PORT, BACKLOG,
						  &relay->path, err);
	return relay->listener < 0 ? error_wrap(err, "listening for requests of the guest") : 0;
}

size_t channel_relay_poll(const struct channel_relay *relay, struct pollfd *row, int64_t *deadline)
{
	int64_t next = INT64_MAX;

	if (relay->listener < 0)
		return 0;
	if (relay->accepted >= 0)
		next = relay->again;
	else if (relay->allowance.left <= 0)
		next = relay->allowance.at + 1000 / ALLOWANCE_PER_SECOND + 1;
	if (next < *deadline)
		*deadline = next;
	if (next != INT64_MAX)
		return 0;
	*row = (struct pollfd){.fd = relay->listener, .events = POLLIN};
	return 1;
}

/* Sends the connection to vmcred serve. Returns 0, or -1 with errno set. */
static int connection_send(int fd, struct span key, bool guest_proves)
{
	static char proves[] = CHANNEL_PROVES;
	static const struct sockaddr_un address = {.sun_family = AF_UNIX,
						   .sun_path = CHANNEL_SOCKET_PATH};
	struct iovec parts[] = {
		{.iov_base = (void *)key.data, .iov_len = key.size},
		{.iov_base = proves, .iov_len = strlen(proves)},
	};
	const struct msghdr datagram = {
		.msg_name = (void *)&address,
		.msg_namelen = sizeof(address),
		.msg_iov = parts,
		.msg_iovlen = guest_proves ? 2 : 1,
	};
	_cleanup_close_ int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return sender < 0 || fd_send(sender, datagram, &fd, 1) < 0 ? -1 : 0;
}

/* Passes the accepted connection on, or closes it. If there is no room, it is tried again. */
static void accepted_pass(struct channel_relay *relay)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret key = {0};
	int r = channel_key_read(relay->credentials, CHANNEL_CREDENTIAL, &key, &err);

	if (r == 0 &&
	    connection_send(relay->accepted, secret_span(&key), relay->guest_proves) < 0) {
		if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
			relay->again = clock_now_ms() + AGAIN_MS;
			return;
		}
		r = error_set_errno(&err, errno, CHANNEL_SOCKET_PATH);
		error_hint(&err, "run `systemctl start vmcred-channel.socket`");
	}
	close(fd_release(&relay->accepted));
	/* Once, because a guest may ask any number of times. */
	if (r < 0 && !relay->is_reported) {
		_cleanup_free_ char *line = error_line(&err);

		report_message(relay->report, REPORT_WARNING,
			       "passing on a request of the guest: %s",
			       line ? line : "out of memory");
	}
	relay->is_reported = r < 0;
}

void channel_relay_run(struct channel_relay *relay)
{
	const int64_t now = clock_now_ms();

	if (relay->listener < 0)
		return;
	allowance_update(&relay->allowance, ALLOWANCE_MAX, ALLOWANCE_PER_SECOND, now);
	if (relay->accepted >= 0 && now >= relay->again)
		accepted_pass(relay);
	while (relay->accepted < 0 && relay->allowance.left > 0) {
		relay->accepted = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
		if (relay->accepted < 0)
			return;
		relay->allowance.left--;
		accepted_pass(relay);
	}
}

void channel_relay_destroy(struct channel_relay *relay)
{
	cleanup_close_fd(&relay->accepted);
	cleanup_close_fd(&relay->listener);
	if (relay->path)
		unlink(relay->path);
	free(relay->path);
	*relay = CHANNEL_RELAY_NONE;
}
