/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decrypting a machine's secrets to where its units find them:
 *
 *     <root>/run/secrets.d/<N>/vars/<generator>/<file>    generation N, on a memory file system
 *     <root>/run/secrets                                  a link to the current generation
 *
 * What is needed for something else than services has places of its own, /run/secrets-for-users.d
 * and so on (config_phase_get()), and is activated by itself, in the same way.
 *
 * All secrets are decrypted and checked before anything is written; a new generation is complete
 * before the link is switched to it, by one rename; then the old ones are wiped and removed. Where
 * nothing changed, nothing is written. So a unit that starts at any moment sees one whole
 * generation.
 *
 * Without a root of its own, that folder is given a mount of its own: tmpfs that is never swapped
 * (Linux 6.4), else ramfs, nosuid, nodev and noexec. With one (for tests and images) it must be on
 * a memory file system already: plaintext never goes to a disk.
 */
#ifndef VMCRED_ACTIVATE_ACTIVATE_H
#define VMCRED_ACTIVATE_ACTIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "age/age.h"
#include "base/error.h"
#include "base/report.h"
#include "config/config.h"

struct activate_options {
	const char *machine;
	const char *root; /* NULL: "/" */
	enum config_needed_for needed_for;
};

/* What sops-nix says on request of secrets, and of what is rendered from templates. */
enum activate_change {
	ACTIVATE_ADDED,
	ACTIVATE_MODIFIED,
	ACTIVATE_REMOVED,
	ACTIVATE_RENDERED_ADDED,
	ACTIVATE_RENDERED_MODIFIED,
	ACTIVATE_RENDERED_REMOVED,
};

#define ACTIVATE_CHANGES 6

struct activate_result {
	bool changed;        /* a new generation was made, or would be */
	unsigned generation; /* the current one */
	size_t secret_count;
	char **restart_units; /* owned, NULL-terminated, of the secrets that changed */
	char **reload_units;  /* likewise */
	/* Owned lists of names, each sorted; for a manifest that wants them told. */
	char **changes[ACTIVATE_CHANGES];
};

/* The machine `given`, or the only one declared. NULL with VMCRED_USAGE: there is not exactly one. */
const char *activate_machine_choose(const struct config *config, const char *given,
				    struct error *err);

/*
 * Activates. VMCRED_MISSING: a declared secret is not in the store, or no identity opens it.
 * VMCRED_INTEGRITY: a document was changed. The old generation stays in every case of failure. The
 * caller releases the result.
 */
int activate_machine(const struct config *config, int store_dirfd,
		     const struct age_identities *identities,
		     const struct activate_options *options, const struct report *report,
		     struct activate_result *result, struct error *err);

/*
 * sops-nix's manifest.json: public JSON that says which keys of which SOPS documents become which
 * files, and which texts they are put into. Its format is what sops-install-secrets reads, and the
 * tree is what that makes:
 *
 *     <secretsMountPoint>/<N>/<name>            and …/<N>/rendered/<name> for templates
 *     <symlinkPath>                             a link to the current generation
 *     <path>                                    a link to <symlinkPath>/<name>
 */
enum manifest_check {
	MANIFEST_INSTALL,
	MANIFEST_CHECK,           /* look at the manifest alone */
	MANIFEST_CHECK_DOCUMENTS, /* and whether the documents have what it names */
};

struct manifest_options {
	enum manifest_check check;
	bool ignore_passwd;      /* look no user or group up: all is root's */
	bool dry;                /* change nothing but NixOS's lists for a dry activation */
	bool list_units;         /* add units to NixOS's lists in /run/nixos */
	const char *runtime_dir; /* what %r is in paths in user mode; NULL: there is none */
	/* Tried after the keys that the manifest names; borrowed, may be NULL. */
	const struct age_identities *identities;
	const char *gpg; /* the program */
};

struct manifest;

#define _cleanup_manifest_ __attribute__((cleanup(manifest_destroy)))

/* Reads and checks a manifest, as far as `check` says. The caller destroys it. */
int manifest_read(const char *path, const struct manifest_options *options, struct manifest **out,
		  struct error *err);

/* The folder of the GnuPG keys, which gpg finds by its environment, or NULL. */
const char *manifest_gnupg_home(const struct manifest *manifest);

/* Whether the manifest names age keys, which take the place of $SOPS_AGE_KEY_FILE. */
bool manifest_has_age_keys(const struct manifest *manifest);

/* Accepts a pointer to NULL; sets it to NULL. */
void manifest_destroy(struct manifest **manifest);

/* Activates, as activate_machine() does; units in the result are listed as often as they are named.
 */
int activate_manifest(struct manifest *manifest, const struct manifest_options *options,
		      const struct report *report, struct activate_result *result,
		      struct error *err);

void activate_result_release(struct activate_result *result);

#endif
