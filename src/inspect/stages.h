/* SPDX-License-Identifier: Apache-2.0 */
/* The stages and what they are checked with: the VM, and the source and value of each credential.
 * Inside inspect/ only. */
#ifndef VMCRED_INSPECT_STAGES_H
#define VMCRED_INSPECT_STAGES_H

#include "base/secret.h"
#include "inspect/credentials.h"

struct inspected {
	const struct config_credential_file *declared;
	const struct config_load *load;           /* NULL: not declared */
	const struct config_generator *generator; /* NULL: not from the store */
	struct secret value;                      /* from the store, or from the declared path */
	struct secret stale;       /* what the unit has instead, if that could be read */
	bool is_repeated;          /* an earlier one is the same secret under another name */
	bool is_known;             /* the document or file exists and was read */
	bool is_damaged;           /* the document was changed */
	bool is_proved;            /* a proof of the guest matches */
	enum inspect_state active; /* the file in /run */
};

struct inspection {
	const struct config *config;
	const struct config_vm *vm;
	const struct inspect_options *options;
	const char *machine;
	int store_dirfd;
	struct inspected *credentials; /* owned */
	size_t count;
	struct inspect_unit unit;
	struct loaded loaded;                            /* owned */
	struct activation_record records[CONFIG_PHASES]; /* owned */
	enum inspect_loaded *loads; /* owned; for each of the VM's loadCredentials */
};

/* Sets a stage's state and text. */
void stage_set(struct inspect_stage *stage, enum inspect_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds to the text of a stage. */
void stage_add(struct inspect_stage *stage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Adds a name to a list "; WHAT: NAME, NAME"; counts the names. */
void stage_add_name(struct inspect_stage *stage, const char *what, const char *name, size_t *count);

/* load.c: compares the unit's credentials with the store. */
int load_inspect(struct inspection *inspection, struct inspect_stage *stage, struct error *err);

/* Adds the stale credentials to a later stage, which has them too. */
void stale_add(const struct inspection *inspection, struct inspect_stage *stage);

/* values.c: an absolute path below the root directory, in new memory; NULL without. */
char *inspection_path(const struct inspection *inspection, const char *path);

/* Reads or decrypts a credential's value, if it is declared. */
int inspected_read(const struct inspection *inspection, const struct age_identities *identities,
		   struct inspected *credential, struct error *err);

/* The secret of the store; its file is NULL if the machine does not have it. */
struct vars_location inspection_locate(const struct inspection *inspection,
				       const struct config_load *load);

/* channel.c: adds what the running guest can request to the stages. */
void channel_inspect(const struct inspection *inspection, const struct age_identities *identities,
		     struct inspect_stage *seal, struct inspect_stage *activate,
		     struct inspect_stage *load);

/* channel.c: adds what the running guest reported of its credentials. */
void delivery_inspect(const struct inspection *inspection, struct inspect_stage *stage);

/* process.c: searches the command lines and environments of the unit's processes for secrets, as
 * any user could with ps(1). */
void launch_inspect(const struct inspection *inspection, struct inspect_stage *stage);

/* proof.c: checks the proofs in the guest's log; marks the credentials with matching ones. */
int proofs_inspect(const struct inspection *inspection, struct inspect_stage *receive,
		   struct inspect_stage *prove, struct error *err);

#endif
