/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs read and write. A file is replaced whole or not touched; plaintext that is written
 * to a new file can be read by its owner alone.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_FILES_H
#define VMCRED_CLI_VMCRED_SOPS_FILES_H

#include "cli/vmcred-sops/call.h"

/* The one file that a verb is for, and which stores read and write it. */
struct sops_file {
	const char *path; /* NULL: standard input */
	const char *name; /* for errors */
	char *rule_path;  /* owned; absolute, --filename-override or the path */
	const struct sops_store *input, *output;
	struct sops_format format;
};

void sops_file_destroy(struct sops_file *file);

#define _cleanup_sops_file_ __attribute__((cleanup(sops_file_destroy)))

/*
 * Finds out about the file `path`, or standard input where that is NULL: stores by the flags, else
 * by the name; the layout by --indent and .sops.yaml.
 */
int sops_file_describe(struct sops_call *call, const char *path, struct sops_file *file,
		       struct error *err);

/* The file must be there (exit code 100). */
int sops_file_require(struct sops_call *call, const char *path, struct error *err);

/* Reads it whole (exit code 2). */
int sops_file_read(struct sops_call *call, const struct sops_file *file, struct secret *text,
		   struct error *err);

/* Reads it whole as an encrypted document, which stays sealed. `text` is used meanwhile. */
int sops_file_parse(struct sops_call *call, const struct sops_file *file, struct secret *text,
		    struct sops_document **document, struct error *err);

/*
 * Reads and opens an encrypted document with the keys that are there (exit codes 25, 51 and 128).
 * The caller destroys it.
 */
int sops_file_open(struct sops_call *call, const struct sops_file *file,
		   struct sops_document **document, struct error *err);

/* Writes the document to where --in-place and --output say (exit codes 3 and 4). */
int sops_file_write(struct sops_call *call, const struct sops_file *file,
		    const struct sops_document *document, bool in_place, bool plaintext,
		    struct error *err);

/* --in-place and --output do not go together (exit code 8). */
int sops_output_check(struct sops_call *call, struct error *err);

/* Writes a new file, replaces an old one as it was, or writes to what is no file. `plaintext`: a
 * new file is for its owner only. */
int sops_path_write(const char *path, bool plaintext, struct span content, struct error *err);

/* Writes bytes there. `plaintext`: a new file is for its owner only. */
int sops_output_write(struct sops_call *call, const struct sops_file *file, bool in_place,
		      bool plaintext, struct span content, struct error *err);

/* The exit code for the last failure of a document. */
enum sops_exit sops_failure_exit(const struct sops_document *document);

#endif
