/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: passes the guest's connections to port CHANNEL_PORT of the host on to `vmcred serve`
 * (docs/protocol.md), with the channel key that systemd gave to the VM's unit. A value goes from
 * there to the VMM, and never through this process. A guest with vhost-vsock connects there itself:
 * it gets the key with its other credentials, and proves it. So does each guest that gets other
 * credentials, because any process in a guest can connect.
 *
 * The key is read again for each connection, so that nothing secret stays in memory. The rate is
 * limited, and nothing here waits.
 */
#ifndef VMCRED_VMM_CHANNEL_RELAY_H
#define VMCRED_VMM_CHANNEL_RELAY_H

#include <poll.h>

#include "base/clock.h"
#include "vmm/vmm.h"

struct channel_relay {
	int listener;            /* owned; -1: the VM has no channel */
	char *path;              /* the listener's; owned */
	const char *credentials; /* the directory with the key; borrowed */
	bool guest_proves;       /* the guest has the key */
	int accepted;            /* owned; a connection that is not yet passed on; -1: none */
	int64_t again;           /* when that is tried again */
	struct allowance allowance;
	bool is_reported; /* the last attempt failed */
	const struct report *report;
};

#define CHANNEL_RELAY_NONE                     \
	(struct channel_relay)                 \
	{                                      \
		.listener = -1, .accepted = -1 \
	}

#define _cleanup_channel_relay_ __attribute__((cleanup(channel_relay_destroy)))

/* Whether the guest of a VM with a channel gets the key: the other strings are in the list. */
bool channel_guest_proves(const struct vmm_launch *launch);

/*
 * Listens for the guest, if the unit has a channel key (`key` is not empty). Then this process
 * stays the VMM's parent. If the VM has vhost-vsock, adds the key to launch->list instead.
 * VMCRED_USAGE: neither is possible.
 */
int channel_relay_prepare(struct channel_relay *relay, struct vmm_launch *launch, struct span key,
			  struct error *err);

/* Sets a row for poll(2) and lowers the time of the next call. Returns the number of rows. */
size_t channel_relay_poll(const struct channel_relay *relay, struct pollfd *row, int64_t *deadline);

/* Accepts and passes on what is available. */
void channel_relay_run(struct channel_relay *relay);

void channel_relay_destroy(struct channel_relay *relay);

#endif
