/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a VM's secrets is where: one line for each stage of the flow, from what can be seen on
 * this machine now, and whether the guest's proofs match. Reads only. No value, and nothing that a
 * value could be guessed from, is in a line.
 *
 * A proof is a line that a guest's service printed, "vmcred-proof: credential NAME salt=S
 * sha256=D", where D is the SHA-256 of the text S followed by the credential's bytes. The log that
 * it comes from is not trusted: a line that matches no credential of the VM is an integrity
 * failure.
 */
#ifndef VMCRED_INSPECT_INSPECT_H
#define VMCRED_INSPECT_INSPECT_H

#include "age/age.h"
#include "base/error.h"
#include "config/config.h"

#define INSPECT_STAGE_COUNT 8

enum inspect_state {
	INSPECT_SEEN,    /* as declared */
	INSPECT_UNSEEN,  /* cannot be seen from here now, which is no failure */
	INSPECT_MISSING, /* something declared is not there */
	INSPECT_WRONG,   /* a value in view, or a digest that does not match */
};

struct inspect_stage {
	const char *name;
	enum inspect_state state;
	char *seen; /* owned */
};

struct inspect_options {
	const char *vm;
	const char *machine; /* whose secrets the VM's loadCredentials are; NULL: the VM's name, or
				the only one */
	const char *root;    /* NULL: "/" */
	const char *proof;   /* a file with the guest's proof lines, or NULL */
};

struct inspect_result {
	struct inspect_stage stages[INSPECT_STAGE_COUNT];
};

/*
 * Looks at all stages. `identities` opens the store's documents. What is missing or wrong is in the
 * result, not an error; inspect_result_code() makes an exit code of it. The caller releases the
 * result.
 */
int inspect_vm(const struct config *config, int store_dirfd,
	       const struct age_identities *identities, const struct inspect_options *options,
	       struct inspect_result *result, struct error *err);

void inspect_result_release(struct inspect_result *result);

/* VMCRED_INTEGRITY if a stage is wrong, else VMCRED_MISSING if one is missing, else VMCRED_OK. */
enum vmcred_code inspect_result_code(const struct inspect_result *result);

/* "seen", "unseen", "missing", "wrong". */
const char *inspect_state_name(enum inspect_state state);

#endif
