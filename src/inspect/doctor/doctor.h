/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds what endangers secrets although everything works: on the host, and in the work tree with
 * the declaration. Each finding has a stable name, which vmcred-inspect(1) explains. Checks only
 * read; what they cannot see is not a finding. No finding contains a secret.
 */
#ifndef VMCRED_INSPECT_DOCTOR_DOCTOR_H
#define VMCRED_INSPECT_DOCTOR_DOCTOR_H

#include "inspect/inspect.h"

enum doctor_severity {
	DOCTOR_WARNING, /* it could go wrong */
	DOCTOR_ERROR,   /* it is wrong */
};

struct doctor_finding {
	const char *name;
	enum doctor_severity severity;
	char *message;    /* owned */
	char *fix;        /* owned; a command or an instruction, in one line */
	bool is_fixed;    /* by doctor_fix() */
	char *chmod_path; /* owned; doctor_fix() removes access to this file; or NULL */
};

/* Starts with `ignored`, else as {0}. */
struct doctor {
	const char *const *ignored; /* names of findings that are not wanted */
	size_t ignored_count;
	struct doctor_finding *findings; /* owned */
	size_t count, capacity;
};

#define _cleanup_doctor_ __attribute__((cleanup(doctor_release)))

/* The names of all findings, NULL-terminated. */
extern const char *const doctor_names[];

/* Whether a finding of that name is wanted, so that it must be looked for. */
bool doctor_wants(const struct doctor *doctor, const char *name);

/* Takes over the texts, also on failure. NULL is an out-of-memory error. `chmod_path` is copied. */
int doctor_add(struct doctor *doctor, const char *name, enum doctor_severity severity,
	       const char *chmod_path, char *message, char *fix, struct error *err);
void doctor_release(struct doctor *doctor);

/* Repairs a finding with a `chmod_path`. */
int doctor_fix(struct doctor_finding *finding, struct error *err);

/* A text file of the examined host, or NULL: not what blocks a reader or has no end. The caller
 * frees it. */
char *doctor_file_text(const char *path, size_t size_max);

/* "warning", "error" */
const char *doctor_severity_name(enum doctor_severity severity);

/* Private keys as POSIX extended regular expressions: a whole key and not only its name, which
 * documentation may have. */
#define DOCTOR_AGE_KEY "AGE-SECRET-KEY-(PQ-)?1[02-9AC-HJ-NP-Z]{50,}"
#define DOCTOR_PEM_KEY "^ *-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----"

/* Private keys in files that git tracks or would add, or in all files without a repository; and the
 * history of the repository. `*unsearched`: what was not searched and why, for a warning, or NULL.
 */
int doctor_check_work_tree(struct doctor *doctor, int store_dirfd, const struct report *report,
			   const char **unsearched, struct error *err);

/* Private keys, and documents that are not encrypted, in all commits of all branches. */
int doctor_check_history(struct doctor *doctor, int store_dirfd, const struct report *report,
			 const char **unsearched, struct error *err);

/* How OEM strings with credentials start. */
#define DOCTOR_CREDENTIAL "io.systemd.credential"

/* Secrets among the strings that the declaration passes to guests in the clear. */
int doctor_check_strings(struct doctor *doctor, const struct config *config, struct error *err);

/* Entries of VMs with errors. */
int doctor_check_entries(struct doctor *doctor, const struct config *config, struct error *err);

/* Host credentials in credentialFiles that the VM's unit does not load. */
int doctor_check_credentials(struct doctor *doctor, const struct config *config, struct error *err);

/* Credentials that units load from the Nix store. `root`: NULL is "/". */
int doctor_check_loads(struct doctor *doctor, const struct config *config, const char *root,
		       struct error *err);

/* A path below `root` that is in the Nix store, or links to it. `what` has the path. */
int doctor_check_nix_store(struct doctor *doctor, const char *root, const char *path,
			   const char *what, struct error *err);

/* An identity that others can read or replace. `path` is below `root` (NULL: "/"). */
int doctor_check_identity(struct doctor *doctor, const char *root, const char *path,
			  struct error *err);

/* Old and missing credentials of the VMs, and units whose memory may get onto a disk. */
int doctor_check_vms(struct doctor *doctor, const struct inspect_host *host, const char *root,
		     struct error *err);

/* What the hypervisors of the declared command lines leave on the host: sockets to which any user
 * can connect, logs and snapshots with credentials; and their kernels. */
int doctor_check_commands(struct doctor *doctor, const struct config *config, const char *root,
			  struct error *err);

/* Core patterns, /proc, the clock, and versions of the programs that start VMs. */
int doctor_check_system(struct doctor *doctor, const struct inspect_host *host,
			const struct config *config, const char *root, struct error *err);

#endif
