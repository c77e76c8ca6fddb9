/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the credentials that a VM was started with arrived in its guest: "Proof of delivery" in
 * docs/protocol.md.
 *
 * The manifest is one more credential. vmcred-run writes it, and vmcred-guest compares the guest's
 * credentials with it. Its MACs have a fresh salt for each start of a VM. All the same, its reader
 * can find out a value that is easy to guess, so it is handled as a secret.
 *
 * The report is the guest's answer. The guest is not trusted: it can report anything, about its own
 * VM. `vmcred serve` keeps the last report of each unit in a file, with names only, from which
 * others learn what arrived. The file belongs to one start of the unit, which has an own channel
 * key.
 */
#ifndef VMCRED_DELIVERY_DELIVERY_H
#define VMCRED_DELIVERY_DELIVERY_H

#include "base/secret.h"
#include "channel/channel.h"

/* The manifest's name as a credential. */
#define DELIVERY_MANIFEST "vmcred.manifest"

#define DELIVERY_MANIFEST_SIZE_MAX ((size_t)1024 * 1024)

/* Starts a manifest with a new salt. `*manifest` must own nothing. */
int delivery_manifest_create(struct secret *manifest, struct error *err);

/* Adds a credential to it. Without the value's data, the entry has only the right size. */
int delivery_manifest_add(struct secret *manifest, const char *name, struct span value,
			  struct error *err);

/* A manifest that is read. Its spans are borrowed. */
struct delivery_manifest {
	struct span salt;
	struct span rest; /* the lines that follow */
};

struct delivery_entry {
	char name[CREDENTIAL_NAME_SIZE_MAX + 1];
	size_t size; /* of the value */
	struct span mac;
};

/* Reads its first line. VMCRED_INTEGRITY: it is not a manifest. */
int delivery_manifest_read(struct span text, struct delivery_manifest *manifest, struct error *err);

/* Reads the next entry; `*is_one` is false after the last one. VMCRED_INTEGRITY: it is not valid.
 */
int delivery_manifest_next(struct delivery_manifest *manifest, struct delivery_entry *entry,
			   bool *is_one, struct error *err);

/* Compares a value with its entry: CHANNEL_CUT, CHANNEL_CHANGED, or CHANNEL_MORE if it is whole. */
enum channel_problem delivery_entry_check(const struct delivery_manifest *manifest,
					  const struct delivery_entry *entry, struct span value);

/* Where the reports are, each in a file with its unit's name; in the runtime directory of `vmcred
 * serve`. */
#define DELIVERY_DIRECTORY "delivery"
#define DELIVERY_PATH      "/run/vmcred/serve/" DELIVERY_DIRECTORY

#define DELIVERY_ID_SIZE 22

/* What names the channel key in a report: a MAC, which does not reveal the key. */
void delivery_id_write(struct span key, char id[DELIVERY_ID_SIZE + 1]);

/* Starts as {0}: nothing was reported. */
struct delivery_report {
	char id[DELIVERY_ID_SIZE + 1];    /* of the channel key; empty: nothing was reported */
	struct channel_finding *findings; /* owned */
	size_t count;
};

#define _cleanup_delivery_report_ __attribute__((cleanup(delivery_report_release)))

enum delivery_state {
	DELIVERY_SENT, /* the guest has reported nothing about it */
	DELIVERY_DELIVERED,
	DELIVERY_REJECTED,
};

#define DELIVERY_STATES 3

/* "sent", "delivered", "rejected". */
const char *delivery_state_name(enum delivery_state state);

/* Sets the findings from the payload of REPORT. `*report` must own nothing. */
int delivery_report_parse(struct span payload, struct delivery_report *report, struct error *err);

/* Replaces the file of a unit in the runtime directory, which others may then read. */
int delivery_report_write(const char *runtime, const char *unit,
			  const struct delivery_report *report, struct error *err);

/* Removes it, unless it belongs to the channel key that the unit loads. */
void delivery_report_forget(const char *runtime, const char *unit, const char *id);

/* Reads it below `root` (NULL: "/"). Without a file, nothing was reported. `*report` must own
 * nothing. VMCRED_INTEGRITY: it is damaged. */
int delivery_report_read(const char *root, const char *unit, struct delivery_report *report,
			 struct error *err);

/* The state of a guest's credential, or of all of them if the name is NULL. An unexpected
 * credential does not count. */
enum delivery_state delivery_report_state(const struct delivery_report *report,
					  const char *credential);

/* "cut: A, B; missing: C" in new memory; empty without findings. NULL without memory. */
char *delivery_report_text(const struct delivery_report *report);

void delivery_report_release(struct delivery_report *report);

#endif
