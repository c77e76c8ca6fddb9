/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the service manager's ear (sd_notify(3), $NOTIFY_SOCKET), for us and for the guest.
 *
 * A guest's systemd, since version 253, connects to the vsock address in its credential
 * vmm.notify_socket, sends a message and, since 256, waits until we close. The relay listens there,
 * takes one message from each connection, closes, and sends on what a guest may say.
 *
 * The guest is not trusted. Of its messages only READY=1, STATUS= and X_SYSTEMD_*= without control
 * characters pass: nothing that names a process, a descriptor, a watchdog or another state of the
 * unit. Size, time, number and rate of connections are limited, and nothing here waits.
 */
#ifndef VMCRED_VMM_NOTIFY_H
#define VMCRED_VMM_NOTIFY_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/report.h"
#include "vmm/vmm.h"

#define NOTIFY_CREDENTIAL "vmm.notify_socket"

/* systemd reads no more of a message: NOTIFY_BUFFER_MAX in its sources. */
#define NOTIFY_MESSAGE_MAX 4096

#define NOTIFY_CONNECTIONS_MAX 8
#define NOTIFY_POLL_MAX        (NOTIFY_CONNECTIONS_MAX + 1)

struct notify_connection {
	int fd;           /* -1: free */
	int64_t deadline; /* clock_now_ms() */
	size_t size;
	char message[NOTIFY_MESSAGE_MAX];
};

struct notify {
	int fd;                     /* a datagram socket; -1: nobody listens to us */
	struct sockaddr_un manager; /* $NOTIFY_SOCKET */
	socklen_t manager_size;
	bool guest_reports; /* READY=1 is the guest's to say */
	const struct report *report;

	int listener; /* for the guest; -1: none */
	char *path;   /* the listener's, owned; NULL: AF_VSOCK */
	uint32_t cid; /* whose messages an AF_VSOCK listener takes */
	uint32_t port;
	int allowance;                         /* connections that may come at once */
	int64_t allowance_at;                  /* when it was counted last */
	struct notify_connection *connections; /* owned */
};

#define NOTIFY_NONE                      \
	(struct notify)                  \
	{                                \
		.fd = -1, .listener = -1 \
	}

#define _cleanup_notify_ __attribute__((cleanup(notify_destroy)))

/*
 * Opens the way to `socket`, the value of $NOTIFY_SOCKET: a path or, with '@', an abstract name.
 * What is neither is VMCRED_USAGE.
 */
int notify_open(struct notify *notify, const char *socket, const struct report *report,
		struct error *err);

/* Listens for the guest: at `port`, or, with 0, at one that is free; notify->port has it. */
int notify_listen(struct notify *notify, const struct vmm_vsock *vsock, uint32_t port,
		  struct error *err);

/*
 * All of that as a launch needs it: opens the way to $NOTIFY_SOCKET, which the VMM does not inherit
 * then, and, where the guest reports, listens for it and adds the credential to the list, unless
 * the list has one. Without $NOTIFY_SOCKET there is nothing to do. Where the guest was given a
 * credential of that name and vmcred was not asked to relay, somebody else does, and `notify` stays
 * empty.
 */
int notify_prepare(struct notify *notify, const struct vmm_ops *ops,
		   const struct vmm_launch *launch, struct error *err);

/* Sends a message of our own. One that is not taken is a warning. */
void notify_send(const struct notify *notify, const char *message);

/* The VM is booted, which makes the unit ready unless the guest says so itself. */
void notify_booted(const struct notify *notify);

/* Writes what of a guest's message passes to `out`, which is as large; returns its size. */
size_t notify_filter(struct span message, char *out);

/* What to wait for: rows for poll(2), and when to come back at the latest. Returns their number. */
size_t notify_poll(struct notify *notify, struct pollfd *fds, int64_t *deadline);

/* Accepts, reads and relays what is there. Does not wait. */
void notify_relay(struct notify *notify);

void notify_destroy(struct notify *notify);

#endif
