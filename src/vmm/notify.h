/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: messages to the service manager (sd_notify(3), $NOTIFY_SOCKET), from us and from the
 * guest.
 *
 * A guest's systemd, since version 253, connects to the vsock address in its credential
 * vmm.notify_socket, sends a message and, since 256, waits until we close. The relay listens there,
 * reads one message from each connection, closes it, and forwards the fields that a guest may set.
 *
 * The guest is not trusted. Only READY=1, STATUS= and X_SYSTEMD_*= without control characters are
 * forwarded: nothing that names a process, a descriptor, a watchdog or another state of the unit.
 * A target that the guest has reached counts as READY=1, because Cloud Hypervisor up to v53 may
 * lose that message: it answers the reset of a closed connection with a reset, which ends systemd's
 * next connection from the same port.
 * The size, duration, number and rate of connections are limited, and nothing here blocks.
 */
#ifndef VMCRED_VMM_NOTIFY_H
#define VMCRED_VMM_NOTIFY_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/report.h"
#include "vmm/channel_relay.h"
#include "vmm/delivery_wait.h"
#include "vmm/vmm.h"

#define NOTIFY_READY "READY=1"

/* The credential with the address of our listener. */
#define NOTIFY_CREDENTIAL   "vmm.notify_socket"
/* vsock(7): the host's address, in systemd's notation for a stream. */
#define NOTIFY_HOST_ADDRESS "vsock-stream:2:"
/* Any port will do for a unix socket: each VM has its own. */
#define NOTIFY_UNIX_PORT    8888

/* systemd reads no more of a message: NOTIFY_BUFFER_MAX in its sources. */
#define NOTIFY_MESSAGE_MAX 4096

#define NOTIFY_CONNECTIONS_MAX 8
#define NOTIFY_POLL_MAX        (NOTIFY_CONNECTIONS_MAX + 3)

struct notify_connection {
	int fd;           /* -1: free */
	int64_t deadline; /* clock_now_ms() */
	size_t size;
	char message[NOTIFY_MESSAGE_MAX];
};

struct notify {
	int fd;                     /* a datagram socket; -1: there is no service manager */
	struct sockaddr_un manager; /* $NOTIFY_SOCKET */
	socklen_t manager_size;
	int failure;        /* errno of the last message, which was reported; 0: none */
	char *waiting;      /* a message that the manager's queue had no room for, or NULL; owned */
	bool guest_reports; /* the guest sends READY=1, not we */
	char *ready_field;  /* a guest's message with it counts as READY=1, too; owned, or NULL */
	const struct report *report;

	int listener; /* for the guest; -1: none */
	char *path;   /* the listener's, owned; NULL: AF_VSOCK */
	uint32_t cid; /* the only guest whose messages an AF_VSOCK listener accepts */
	uint32_t port;
	struct allowance allowance;            /* connections that may be accepted */
	struct notify_connection *connections; /* owned */

	struct channel_relay channel;  /* the guest's connections for another purpose */
	struct delivery_wait delivery; /* NOTIFY_READY waits for it */
};

#define NOTIFY_NONE                                                                    \
	(struct notify)                                                                \
	{                                                                              \
		.fd = -1, .listener = -1, .channel = {.listener = -1, .accepted = -1}, \
		.delivery = {.state = DELIVERY_DELIVERED},                             \
	}

#define _cleanup_notify_ __attribute__((cleanup(notify_destroy)))

/*
 * Opens the connection to $NOTIFY_SOCKET, which the VMM then does not inherit. If the guest
 * reports, also listens for it and adds the credential to the list, unless the list has one.
 * Without $NOTIFY_SOCKET there is nothing to do. If the guest has such a credential and --notify is
 * not set, another program relays its messages, and `notify` stays empty.
 */
int notify_prepare(struct notify *notify, struct vmm_launch *launch, struct error *err);

/*
 * Sends a message. A failure is a warning. If the manager's queue is full, the message is kept
 * until notify_relay() or notify_flush() can send it, or a later one replaces all of it but
 * READY=1.
 */
void notify_send(struct notify *notify, const char *message);

/* Waits for room in the manager's queue for a kept message; -1: as long as it takes. */
void notify_flush(struct notify *notify, int timeout_ms);

/* Sends a NOTIFY_READY that waited for notify->delivery. */
void notify_delivered(struct notify *notify);

/* Reports readiness before this process becomes the VMM: waits, as sd_notify(3) does, because
 * nobody could send it later. */
void notify_exec(struct notify *notify);

/* Reports that the VM is booted, which makes the unit ready unless the guest reports that. */
void notify_booted(struct notify *notify);

/* Writes the permitted fields of a guest's message to `out`, which is as large; returns their size.
 */
size_t notify_filter(struct span message, char *out);

/* Whether a message, one field a line, has exactly that field. */
bool notify_has_field(const char *message, const char *field);

/* Listens for the guest on `port`, or, if that is 0, on a free one; sets notify->port. */
int notify_listen(struct notify *notify, const struct vmm_vsock *vsock, uint32_t port,
		  struct error *err);

/* Sets rows for poll(2) and lowers the time of the next call. Returns the number of rows. */
size_t notify_poll(struct notify *notify, struct pollfd *fds, int64_t *deadline);

/* Accepts, reads and forwards what is available, and sends a kept message. Does not wait. */
void notify_relay(struct notify *notify);

void notify_destroy(struct notify *notify);

#endif
