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

/* Starts as {0}. */
struct doctor {
	struct doctor_finding *findings; /* owned */
	size_t count, capacity;
};

#define _cleanup_doctor_ __attribute__((cleanup(doctor_release)))

/* Takes over the texts, also on failure. NULL is an out-of-memory error. `chmod_path` is copied. */
int doctor_add(struct doctor *doctor, const char *name, enum doctor_severity severity,
	       const char *chmod_path, char *message, char *fix, struct error *err);
void doctor_release(struct doctor *doctor);

/* Repairs a finding with a `chmod_path`. */
int doctor_fix(struct doctor_finding *finding, struct error *err);

/* "warning", "error" */
const char *doctor_severity_name(enum doctor_severity severity);

/* Private keys in files that git tracks or would add, or in all files without a repository.
 * `*searched`: whether git could be started. */
int doctor_check_work_tree(struct doctor *doctor, int store_dirfd, bool *searched,
			   struct error *err);

/* Secrets among the strings that the declaration passes to guests in the clear. */
int doctor_check_strings(struct doctor *doctor, const struct config *config, struct error *err);

/* An identity that others can read or change. `path` is below `root` (NULL: "/"). */
int doctor_check_identity(struct doctor *doctor, const char *root, const char *path,
			  struct error *err);

/* Old and missing credentials of the VMs, and units whose memory may get onto a disk. */
int doctor_check_vms(struct doctor *doctor, const struct inspect_host *host, const char *root,
		     struct error *err);

/* Sockets of hypervisors, in the declared command lines, to which any user can connect. */
int doctor_check_sockets(struct doctor *doctor, const struct config *config, const char *root,
			 struct error *err);

#endif
