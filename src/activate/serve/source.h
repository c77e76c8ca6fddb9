/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the answers come from: the declaration, its store and the machine's identities, each of
 * which can change at any time. They are checked after requests have arrived and before these are
 * answered: a stat(2) takes a microsecond, reading a hundred.
 */
#ifndef VMCRED_ACTIVATE_SERVE_SOURCE_H
#define VMCRED_ACTIVATE_SERVE_SOURCE_H

#include "activate/serve/guest.h"
#include "activate/serve/request.h"
#include "activate/serve/serve.h"
#include "age/age.h"

/* A file that was read and may have changed since. Starts as {0}. */
struct serve_watch {
	struct stat seen;
	bool is_settled;    /* a later change is visible in its times */
	struct error fault; /* of the last attempt to read it, reported once */
};

enum serve_change {
	SERVE_SAME,
	SERVE_UNSURE, /* it was read so soon after a change that another one would not be visible */
	SERVE_CHANGED,
};

/* Whether the file has changed since the last call. */
enum serve_change serve_watch_check(struct serve_watch *watch, const struct stat *now);

struct serve_source {
	const struct serve_options *options;
	const struct report *report;
	struct config config;  /* owned; with the VMs of the machine */
	const char *machine;   /* of the declaration */
	unsigned int readings; /* of the declaration */
	int store_dirfd;       /* owned; starts as -1: no declaration was read */
	struct stat directory; /* of the store */
	struct age_identities identities;
	struct serve_watch config_watch, identity_watch;
};

/* Reads what has changed, or everything with `force`. */
void serve_source_update(struct serve_source *source, bool force);

/*
 * Decrypts the secret for a request. `*left_out`: it is optional and not in the store, and `*value`
 * stays empty. VMCRED_USAGE: the unit may not have it. If the request was read before,
 * VMCRED_FAILED: the secret has changed since.
 */
int serve_source_read(const struct serve_source *source, struct serve_request *request,
		      struct secret *value, bool *left_out, struct error *err);

/* The file of a VM's credential. One that does not exist or that the VM may not have is all zeros.
 */
struct stat serve_source_stat(const struct serve_source *source, const struct config_vm *vm,
			      const struct config_load *load);

/*
 * Writes an ANNOUNCE with what the unit's guest may request now, if it differs from the guest's
 * last one; else `*size` is 0. Decrypts only what may have changed. A secret that cannot be read is
 * left out. After `until`, the rest is left to the next call, and `*is_complete` is false. The
 * caller frees *announce.
 */
int serve_source_announce(const struct serve_source *source, const char *unit,
			  struct serve_guest *guest, int64_t until, bool *is_complete,
			  uint8_t **announce, size_t *size, struct error *err);

void serve_source_release(struct serve_source *source);

#endif
