/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest in memory. Inside manifest/ only. */
#ifndef VMCRED_ACTIVATE_MANIFEST_MODEL_H
#define VMCRED_ACTIVATE_MANIFEST_MODEL_H

#include "activate/generation.h"
#include "activate/manifest/manifest.h"
#include "base/json.h"
#include "sops/sops.h"

/* The directory of rendered templates in a generation. */
#define MANIFEST_RENDERED "rendered"

/* A SOPS document with any number of secrets. */
struct manifest_document {
	const char *path;
	const struct sops_store *store;
	const char *first; /* the first secret in it */
	struct sops_document *document;
};

/* A secret or a template. Texts belong to the manifest's JSON, except those marked as owned. */
struct manifest_item {
	const char *name, *given_path, *given_mode;
	const char *owner, *group; /* NULL: `given_uid` and `given_gid` */
	long given_uid, given_gid;
	const json_t *restart_units, *reload_units; /* NULL: none */
	const char *key;                            /* of a secret; "": the whole document */
	const char *format, *sops_file;             /* of a secret */
	const char *content, *file;                 /* of a template */
	char *path;              /* owned; of the link to it: absolute, without "." and "//" */
	size_t document;         /* of a secret */
	const char *placeholder; /* of a secret; NULL without templates */
	struct secret text;      /* of a template; not secret, in a buffer that grows */
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct manifest {
	json_t *root;                /* owned */
	struct manifest_item *items; /* owned; the secrets, then the templates */
	size_t secret_count, item_count;
	struct manifest_document *documents; /* owned */
	size_t document_count;
	const json_t *secrets, *templates;
	const json_t *ssh_keys, *age_ssh_keys;
	const char *age_key_file, *gnupg_home;
	const char *given_mount_point, *given_link_path;
	char *mount_point, *link_path; /* owned */
	long keep_generations;
	bool use_tmpfs, user_mode, log_keys, log_changes;
	gid_t directory_gid;
};

/* members.c: reads the members of the manifest's JSON, and of a secret or template. */
int manifest_members_read(struct manifest *manifest, struct error *err);
int manifest_item_members_read(const json_t *object, bool is_secret, struct manifest_item *item,
			       struct error *err);

/* read.c: the path of an item below symlinkPath, in new memory; NULL without. */
char *manifest_target(const struct manifest *manifest, const struct manifest_item *item);

/* read.c: whether a path, without "." and "//", is below the directory. */
bool manifest_is_below(const char *path, const char *directory);

/* The keys for a manifest's documents. Starts as {0}. */
struct manifest_keys {
	struct age_identities identities;
	struct pgp_keys pgp_keys;
	struct age_identities all; /* these and the options'; only the array is owned */
};

/* keys.c: loads the manifest's keys. The caller releases them, also after a failure. */
int manifest_keys_load(const struct manifest *manifest, const struct manifest_options *options,
		       const struct report *report, struct manifest_keys *keys, struct error *err);
void manifest_keys_release(struct manifest_keys *keys);

/* decrypt.c: reads the documents, and checks that they have the secrets' keys. */
int manifest_documents_read(struct manifest *manifest, struct error *err);

/* decrypt.c: decrypts the documents, and sets the content of each item's file. */
int manifest_decrypt(struct manifest *manifest, const struct manifest_keys *keys, const char *gpg,
		     const struct report *report, struct generation_file *files, struct error *err);

/* changes.c: collects the units and names of the changed items in the result. `files` starts with
 * the items' files. */
int manifest_changes(const struct manifest *manifest, const struct generation_place *place,
		     const struct generation_file *files, struct activate_result *result,
		     struct error *err);

/* changes.c: adds the result's units to NixOS's lists. */
int manifest_units_list(const struct activate_result *result, bool dry, struct error *err);

/* Links outside the generation that are being installed. Starts as {0}. */
struct manifest_links {
	struct manifest_link *items; /* owned */
	size_t count;
};

/*
 * links.c: creates the links that are missing or different under temporary names next to their
 * places, then renames them. After a failure before manifest_links_keep(), manifest_links_release()
 * restores all places. What another user can prevent is reported as a warning.
 */
int manifest_links_prepare(const struct manifest *manifest, const struct report *report,
			   struct manifest_links *links, struct error *err);
int manifest_links_place(struct manifest_links *links, const struct report *report,
			 struct error *err);
void manifest_links_keep(struct manifest_links *links);
void manifest_links_release(struct manifest_links *links);

/* links.c: whether a descriptor, opened with O_PATH and O_NOFOLLOW, is a link to `target`. */
bool manifest_link_leads_to(int link_fd, const char *target);

/* record.c: adds the manifest's links to the record; removes recorded links that it does not have.
 * `dirfd` is the directory of the generations. */
int manifest_record_add(const struct manifest *manifest, int dirfd, struct error *err);
int manifest_record_prune(const struct manifest *manifest, int dirfd, struct error *err);

#endif
