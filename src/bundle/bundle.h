/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine needs on its host, in one stream: its part of the declaration
 * (config_part()) and the files that this part declares, in the order of vars_each():
 *
 *     vmcred.yaml
 *     vars/per-machine/<machine>/<generator>/<file>/secret    or value
 *     vars/shared/<generator>/<file>/secret                   or value
 *
 * It is a tar archive (ustar) of regular files with fixed metadata, so equal contents give equal
 * bytes. The secrets in it are encrypted: a bundle is public, and untrusted until it is checked.
 * A reader knows from the declaration which files must follow, and accepts nothing else: no path of
 * the archive is ever used to find a place on the disk.
 *
 * On the host, a bundle is a directory below /etc/vmcred, which the declaration leads to:
 *
 *     /etc/vmcred/vmcred.yaml      a link to .vmcred-bundle.XXXXXXXX/vmcred.yaml
 *
 * One rename of this link replaces a bundle, since the link leads to the store, too
 * (config_find()). Everything else in /etc/vmcred is the host's.
 */
#ifndef VMCRED_BUNDLE_BUNDLE_H
#define VMCRED_BUNDLE_BUNDLE_H

#include "base/lock.h"
#include "base/span.h"
#include "config/config.h"

/* A thousand secrets of a few KiB, or some of the largest ones. */
#define BUNDLE_SIZE_MAX ((size_t)64 * 1024 * 1024)

#define BUNDLE_DECLARATION "vmcred.yaml"

/* Public bytes. Starts as {0}. */
struct bundle_bytes {
	char *data; /* owned */
	size_t size;
};

#define _cleanup_bundle_bytes_ __attribute__((cleanup(bundle_bytes_free)))

void bundle_bytes_free(struct bundle_bytes *bytes);

/* Makes the bundle of the machine that `part` declares, from the store. Fails as
 * vars_store_read_sealed(). */
int bundle_pack(const char *part, int store_dirfd, struct bundle_bytes *bundle, struct error *err);

/*
 * A signed bundle is an archive of three files: the manifest, its SSH signature in the namespace
 * "vmcred-bundle", and the bundle:
 *
 *     manifest        vmcred-bundle 1
 *                     machine <name>
 *                     serial <microseconds since 1970>
 *                     sha256 <of bundle.tar>
 *     manifest.sig
 *     bundle.tar
 *
 * The serial is the time of signing: publishers need no common counter. A host accepts none that is
 * less than the last one.
 */
#define BUNDLE_DIGEST_SIZE   65 /* hexadecimal, with a NUL */
#define BUNDLE_SERIAL_SECOND UINT64_C(1000000)

/* Starts as {0}. */
struct bundle_manifest {
	char *machine; /* owned; NULL: the bundle is not signed */
	uint64_t serial;
	char digest[BUNDLE_DIGEST_SIZE];
	char *signer; /* owned; NULL: the signature was not checked */
};

void bundle_manifest_release(struct bundle_manifest *manifest);

/* Signs with an SSH key; ssh-keygen(1) may ask for a passphrase. */
int bundle_sign(const struct bundle_bytes *content, const char *machine, const char *key,
		struct bundle_bytes *bundle, struct error *err);

/*
 * Finds the bundle in a signed bundle, or `bytes` itself. With a file of allowed signers, the
 * signature is checked, and a bundle without one is VMCRED_INTEGRITY.
 */
int bundle_unwrap(struct span bytes, const char *allowed_signers, struct span *content,
		  struct bundle_manifest *manifest, struct error *err);

uint64_t bundle_serial_now(void);

#define BUNDLE_TIME_SIZE 32
void bundle_serial_text(uint64_t serial, char text[BUNDLE_TIME_SIZE]);

/*
 * Compares the serial with the last one, which is in the directory (-1: there is none). Equal ones
 * are accepted for the same bundle: an interrupted import is repeated. VMCRED_INTEGRITY: it is
 * older, or too far in the future. The serial is written before the bundle is installed.
 */
int bundle_serial_check(int dirfd, const struct bundle_manifest *manifest, struct error *err);
int bundle_serial_write(int dirfd, const struct bundle_manifest *manifest, struct error *err);

struct bundle_file {
	char *path;          /* owned; as in the store */
	struct span content; /* part of the bundle */
};

/* A bundle that was checked. Starts as {0}. */
struct bundle {
	struct config config;      /* owned; its only machine is the bundle's */
	struct bundle_file *files; /* owned; the declaration first */
	size_t count;
};

#define _cleanup_bundle_ __attribute__((cleanup(bundle_destroy)))

/* Checks a bundle, which must be for the `given` machine or this one (config_machine_is_here());
 * `bytes` must stay valid. VMCRED_INTEGRITY: it is not a bundle, or is another machine's. */
int bundle_open(struct span bytes, const char *given, struct bundle *bundle, struct error *err);
void bundle_destroy(struct bundle *bundle);

/* Writes the files to an empty directory, without syncing. */
int bundle_unpack(const struct bundle *bundle, int dirfd, struct error *err);

/* The directory of the installed bundle, such as /etc/vmcred. Starts as BUNDLE_PLACE_NONE. */
struct bundle_place {
	int dirfd; /* owned */
	struct lock lock;
	char *stage; /* owned; the new bundle's directory while it is not installed, or NULL */
};

#define BUNDLE_PLACE_NONE                       \
	{                                       \
		.dirfd = -1, .lock = LOCK_NONE, \
	}
#define _cleanup_bundle_place_ __attribute__((cleanup(bundle_place_close)))

/*
 * Creates the directory if necessary, locks it, and removes what killed runs left. With `dry`, only
 * checks it. VMCRED_FAILED: it has a declaration or a store that did not come from a bundle.
 */
int bundle_place_open(const char *path, bool dry, struct bundle_place *place, struct error *err);

/* Writes the bundle beside the installed one, and syncs it. Returns a descriptor of its directory,
 * which the caller closes. */
int bundle_stage(struct bundle_place *place, const struct bundle *bundle, struct error *err);

/* Replaces the installed bundle by the staged one. */
int bundle_install(struct bundle_place *place, struct error *err);

/* Removes a bundle that was staged and not installed, and releases everything. */
void bundle_place_close(struct bundle_place *place);

#endif
