/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest of sops-nix in memory. Inside activate/ only.
 */
#ifndef VMCRED_ACTIVATE_MANIFEST_MANIFEST_H
#define VMCRED_ACTIVATE_MANIFEST_MANIFEST_H

#include <sys/types.h>

#include "activate/activate.h"
#include "activate/generation.h"
#include "base/json.h"
#include "sops/sops.h"

/* Where templates are, below a generation. */
#define MANIFEST_RENDERED "rendered"

/* A SOPS document, however many secrets are in it. */
struct manifest_document {
	const char *path;
	const struct sops_store *store;
	const char *first; /* the first secret in it */
	struct sops_document *document;
};

/* A secret or a template. Texts without "owned" are in the manifest's JSON. */
struct manifest_item {
	const char *name;
	char *path;         /* owned; where a link to it is wanted: absolute and tidy */
	const char *key;    /* of a secret; "": the whole document */
	size_t document;    /* of a secret */
	char *placeholder;  /* owned; of a secret, NULL where there are no templates */
	struct secret text; /* of a template; public, in a buffer that grows */
	const json_t *restart_units, *reload_units; /* NULL: none */
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct manifest {
	json_t *root;                /* owned */
	struct manifest_item *items; /* owned; the secrets, then the templates */
	size_t secret_count, template_count;
	struct manifest_document *documents; /* owned */
	size_t document_count;
	char *mount_point, *link_path; /* owned */
	unsigned keep_generations;
	bool use_tmpfs, user_mode, log_keys, log_changes;
	gid_t directory_gid;
};

/* A member of an object as text, `fallback` where it is not there or null. */
int manifest_text(const json_t *object, const char *name, const char *fallback, const char **text,
		  struct error *err);

/* Likewise; 0 and false where it is not there. */
int manifest_number(const json_t *object, const char *name, long max, long *number,
		    struct error *err);
int manifest_flag(const json_t *object, const char *name, bool *flag, struct error *err);

/* A list of texts, NULL where it is not there. */
int manifest_texts(const json_t *object, const char *name, const json_t **texts, struct error *err);

/* manifest.c: reads one secret or template. */
int manifest_item_read(const struct manifest *manifest, const json_t *object, bool is_template,
		       const struct manifest_options *options, struct manifest_item *item,
		       struct error *err);

/* manifest.c: a path as it is meant: tidy where it is absolute, in user mode with %r and %%
 * replaced; in new memory, NULL without. */
char *manifest_place(const struct manifest *manifest, const char *path,
		     const struct manifest_options *options);

/* The keys that a manifest's documents are opened with. Starts as {0}. */
struct manifest_keys {
	struct age_identities identities;
	struct sops_pgp_keys pgp_keys;
	struct age_identities all; /* its array alone is owned: those and the options' */
};

/* manifest_keys.c: loads the keys that the manifest names. The caller releases them, also after a
 * failure. */
int manifest_keys_load(const struct manifest *manifest, const struct manifest_options *options,
		       const struct report *report, struct manifest_keys *keys, struct error *err);
void manifest_keys_release(struct manifest_keys *keys);

/* manifest_decrypt.c: whether a secret of the store is one key of it; of others it is the whole. */
bool manifest_has_keys(const struct sops_store *store);

/* manifest_decrypt.c: reads the documents that are not read yet. */
int manifest_documents_read(struct manifest *manifest, struct error *err);

/* manifest_decrypt.c: the content of each item. */
int manifest_decrypt(struct manifest *manifest, const struct manifest_keys *keys, const char *gpg,
		     struct active_file *files, struct error *err);

/* manifest_units.c: what changed goes to the result, as far as it is asked for. `files` are those
 * of the items, in their order, and then links in the generation. */
int manifest_changes(const struct manifest *manifest, const struct generation_place *place,
		     const struct active_file *files, struct activate_result *result,
		     struct error *err);

/* manifest_units.c: adds the result's units to NixOS's lists. */
int manifest_units_list(const struct activate_result *result, bool dry, struct error *err);

/* Whether a path, both without "." and "//", leads to below the folder. */
bool manifest_is_below(const char *path, const char *folder);

/* manifest_links.c: what an item's link holds, in new memory; NULL without. */
char *manifest_target(const struct manifest *manifest, size_t index);

/* The links on their way. Starts as {0}. */
struct manifest_links {
	struct manifest_link *items; /* owned */
	size_t count;
};

/*
 * manifest_links.c: makes the links that are not in place, under temporary names beside their
 * places, then puts them there. Where anything fails before manifest_links_keep(), releasing (or
 * undoing) gives each place back what it had.
 */
int manifest_links_prepare(const struct manifest *manifest, struct manifest_links *links,
			   struct error *err);
int manifest_links_place(struct manifest_links *links, struct error *err);
void manifest_links_keep(struct manifest_links *links);
void manifest_links_undo(struct manifest_links *links);
void manifest_links_release(struct manifest_links *links);

/* manifest_record.c: adds the manifest's links to the record in the folder of the generations;
 * removes those in it that the manifest does not have. */
int manifest_record_add(const struct manifest *manifest, int dirfd, struct error *err);
int manifest_record_prune(const struct manifest *manifest, int dirfd, struct error *err);

#endif
