/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations in secrets.d: comparing with the current one, writing a new one, switching, removing
 * old ones. Inside activate/ only.
 */
#ifndef VMCRED_ACTIVATE_GENERATION_H
#define VMCRED_ACTIVATE_GENERATION_H

#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/config.h"

/* Below <root>/run. */
#define GENERATION_FOLDER "secrets.d"

/* Search, but not list: a unit's user reaches its own file and sees no other names; sops-nix's
 * mode. */
#define GENERATION_MODE 0751

/* A decrypted secret on its way to /run. */
struct active_secret {
	const struct config_generator *generator;
	const struct config_file *file;
	struct secret plaintext;
	uid_t uid;
	gid_t gid;
	bool changed; /* differs from the current generation, or is new */
};

/* Opens (and with `may_mount`, mounts) <root>/run/secrets.d; returns its descriptor. `run_dirfd` is
 * <root>/run. */
int generation_folder_open(int run_dirfd, bool may_mount, struct error *err);

/* The number that <root>/run/secrets points to, 0 for none. */
unsigned generation_current(int run_dirfd);

/*
 * Compares with the current generation and sets `changed` of each secret. Returns 1 if anything
 * differs, also if the current one has files that are no longer declared, 0 if not.
 */
int generation_compare(int run_dirfd, struct active_secret *secrets, size_t count,
		       struct error *err);

/* Writes a generation whole, under a temporary name, and renames it to `number`. */
int generation_write(int folder_dirfd, unsigned number, const struct active_secret *secrets,
		     size_t count, struct error *err);

/* Points <root>/run/secrets to the generation in one step. */
int generation_switch(int run_dirfd, unsigned number, struct error *err);

/* Wipes and removes all but the current generation, also what a killed run left half-written. */
int generation_clean(int folder_dirfd, unsigned current, struct error *err);

#endif
