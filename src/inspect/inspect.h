/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a VM's secrets are: one line for each stage of the flow, from what is visible on this
 * machine now, and whether the guest's proofs match. Only reads. No line contains a secret or
 * anything from which it could be guessed.
 *
 * A proof is a line that a guest's service printed, "vmcred-proof: credential NAME salt=S
 * sha256=D", with D the SHA-256 of the text S and the credential's bytes. The guest's log is not
 * trusted: a proof that matches no credential of the VM is an integrity failure.
 *
 * A running VM has the values that its unit loaded when it started. They are stale if the store, or
 * what was activated since, has others.
 */
#ifndef VMCRED_INSPECT_INSPECT_H
#define VMCRED_INSPECT_INSPECT_H

#include "activate/record/record.h"
#include "age/age.h"
#include "base/error.h"
#include "base/report.h"
#include "config/config.h"
#include "delivery/delivery.h"
#include "vars/vars.h"

#define INSPECT_STAGE_COUNT 8

enum inspect_state {
	INSPECT_SEEN,    /* as declared */
	INSPECT_UNSEEN,  /* not visible from here now, which is not a failure */
	INSPECT_MISSING, /* something declared is missing */
	INSPECT_STALE,   /* an old value is in use */
	INSPECT_WRONG, /* an exposed secret, a changed document, or a digest that does not match */
};

struct inspect_stage {
	const char *name;
	enum inspect_state state;
	char *seen; /* owned; what was found; NULL without memory */
};

struct inspect_options {
	const char *vm;
	const char *machine; /* whose secrets; NULL: that of the VM's name, or the only one */
	const char *root;    /* NULL: "/" */
	const char *proof;   /* the guest's log with its proofs, or NULL */
};

struct inspect_result {
	struct inspect_stage stages[INSPECT_STAGE_COUNT];
};

/*
 * Inspects all stages. `identities` decrypt the documents of the store. Findings are in the result
 * and not errors. The caller releases the result.
 */
int inspect_vm(const struct config *config, int store_dirfd,
	       const struct age_identities *identities, const struct inspect_options *options,
	       struct inspect_result *result, struct error *err);

void inspect_result_release(struct inspect_result *result);

/* The worst state of a stage, in the order of the enum. */
enum inspect_state inspect_result_worst(const struct inspect_result *result);

/* "seen", "unseen", "missing", "stale", "wrong". */
const char *inspect_state_name(enum inspect_state state);

/* A unit as systemd shows it: systemctl(1). Times are those of CLOCK_MONOTONIC, in microseconds; 0:
 * never. */
#define INSPECT_WORD_SIZE 32

struct inspect_unit {
	char load[INSPECT_WORD_SIZE];       /* such as "loaded", "not-found"; "" if unknown */
	char active[INSPECT_WORD_SIZE];     /* such as "active", "failed" */
	char sub[INSPECT_WORD_SIZE];        /* such as "running", "auto-restart" */
	char limit_core[INSPECT_WORD_SIZE]; /* bytes, or "infinity"; "" if unknown */
	char swap_max[INSPECT_WORD_SIZE];   /* likewise */
	bool has_job;       /* systemd is starting, stopping or reloading it, or will */
	int64_t started_us; /* the last start */
	int64_t changed_us; /* the last change of `active` */
};

/* Reads the state of all units with one call of systemctl(1). VMCRED_FAILED: it cannot be run, for
 * example because systemd is not the init system. */
int units_read(const char *const *names, size_t count, struct inspect_unit *units,
	       struct error *err);

/* Whether it runs, or is being started or stopped: it may have credentials. */
bool inspect_unit_is_running(const struct inspect_unit *unit);

/* What a unit has of a declared credential. */
enum inspect_loaded {
	INSPECT_LOADED_CURRENT,   /* the value it would get now */
	INSPECT_LOADED_READY,     /* nothing: it does not run; it will get the value */
	INSPECT_LOADED_ABSENT,    /* nothing: the credential is optional, and has no value */
	INSPECT_LOADED_ELSEWHERE, /* nothing: it does not run, and the secret is another machine's
				   */
	INSPECT_LOADED_UNKNOWN,   /* the caller cannot know */
	INSPECT_LOADED_MISSING,   /* nothing, or the next start would fail */
	INSPECT_LOADED_STALE,     /* another value */
};

#define INSPECT_LOADED_STATES 7

/* "current", "ready", "absent", "elsewhere", "unknown", "missing", "stale". */
const char *inspect_loaded_name(enum inspect_loaded state);

/*
 * The whole host: the last activation, and each VM's unit with its credentials. It is for everybody
 * and needs neither the store nor an identity: root compares the values that a unit has loaded with
 * the activated ones; others compare the times of the unit's start and of the last change.
 */

struct inspect_credential {
	const struct config_load *load;
	enum inspect_loaded state;
	bool is_activated;                      /* a file exists */
	const struct activation_secret *secret; /* its record, or NULL */
};

struct inspect_host_vm {
	const struct config_vm *vm;
	const struct inspect_unit *unit;
	struct inspect_credential *credentials; /* its loadCredentials, then the channel key */
	size_t credential_count;
	bool is_delivering; /* it runs with credentials and a channel: its guest can report */
	struct delivery_report delivery; /* owned; what its guest reported */
};

/* What the guest reported of a credential of the unit. False: the guest does not get it, or cannot
 * report. */
bool inspect_host_delivery(const struct inspect_host_vm *vm, const char *credential,
			   enum delivery_state *state);

/* A unit that has not been restarted or reloaded since a secret changed. */
struct inspect_pending {
	const struct activation_pending *pending;
	const struct inspect_unit *unit;
};

/* Starts as {0}. Borrows the declaration. */
struct inspect_host {
	struct activation_record records[CONFIG_PHASES]; /* without a machine: not activated */
	struct inspect_host_vm *vms;                     /* owned, as are the others */
	size_t vm_count;
	struct inspect_pending *pending;
	size_t pending_count;
	size_t counts[INSPECT_LOADED_STATES]; /* of all credentials */
	size_t rejected;                      /* VMs whose guest rejected the delivery */
	struct error units_error;             /* why the state of the units is unknown, or empty */
	/* What the others point to: */
	struct inspect_credential *credentials;
	struct inspect_unit *units;
	const char **unit_names; /* sorted */
	size_t unit_count;
};

/* Another root directory must exist: nothing is found below a mistyped one. NULL is "/". */
int inspect_root_check(const char *root, struct error *err);

/* `vms`: the names of those to inspect, NULL-terminated; NULL: all, but for those whose name or
 * unit is not valid. That the state of the units is unknown is not an error here. The caller
 * releases `*host` in any case. */
int inspect_host(const struct config *config, char *const *vms, const char *root,
		 const struct report *report, struct inspect_host *host, struct error *err);

void inspect_host_release(struct inspect_host *host);

/* What CLOCK_REALTIME showed, in seconds, when CLOCK_MONOTONIC showed this many microseconds. */
int64_t inspect_realtime(int64_t monotonic_us);

/*
 * Whether the values of the store can be delivered to the VMs that load them, by the limits of
 * `compose`. Keeps their sizes, never their bytes. A value that was not added does not count, nor
 * do the strings and limits of a hypervisor.
 */
struct inspect_delivery;

/* NULL without memory. The caller destroys it. */
struct inspect_delivery *inspect_delivery_create(void);

/* Adds a value. By any thread. */
void inspect_delivery_add(struct inspect_delivery *delivery, const struct vars_location *location,
			  struct span value);

/* Called for each VM that cannot get its values on a machine (of the location; NULL: on any). The
 * location is that of the largest value. */
typedef void (*inspect_refused_fn)(const struct vars_location *location, const struct config_vm *vm,
				   const struct error *reason, void *data);

int inspect_delivery_check(struct inspect_delivery *delivery, const struct config *config,
			   inspect_refused_fn refused, void *data, struct error *err);

/* Accepts a pointer to NULL. */
void inspect_delivery_destroy(struct inspect_delivery **delivery);

#endif
