/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a VM's secrets are: one line for each stage of the flow, from what is visible on this
 * machine now, and whether the guest's proofs match. Only reads. No line contains a secret or
 * anything from which it could be guessed.
 *
 * A proof is a line that a guest's service printed, "vmcred-proof: credential NAME salt=S
 * sha256=D", with D the SHA-256 of the text S and the credential's bytes. The guest's log is not
 * trusted: a proof that matches no credential of the VM is an integrity failure.
 */
#ifndef VMCRED_INSPECT_INSPECT_H
#define VMCRED_INSPECT_INSPECT_H

#include "age/age.h"
#include "base/error.h"
#include "config/config.h"

#define INSPECT_STAGE_COUNT 8

enum inspect_state {
	INSPECT_SEEN,    /* as declared */
	INSPECT_UNSEEN,  /* not visible from here now, which is not a failure */
	INSPECT_MISSING, /* something declared is missing */
	INSPECT_WRONG, /* an exposed secret, a changed document, or a digest that does not match */
};

struct inspect_stage {
	const char *name;
	enum inspect_state state;
	char *seen; /* owned; what was found; NULL without memory */
};

struct inspect_options {
	const char *vm;
	const char *machine; /* whose secrets; NULL: that of the VM's name, or the only one */
	const char *root;    /* NULL: "/" */
	const char *proof;   /* the guest's log with its proofs, or NULL */
};

struct inspect_result {
	struct inspect_stage stages[INSPECT_STAGE_COUNT];
};

/*
 * Inspects all stages. `identities` decrypt the documents of the store. Findings are in the result
 * and not errors; inspect_result_code() makes an exit code of them. The caller releases the result.
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
