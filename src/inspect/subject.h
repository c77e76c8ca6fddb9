/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stages are looked at with: the VM, and for each of its credentials where it comes from
 * and its value. Inside inspect/ only.
 */
#ifndef VMCRED_INSPECT_SUBJECT_H
#define VMCRED_INSPECT_SUBJECT_H

#include "base/secret.h"
#include "inspect/inspect.h"

struct subject_credential {
	const struct config_credential_file *declared;
	const struct config_load *load; /* NULL: comes from elsewhere */
	const struct config_generator *generator;
	const struct config_file *file;
	struct secret value; /* from the store */
	bool sealed;         /* the document was there, opened and whole */
	bool damaged;        /* the document was changed */
	bool proved;         /* a line of the guest matches */
};

struct subject {
	const struct config *config;
	const struct config_vm *vm;
	const struct inspect_options *options;
	const char *machine;
	int store_dirfd;
	struct subject_credential *credentials; /* owned */
	size_t count;
};

#define _cleanup_subject_ __attribute__((cleanup(subject_release)))

/* Finds the VM's credentials and decrypts those that are in the store. */
int subject_open(struct subject *subject, const struct age_identities *identities,
		 struct error *err);
void subject_release(struct subject *subject);

/* Fills in a stage; "out of memory" where the text cannot be made. */
void stage_set(struct inspect_stage *stage, enum inspect_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Looks for a running process of the VM's unit with a value in its command line or environment. */
void launch_look(const struct subject *subject, struct inspect_stage *stage);

/*
 * Reads the proof lines: marks the credentials that they prove, and sets the stages "receive" and
 * "prove".
 */
int proof_look(struct subject *subject, struct inspect_stage *receive, struct inspect_stage *prove,
	       struct error *err);

#endif
