/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decrypting a machine's secrets to the paths from which its units load them:
 *
 *     <root>/run/secrets.d/<N>/vars/<generator>/<file>    generation N, on a memory file system
 *     <root>/run/secrets                                  a link to the current generation
 *
 * The other phases (config_phase_get()) have directories of their own, such as
 * /run/secrets-for-users.d, and are activated separately.
 *
 * All secrets are decrypted and checked before anything is written. One that cannot be decrypted
 * stops no other: its file stays as in the previous generation, or is missing. A new generation is
 * complete before one rename switches the link to it; then the old ones are wiped and removed. If
 * nothing changed, only the record is written. So a unit that starts at any moment sees one
 * complete generation.
 *
 * Without a root directory, /run/secrets.d is a mount of its own: tmpfs without swap (Linux 6.4),
 * else ramfs; nosuid, nodev and noexec. A root directory (for tests and images) must be on a memory
 * file system: plaintext is never written to disk.
 *
 * The directories have doors of their own: record/record.h is the record of the last activation,
 * serve/serve.h serves credentials without files, manifest/manifest.h installs the manifests of
 * sops-nix.
 */
#ifndef VMCRED_ACTIVATE_ACTIVATE_H
#define VMCRED_ACTIVATE_ACTIVATE_H

#include <stdbool.h>

#include "activate/record/record.h"
#include "age/age.h"
#include "base/error.h"
#include "base/report.h"
#include "base/text.h"
#include "config/config.h"

struct activate_options {
	const char *machine;
	const char *root; /* NULL: "/" */
	enum config_needed_for needed_for;
	bool dry; /* writes nothing, not even a directory */
};

/* The changes that sops-nix can log, of secrets and of rendered templates. */
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
	bool changed;        /* a new generation was written, or would be */
	unsigned generation; /* the current one */
	size_t secret_count;
	struct error failure;            /* of a secret, while others were activated */
	struct activation_record record; /* with the units that are pending; not for a manifest */
	struct strings restart_units, reload_units; /* of a manifest's secrets that changed */
	/* Sorted names; of a manifest that logs them, or what a dry activation would change. */
	struct strings changes[ACTIVATE_CHANGES];
};

#define _cleanup_activate_result_ __attribute__((cleanup(activate_result_release)))

void activate_result_release(struct activate_result *result);

/*
 * Activates. Returns 0 if only some secrets failed: `result->failure` is the worst reason, and the
 * record has all. VMCRED_MISSING: a declared secret is not in the store, or cannot be decrypted
 * with the identities. VMCRED_INTEGRITY: a document was changed. After an error the old generation
 * is current. The caller releases the result in any case.
 */
int activate_machine(const struct config *config, int store_dirfd,
		     const struct age_identities *identities,
		     const struct activate_options *options, const struct report *report,
		     struct activate_result *result, struct error *err);

#endif
