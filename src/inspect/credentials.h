/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which value a unit runs with: what systemd says of the unit, the credentials it has loaded, and
 * whether each is what it would load now. Inside inspect/ only.
 */
#ifndef VMCRED_INSPECT_CREDENTIALS_H
#define VMCRED_INSPECT_CREDENTIALS_H

#include "base/secret.h"
#include "inspect/inspect.h"

/* Reads the record of each phase; one that was not activated has no machine. */
int records_read(const char *root, struct activation_record records[CONFIG_PHASES],
		 struct error *err);

/* The record of a VM's secret. NULL: not recorded, or not activated because the socket serves it.
 */
const struct activation_secret *record_find(const struct activation_record records[CONFIG_PHASES],
					    const struct config_vm *vm,
					    const struct config_load *load);

/* A VM's unit with systemd's directory of its credentials: systemd.exec(5), "Credentials". */
struct loaded {
	const struct config_vm *vm;
	const struct inspect_unit *unit;
	char *path;     /* owned; of the directory */
	int dirfd;      /* owned; -1: it does not exist, or the caller may not search it */
	bool is_hidden; /* the caller may not search it */
};

#define _cleanup_loaded_ __attribute__((cleanup(loaded_release)))

/* Opens the directory below `root`; one that does not exist is not an error. */
int loaded_open(const char *root, const struct config_vm *vm, const struct inspect_unit *unit,
		struct loaded *loaded, struct error *err);

void loaded_release(struct loaded *loaded);

/* Whether the unit has loaded credentials; without systemd, whether their directory exists. */
bool loaded_is_running(const struct loaded *loaded);

enum loaded_found {
	LOADED_NOTHING, /* the unit does not have the credential */
	LOADED_HIDDEN,  /* the caller may not read it */
	LOADED_VALUE,
};

/* Reads a credential of the unit. */
enum loaded_found loaded_read(const struct loaded *loaded, const char *credential,
			      struct secret *value);

/* What the unit would load now. */
struct loaded_source {
	bool is_known; /* whether it exists */
	bool exists;
	bool is_elsewhere;          /* it does not exist, and is not for this machine */
	const struct secret *value; /* NULL: unknown */
	int64_t changed_us;         /* the last change of the value: CLOCK_MONOTONIC; 0: unknown */
};

/* Compares the values or, where one is unknown, the time of the last change and of the unit's
 * start. `value` is that of loaded_read(). */
enum inspect_loaded loaded_compare(const struct loaded *loaded, const struct config_load *load,
				   enum loaded_found found, const struct secret *value,
				   const struct loaded_source *source);

#endif
