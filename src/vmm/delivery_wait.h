/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the manifest of a VM with a channel, and waiting for its guest's report
 * (delivery/delivery.h). `vmcred serve` writes the report to a file that the guest and the VMM's
 * user cannot write. It is read again and again until it belongs to this start of the unit, so
 * `vmcred serve` can be restarted meanwhile.
 */
#ifndef VMCRED_VMM_DELIVERY_WAIT_H
#define VMCRED_VMM_DELIVERY_WAIT_H

#include "delivery/delivery.h"
#include "load/load.h"
#include "vmm/vmm.h"

struct delivery_wait {
	enum delivery_state state; /* of what is required; DELIVERY_DELIVERED: nothing is */
	char unit[LOAD_ADDRESS_MAX + 1];
	char id[DELIVERY_ID_SIZE + 1];
	int64_t next;           /* when the report is read */
	bool is_held_back;      /* READY=1 waits for the report */
	bool is_reported;       /* a report could not be read */
	struct error rejection; /* what the guest reported; owned */
	const struct report *report;
};

/* Whether the unit's start is not complete because of the report. */
static inline bool delivery_is_awaited(const struct delivery_wait *wait)
{
	return wait->state == DELIVERY_SENT;
}

/* Adds the manifest of a list, unless the guest gets no credential. The manifest of a list that has
 * only sizes has the right size. */
int vmm_manifest_add(struct oem_list *list, struct error *err);

/*
 * Adds the manifest of the list, which must be complete, if the unit has a channel key (`key` is
 * not empty). VMCRED_USAGE: delivery is required, and it has none.
 */
int delivery_wait_prepare(struct delivery_wait *wait, struct vmm_launch *launch, struct span key,
			  struct error *err);

/* Lowers the time of the next call. */
void delivery_wait_poll(const struct delivery_wait *wait, int64_t *deadline);

/* Reads the report when it is time. If the guest rejects the delivery, wait->rejection is set. */
void delivery_wait_run(struct delivery_wait *wait);

void delivery_wait_destroy(struct delivery_wait *wait);

#endif
