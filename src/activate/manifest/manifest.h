/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Installing sops-nix's manifest.json as sops-install-secrets does. A manifest is public JSON:
 * which keys of which SOPS documents become which files, and the templates into which they are
 * rendered.
 *
 *     <secretsMountPoint>/<N>/<name>            and .../<N>/rendered/<name> for templates
 *     <symlinkPath>                             a link to the current generation
 *     <path>                                    a link to <symlinkPath>/<name>
 *
 * Everything is decrypted before anything is written. After a failure, the old generation is
 * current and all links are as before.
 */
#ifndef VMCRED_ACTIVATE_MANIFEST_MANIFEST_H
#define VMCRED_ACTIVATE_MANIFEST_MANIFEST_H

#include "activate/activate.h"

enum manifest_check {
	MANIFEST_INSTALL,
	MANIFEST_CHECK,           /* check the manifest only */
	MANIFEST_CHECK_DOCUMENTS, /* and whether the documents have the keys in it */
};

struct manifest_options {
	enum manifest_check check;
	bool ignore_passwd;      /* do not resolve users and groups: everything is root's */
	bool dry;                /* write nothing but NixOS's lists for a dry activation */
	bool list_units;         /* add units to NixOS's lists in /run/nixos */
	const char *runtime_dir; /* replaces %r in paths in user mode; NULL: there is none */
	/* Tried after the manifest's own keys; borrowed; may be NULL. */
	const struct age_identities *identities;
	const char *gpg; /* the program */
};

struct manifest;

#define _cleanup_manifest_ __attribute__((cleanup(manifest_destroy)))

/* Reads and checks a manifest. The caller destroys it. */
int manifest_read(const char *path, const struct manifest_options *options, struct manifest **out,
		  struct error *err);

/* The directory of the GnuPG keys, for gpg's environment, or NULL. */
const char *manifest_gnupg_home(const struct manifest *manifest);

/* Whether the manifest has age keys, which replace $SOPS_AGE_KEY_FILE. */
bool manifest_has_age_keys(const struct manifest *manifest);

/* Accepts a pointer to NULL; sets it to NULL. */
void manifest_destroy(struct manifest **manifest);

/* Installs the manifest. A unit is listed in the result once for each of its changed secrets. The
 * caller releases the result. */
int manifest_install(struct manifest *manifest, const struct manifest_options *options,
		     const struct report *report, struct activate_result *result,
		     struct error *err);

#endif
