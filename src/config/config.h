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
#include <sys/types.h>

#include "base/error.h"

/* Where a machine's decrypted secrets are found, as sops-nix has it; below it
 * vars/<generator>/<file>. */
#define CONFIG_SECRETS_LINK "/run/secrets"

/* A generator that makes a file without a script. */
enum config_kind_type {
	CONFIG_KIND_NONE,
	CONFIG_KIND_BASE64,
	CONFIG_KIND_HEX
};

struct config_kind {
	enum config_kind_type type;
	size_t size; /* random bytes before encoding */
};

/* An entry of generators.<name>.files. */
struct config_file {
	char *name;
	bool secret;          /* default true; false: stored in the clear in `value` */
	bool deploy;          /* default true; false: never activated on a machine */
	char *owner;          /* default "root" */
	char *group;          /* default "root" */
	mode_t mode;          /* default 0400 */
	char **restart_units; /* NULL-terminated, or NULL */
	char **reload_units;  /* likewise */
	struct config_kind kind;
	int line;
};

struct config_generator {
	char *name;
	char **machines; /* NULL-terminated, or NULL */
	bool share;
	struct config_file *files;
	size_t file_count;
	char *script; /* for sh -c, or NULL: every file has a kind */
	int line;
};

struct config_machine {
	char *name;
	char **tags; /* NULL-terminated, or NULL */
	int line;
};

/* An entry of vms.<name>.loadCredentials: `credential: generator/file`. */
struct config_load {
	char *credential;
	char *generator;
	char *file;
	int line;
};

/* An entry of vms.<name>.credentialFiles: `OEM-NAME: credential`. */
struct config_credential_file {
	char *oem_name;
	char *credential;
	bool optional;
	int line;
};

struct config_vm {
	char *name;
	char *unit; /* whose LoadCredential= lines bring its secrets; default microvm@<name>.service
		     */
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
	char *path; /* as it was given, for errors */
	struct config_machine *machines;
	size_t machine_count;
	struct config_generator *generators;
	size_t generator_count;
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

/*
 * The VM that runs in a systemd unit, or NULL. An instance of microvm@.service has the VM's name as
 * it is, as microvm.nix has it, or escaped (systemd.unit(5)).
 */
const struct config_vm *config_vm_of_unit(const struct config *config, const char *unit);

/* The declared path of a hypervisor, or NULL. */
const char *config_hypervisor_path(const struct config *config, const char *name);

/* The entry of that name, or NULL. */
const struct config_generator *config_generator_find(const struct config *config, const char *name);
const struct config_file *config_file_find(const struct config_generator *generator,
					   const char *name);

/* Whether the generator makes files for that machine: it names it, or is shared. */
bool config_generator_is_for(const struct config_generator *generator, const char *machine);

/* Where the activated file is: "/run/secrets/vars/<generator>/<file>". NULL without memory; the
 * caller frees it. */
char *config_load_path(const struct config_load *load);

/*
 * The unit line that gives a VM a credential, "LoadCredential=host-api-key:/run/secrets/vars/…", or
 * NULL where no entry of loadCredentials declares it (or without memory). The caller frees it.
 */
char *config_vm_load_line(const struct config_vm *vm, const char *credential);

/*
 * The drop-in for the VM's unit: a [Service] section with all its LoadCredential= lines.
 * NULL without memory. The caller frees it.
 */
char *config_vm_dropin(const struct config *config, const struct config_vm *vm);

#endif
