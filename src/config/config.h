/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The declaration, `vmcred.yaml` (YAML or JSON): which machines, generators and VMs there are, and
 * by which names a secret travels from one to the next. Everything else is derived from it. The
 * file is public and holds no secret. What it says is checked here, with the line number in the
 * error, so that the other modules can rely on it: unknown keys, names, references between VMs and
 * generators.
 *
 * A `struct config` owns all that hangs on it; config_destroy() releases it. Lists keep the file's
 * order.
 */
#ifndef VMCRED_CONFIG_CONFIG_H
#define VMCRED_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Where a machine's decrypted secrets are found, as sops-nix has it; below it
 * vars/<generator>/<file>. */
#define CONFIG_SECRETS_LINK "/run/secrets"

/* Where `vmcred serve` is asked for them; vmcred.socket makes it. */
#define CONFIG_SOCKET_PATH "/run/vmcred/socket"

/* What a machine needs a file for, and so when: a phase, which is activated by itself. */
enum config_needed_for {
	CONFIG_SERVICES,
	CONFIG_USERS,        /* before they are created */
	CONFIG_ACTIVATION,   /* before the system's own activation script runs */
	CONFIG_PARTITIONING, /* before the system is installed */
};

#define CONFIG_PHASES 4

struct config_phase {
	const char *name;   /* as `neededFor` has it */
	const char *link;   /* to the current generation in the folder "<link>.d" */
	const char *prefix; /* of GENERATOR/FILE below that */
	const char *unit;   /* that activates it at boot, or NULL: somebody else has to */
};

/* How a file is made without a script. */
enum config_kind_type {
	CONFIG_KIND_NONE,
	CONFIG_KIND_BASE64, /* of `size` random bytes */
	CONFIG_KIND_BASE64URL,
	CONFIG_KIND_HEX,
	CONFIG_KIND_ALPHANUMERIC, /* `size` random characters */
	CONFIG_KIND_PIN,          /* `size` random digits */
	CONFIG_KIND_PASSPHRASE,   /* `size` words of a list */
	CONFIG_KIND_PASSWORD_HASH,
	CONFIG_KIND_SSH_KEY,
	CONFIG_KIND_AGE_KEY,
	CONFIG_KIND_WIREGUARD,
	CONFIG_KIND_TLS,
	CONFIG_KIND_JWT,
	CONFIG_KIND_MACHINE_ID,
	CONFIG_KIND_UUID,
};

enum config_algorithm {
	CONFIG_ALGORITHM_DEFAULT,
	CONFIG_ALGORITHM_ED25519, /* ssh-key */
	CONFIG_ALGORITHM_RSA,
	CONFIG_ALGORITHM_YESCRYPT, /* password-hash */
	CONFIG_ALGORITHM_SHA512,
	CONFIG_ALGORITHM_HS256, /* jwt */
	CONFIG_ALGORITHM_EDDSA,
};

struct config_kind {
	enum config_kind_type type;
	size_t size; /* bytes, characters, digits, words, an RSA key's bits, or a hash's rounds (0:
			crypt(3)'s default) */
	enum config_algorithm algorithm;
	char *public_file; /* the file of the generator that gets the public half, or NULL */
	char *list;        /* passphrase: a file with a word a line; relative to the declaration */
	char *separator;   /* passphrase */
	char *source;      /* password-hash: a prompt, a file, or GENERATOR/FILE of a dependency */
	char *comment;     /* ssh-key, or NULL */
	char *subject;     /* tls: the common name, or NULL for the generator's name */
	char **names;      /* tls: DNS names and addresses, NULL-terminated, or NULL */
	bool authority;    /* tls: the certificate may sign others */
	char *issuer;      /* tls: the generator of the authority that signs it, or NULL: itself */
	size_t days;       /* tls: how long the certificate is valid */
	int line;
};

/* An entry of generators.<name>.files. */
struct config_file {
	char *name;
	bool secret; /* default true; false: stored in the clear in `value` */
	bool deploy; /* default true; false: never activated on a machine */
	char *owner; /* default "root"; a name or a number */
	char *group; /* default "root"; likewise */
	enum config_needed_for needed_for;
	mode_t mode;          /* default 0400 */
	char **restart_units; /* NULL-terminated, or NULL */
	char **reload_units;  /* likewise */
	struct config_kind kind;
	bool derived;  /* another file's kind makes it: its public half */
	bool prompted; /* it is the prompt of that name, persisted */
	int line;
};

enum config_prompt_type {
	CONFIG_PROMPT_LINE,
	CONFIG_PROMPT_HIDDEN,
	CONFIG_PROMPT_MULTILINE,
	CONFIG_PROMPT_MULTILINE_HIDDEN,
};

/* An entry of generators.<name>.prompts. */
struct config_prompt {
	char *name;
	enum config_prompt_type type;
	char *description; /* or NULL */
	bool persist;      /* stored as the generator's file of the same name */
	int line;
};

struct config_generator {
	char *name;
	char **machines; /* NULL-terminated, or NULL */
	bool share;
	char **dependencies; /* names of other generators, NULL-terminated, or NULL */
	struct config_prompt *prompts;
	size_t prompt_count;
	struct config_file *files;
	size_t file_count;
	char *script;          /* for sh -c, or NULL: every file has a kind or is prompted for */
	char **runtime_inputs; /* folders, which the script begins with; NULL-terminated, or NULL */
	char *validation; /* compact JSON with sorted keys, or NULL: a change makes the files anew
			   */
	int line;
};

struct config_machine {
	char *name;
	char **tags;        /* NULL-terminated, or NULL */
	size_t *generators; /* indices of those that make files for it alone, each behind all that
			       it depends on */
	size_t generator_count;
	int line;
};

/* An entry of a list that is sorted by name. */
struct config_name {
	const char *name;
	size_t index;
};

/* An entry of vms.<name>.loadCredentials: `credential: generator/file`. */
struct config_load {
	char *credential;
	char *generator;
	char *file;
	enum config_needed_for needed_for; /* of the file; never CONFIG_PARTITIONING */
	int line;
};

/* An entry of vms.<name>.credentialFiles: `OEM-NAME: credential`. */
struct config_credential_file {
	char *oem_name;
	char *credential;
	bool optional;
	int line;
};

/* Where a VM's unit takes its credentials from: credentialSource. */
enum config_source {
	CONFIG_SOURCE_DEFAULT, /* only until the declaration is read */
	CONFIG_SOURCE_FILES,   /* what `vmcred activate` has decrypted */
	CONFIG_SOURCE_SOCKET,  /* `vmcred serve`, with no file in between */
};

struct config_vm {
	char *name;
	char *unit; /* whose LoadCredential= lines bring its secrets; default microvm@<name>.service
		     */
	enum config_source source;
	struct config_load *loads;
	size_t load_count;
	struct config_credential_file *credential_files;
	size_t credential_file_count;
	char **oem_strings; /* platformOEMStrings */
	size_t oem_string_count;
	char **command; /* the VMM's argv, NULL-terminated, or NULL */
	int line;
};

/* An entry of hypervisors: where the program of a name is, for those who call vmcred by that name.
 */
struct config_hypervisor {
	char *name;
	char *path; /* absolute */
	int line;
};

struct config {
	char *path;            /* as it was given, for errors */
	char **default_groups; /* sops.defaultGroups, NULL-terminated, or NULL */
	struct config_machine *machines;
	size_t machine_count;
	struct config_generator *generators;
	size_t generator_count;
	size_t *generator_order; /* their indices, each behind all that it depends on */
	struct config_name *machines_by_name, *generators_by_name;
	char **machine_names;      /* owned; the names are the machines', NULL-terminated */
	enum config_source source; /* of the VMs that do not say it */
	struct config_vm *vms;
	size_t vm_count;
	struct config_hypervisor *hypervisors;
	size_t hypervisor_count;
};

/* A NULL-terminated list of owned texts, or NULL: releases it, counts it. */
void config_texts_free(char **texts);
size_t config_texts_count(char *const *texts);

#define _cleanup_config_ __attribute__((cleanup(config_destroy)))

/*
 * Finds the declaration: `given`, or without it ./vmcred.yaml, or the system's. `*path` (the caller
 * frees it) and a descriptor of its folder (the caller closes it), which is the root of the store;
 * either may be NULL.
 */
int config_find(const char *given, char **path, int *dirfd, struct error *err);

/* Reads and checks a declaration. VMCRED_USAGE with file and line for what is wrong in it. */
int config_load_file(const char *path, struct config *config, struct error *err);

/* The same from text; `path` is what errors call it. */
int config_load_text(const char *text, size_t size, const char *path, struct config *config,
		     struct error *err);

void config_destroy(struct config *config);

/* The entry of that name, or NULL with VMCRED_USAGE, which names the nearest one. */
const struct config_vm *config_vm_get(const struct config *config, const char *name,
				      struct error *err);
const struct config_machine *config_machine_get(const struct config *config, const char *name,
						struct error *err);
const struct config_generator *config_generator_get(const struct config *config, const char *name,
						    struct error *err);

/* Whether the VM's unit is microvm@<name>.service. */
bool config_vm_has_default_unit(const struct config_vm *vm);

/*
 * The VM that runs in a systemd unit, or NULL: the one that says so, or of an instance of
 * microvm@.service the one of that name which says no other unit. The instance has the name as it
 * is, as microvm.nix has it, or escaped (systemd.unit(5)).
 */
const struct config_vm *config_vm_of_unit(const struct config *config, const char *unit);

/* The declared path of a hypervisor, or NULL. */
const char *config_hypervisor_path(const struct config *config, const char *name);

/* The entry of that name, or NULL. */
const struct config_machine *config_machine_find(const struct config *config, const char *name);
const struct config_generator *config_generator_find(const struct config *config, const char *name);
const struct config_file *config_file_find(const struct config_generator *generator,
					   const char *name);

/* Whether the generator depends on the one of that name, directly. */
bool config_generator_depends_on(const struct config_generator *generator, const char *name);

/* Whether the generator's files are for that machine: it names it, or is shared and names none. */
bool config_generator_is_for(const struct config_generator *generator, const char *machine);

/* Those that it is for, NULL-terminated; of a shared one that names none, all. Borrowed. */
char *const *config_generator_machines(const struct config *config,
				       const struct config_generator *generator);

const struct config_phase *config_phase_get(enum config_needed_for needed_for);

/* The phase of that name. VMCRED_USAGE: there is none. */
int config_phase_find(const char *name, enum config_needed_for *needed_for, struct error *err);

/*
 * Whether an owner or group is known without looking it up: "root", or a number. Of a number that
 * is too large, `*number` is UINT32_MAX.
 */
bool config_owner_number(const char *owner, uint32_t *number);

/* Where the activated file is, such as "/run/secrets/vars/<generator>/<file>". NULL without memory;
 * the caller frees it. */
char *config_load_path(const struct config_load *load);

/*
 * Whether the credential is one that its VM starts without: credentialFiles has it, and each time
 * as optional.
 */
bool config_vm_is_optional(const struct config_vm *vm, const char *credential);

/*
 * What an optional credential holds where its file is missing, for which systemd would not start
 * the unit: what SetCredential= gives in its place, which systemd does not take empty.
 */
#define CONFIG_ABSENT      "\0absent"
#define CONFIG_ABSENT_SIZE (sizeof(CONFIG_ABSENT) - 1)

/*
 * The unit line that gives a VM a credential, "LoadCredential=host-api-key:/run/secrets/vars/…", or
 * NULL where no entry of loadCredentials declares it (or without memory). The caller frees it.
 */
char *config_vm_load_line(const struct config_vm *vm, const char *credential);

/* Unit's and credential's names, together: what systemd can say of both in the 107 bytes of a
 * socket's name, "\0RANDOM/unit/UNIT/CREDENTIAL" (systemd.exec(5)). Longer ones do not start. */
#define CONFIG_SOCKET_NAMES_SIZE_MAX 84

/* VMCRED_USAGE: systemd could not ask a socket for one of the VM's credentials. */
int config_vm_socket_check(const struct config_vm *vm, struct error *err);

/*
 * The drop-in for the VM's unit: a [Service] section with all its LoadCredential= lines, and a
 * [Unit] section that wants what makes them, as far as that is a unit. They come from where the
 * VM's source says or, where `socket` is not NULL, from that socket. NULL without memory. The
 * caller frees it.
 */
char *config_vm_dropin(const struct config *config, const struct config_vm *vm, const char *socket);

#endif
