/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which version of which credential each unit got, for `watch`: RECORD_PATH/UNIT/CREDENTIAL has the
 * version, and no value.
 */
#ifndef VMCRED_GUEST_RECORD_H
#define VMCRED_GUEST_RECORD_H

#include "base/report.h"
#include "channel/channel.h"
#include "load/load.h"

#define RECORD_PATH "/run/vmcred/served"

/* Records what a unit gets. A failure is a warning: its unit is then not restarted. */
void record_keep(const struct load_address *unit, const uint8_t version[CHANNEL_VALUE_VERSION_SIZE],
		 const struct report *report);

struct record_unit_ops {
	/* Whether the unit needs nothing more. */
	bool (*restart)(const char *unit, const struct report *report);
	/* Whether it neither runs nor has failed. */
	bool (*is_inactive)(const char *unit);
};

/* Restarts each unit with a version that differs from the one that is announced. Afterwards it
 * drops the records that were not written again: such a unit does not run. It also drops those of
 * inactive units, such as jobs, of which there can be very many. */
int record_restart(const struct channel_version *versions, size_t count,
		   const struct record_unit_ops *ops, const struct report *report,
		   struct error *err);

#endif
