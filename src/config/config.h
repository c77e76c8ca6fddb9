/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The declaration, `vmcred.yaml` (YAML or JSON): machines, generators and VMs, and the names under
 * which secrets pass from one to the next. Everything else is derived from it. The file is public
 * and has no secrets. It is checked here, with line numbers in the errors, so that the other
 * modules can rely on it: unknown keys, names, references between VMs and generators.
 *
 * A `struct config` owns all of its parts; config_destroy() releases them. Lists keep the order of
 * the file.
 */
#ifndef VMCRED_CONFIG_CONFIG_H
#define VMCRED_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* The directory with a machine's decrypted secrets, as in sops-nix; files are below it at
 * vars/<generator>/<file>. */
#define CONFIG_SECRETS_LINK "/run/secrets"

/* The socket of `vmcred serve`; vmcred.socket creates it. */
#define CONFIG_SOCKET_PATH "/run/vmcred/socket"

/* When a machine needs a file. Each phase is activated on its own. */
enum config_needed_for {
	CONFIG_SERVICES,
	CONFIG_USERS,        /* before they are created */
	CONFIG_ACTIVATION,   /* before the system's own activation script runs */
	CONFIG_PARTITIONING, /* before the system is installed */
};

#define CONFIG_PHASES 4

struct config_phase {
	const char *name;   /* as in `neededFor` */
	const char *link;   /* to the current generation in the directory "<link>.d" */
	const char *prefix; /* of GENERATOR/FILE below that */
	const char *unit;   /* activates it at boot, or NULL: no unit does */
};

/* Built-in generators of files: the key `kind`. */
enum config_builtin_type {
	CONFIG_BUILTIN_NONE,
	CONFIG_BUILTIN_BASE64, /* of `size` random bytes */
	CONFIG_BUILTIN_BASE64URL,
	CONFIG_BUILTIN_HEX,
	CONFIG_BUILTIN_ALPHANUMERIC, /* `size` random characters */
	CONFIG_BUILTIN_PIN,          /* `size` random digits */
	CONFIG_BUILTIN_PASSPHRASE,   /* `size` words of a list */
	CONFIG_BUILTIN_PASSWORD_HASH,
	CONFIG_BUILTIN_SSH_KEY,
	CONFIG_BUILTIN_AGE_KEY,
	CONFIG_BUILTIN_WIREGUARD,
	CONFIG_BUILTIN_TLS,
	CONFIG_BUILTIN_JWT,
	CONFIG_BUILTIN_MACHINE_ID,
	CONFIG_BUILTIN_UUID,
};

enum config_algorithm {
	CONFIG_ALGORITHM_NONE,
	CONFIG_ALGORITHM_ED25519, /* ssh-key */
	CONFIG_ALGORITHM_RSA,
	CONFIG_ALGORITHM_YESCRYPT, /* password-hash */
	CONFIG_ALGORITHM_SHA512,
	CONFIG_ALGORITHM_HS256, /* jwt */
	CONFIG_ALGORITHM_EDDSA,
};

struct config_builtin {
	enum config_builtin_type type;
	size_t size; /* bytes, characters, digits, words, bits of an RSA key, or rounds of a hash
			(0: crypt(3)'s default) */
	enum config_algorithm algorithm;
	char *public_file; /* the generator's file for the public half, or NULL */
	char *list; /* passphrase: a file with one word per line; relative to the declaration */
	char *separator; /* passphrase */
	char *source;    /* password-hash: a prompt, a file, or a dependency's GENERATOR/FILE */
	char *comment;   /* ssh-key, or NULL */
	char *subject;   /* tls: the common name, or NULL for the generator's name */
	char **names;    /* tls: DNS names and addresses, NULL-terminated, or NULL */
	bool authority;  /* tls: the certificate may sign others */
	char *issuer;    /* tls: the generator of the signing authority, or NULL: self-signed */
	size_t days;     /* tls: how long the certificate is valid */
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
	struct config_builtin builtin;
	bool derived;  /* the public half of another file's builtin */
	bool prompted; /* the persisted prompt of that name */
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
	char *script;          /* for sh -c, or NULL: every file has a builtin or a prompt */
	char **runtime_inputs; /* directories, already in the script; NULL-terminated, or NULL */
	size_t rotate_days;    /* rotateAfter; 0: the files do not age */
	char *validation; /* compact JSON with sorted keys, or NULL; a change regenerates the files
			   */
	size_t variant, variants; /* its place and the number of entries with its name, adjacent,
				     each for other machines */
	int line;
};

struct config_machine {
	char *name;
	char **tags;        /* NULL-terminated, or NULL */
	size_t *generators; /* owned; indices of its own generators, each after its dependencies */
	size_t generator_count;
	int line;
};

/* An entry of a list sorted by name. */
struct config_name {
	const char *name; /* first, for texts_compare() */
	size_t index;
};

/* An entry of vms.<name>.loadCredentials: `credential: GENERATOR/FILE`, or a path; and of
 * channelCredentials, where it is never a path. */
struct config_load {
	char *credential;
	char *source;                      /* as declared */
	char *generator;                   /* NULL: `source` is an absolute path */
	char *file;                        /* likewise */
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

/* Where a VM's unit gets its credentials: credentialSource. */
enum config_source {
	CONFIG_SOURCE_DEFAULT, /* only while the declaration is read */
	CONFIG_SOURCE_FILES,   /* decrypted by `vmcred activate` */
	CONFIG_SOURCE_SOCKET,  /* `vmcred serve`, without files */
};

/* The form of a value that a launch can be told. */
enum config_launch_form {
	CONFIG_LAUNCH_SWITCH, /* true or false */
	CONFIG_LAUNCH_WORD,   /* one of the argument's words */
	CONFIG_LAUNCH_WORDS,  /* the same, or several separated by ',' */
	CONFIG_LAUNCH_SECONDS,
	CONFIG_LAUNCH_TARGET, /* the name of a unit */
	CONFIG_LAUNCH_TEXT,
};

/*
 * What a launch can be told: an option of `vmcred run`, the key of vms.NAME that does the same, the
 * form of its value, and its argument and text in --help. A new one is a row here, and a case where
 * a launch is prepared.
 */
/* clang-format off */
#define CONFIG_LAUNCH_TABLE(ROW) \
	ROW(EXEC, "exec", "exec", CONFIG_LAUNCH_SWITCH, NULL, \
	    "replace vmcred with the hypervisor (default for QEMU and vmspawn)") \
	ROW(EXPOSE, "expose", "expose", CONFIG_LAUNCH_WORDS, "argv|log", \
	    "allow OEM strings to be visible in: argv, log, or both (argv,log)") \
	ROW(NOTIFY, "notify", "notify", CONFIG_LAUNCH_SWITCH, NULL, \
	    "relay the guest's sd_notify messages to $NOTIFY_SOCKET") \
	ROW(READY_TARGET, "ready-target", "readyTarget", CONFIG_LAUNCH_TARGET, "TARGET", \
	    "with --notify, the guest is ready when it reaches this target,\n" \
	    "                         too (default: multi-user.target)") \
	ROW(REQUIRE_DELIVERY, "require-delivery", "requireDelivery", CONFIG_LAUNCH_SWITCH, NULL, \
	    "be ready when the guest has proved that its credentials arrived,\n" \
	    "                         and stop the VM if they did not") \
	ROW(STOP_TIMEOUT, "stop-timeout", "stopTimeout", CONFIG_LAUNCH_SECONDS, "SECONDS", \
	    "time for the guest to power off on SIGTERM (default: 60)") \
	ROW(SUPERVISE, "supervise", "supervise", CONFIG_LAUNCH_SWITCH, NULL, \
	    "stay as the hypervisor's parent (default for the others)") \
	ROW(TRANSPORT, "transport", "transport", CONFIG_LAUNCH_WORD, "smbios|fw_cfg|initrd", \
	    "the way for credentials (default: by hypervisor and machine type)") \
	ROW(VSOCK_SOCKET, "vsock-socket", "vsockSocket", CONFIG_LAUNCH_TEXT, "FILE", \
	    "QEMU: the socket of its vhost-user-vsock daemon")
/* clang-format on */

#define CONFIG_LAUNCH_ID(id, ...) CONFIG_LAUNCH_##id,
enum config_launch_option {
	CONFIG_LAUNCH_TABLE(CONFIG_LAUNCH_ID) CONFIG_LAUNCH_OPTIONS
};

struct config_launch_row {
	const char *option, *key;
	enum config_launch_form form;
	const char *argument; /* its name in --help; NULL for a switch */
	const char *help;
};

extern const struct config_launch_row config_launch_rows[CONFIG_LAUNCH_OPTIONS];

/* VMCRED_USAGE: the value does not have the option's form. The error does not name the option. */
int config_launch_check(enum config_launch_option option, const char *value, struct error *err);

/* The index of a word among those of the option, or -1; a bit for each word. */
int config_launch_word(enum config_launch_option option, const char *value);
unsigned int config_launch_words(enum config_launch_option option, const char *value);

struct config_vm {
	char *name;
	char *machine; /* it runs on this one, or NULL: on any */
	char *unit;    /* the unit with its LoadCredential= lines; default microvm@<name>.service */
	enum config_source source;
	struct config_load *loads;
	size_t load_count;
	struct config_load *channel; /* channelCredentials: what the running guest may ask for */
	size_t channel_count;
	struct config_credential_file *credential_files;
	size_t credential_file_count;
	char **oem_strings; /* platformOEMStrings */
	size_t oem_string_count;
	char *launch[CONFIG_LAUNCH_OPTIONS]; /* values as texts; NULL: not declared */
	char *vm_config;                     /* vmConfig in JSON, or NULL */
	char **command;                      /* the VMM's argv, NULL-terminated, or NULL */
	char *entry;   /* what a launch needs, as a declaration; NULL: too large, or not wanted */
	char *problem; /* with CONFIG_LENIENT: why only name, unit and loads can be used; or NULL */
	int line;
};

/* An entry of hypervisors: the program to run if vmcred-run is called by that name. */
struct config_hypervisor {
	char *name;
	char *path; /* absolute */
	int line;
};

/* All texts and arrays are in the declaration's own memory, unless it says otherwise. */
struct config {
	struct config_chunk *memory; /* owned */
	char *path;                  /* as given, for errors */
	bool part;                   /* written by config_part(): only what one machine needs */
	char **default_groups;       /* sops.defaultGroups, NULL-terminated, or NULL */
	struct config_machine *machines;
	size_t machine_count;
	struct config_generator *generators;
	size_t generator_count;
	size_t *generator_order; /* owned; their indices, each after its dependencies */
	struct config_name *machines_by_name, *generators_by_name;
	char **machine_names;      /* NULL-terminated */
	enum config_source source; /* the default for VMs */
	struct config_vm *vms;
	size_t vm_count;
	struct config_vm *vms_elsewhere; /* those that config_vms_keep() removed from `vms` */
	size_t vm_elsewhere_count;
	struct config_hypervisor *hypervisors;
	size_t hypervisor_count;
};

/* Counts a NULL-terminated list, which may be NULL. */
size_t config_texts_count(char *const *texts);

/* Whether it is a unit's name (systemd.unit(5)) that ends with `suffix`, such as ".service". */
bool config_is_unit(const char *name, const char *suffix);

#define _cleanup_config_ __attribute__((cleanup(config_destroy)))

/*
 * Finds the declaration: `given`, or else ./vmcred.yaml, which must be trusted
 * (trusted_found_check()), or the system's. Sets `*path` (the caller frees it) and a descriptor of
 * its directory (the caller closes it), which is the root of the store; either may be NULL. The
 * directory of a link that has no `vars` beside it is the one that the link leads to.
 */
int config_find(const char *given, char **path, int *dirfd, struct error *err);

/* Reads and checks a declaration. VMCRED_USAGE, with file and line: it is invalid. */
int config_load_file(const char *path, struct config *config, struct error *err);

enum config_flag {
	CONFIG_ENTRIES = 1 << 0, /* set the `entry` of each VM, for config_vm_dropin() */
	/* For what runs at boot or serves many VMs: an error in the entry of a VM concerns only
	 * that VM. config_vm_get() returns it. */
	CONFIG_LENIENT = 1 << 1,
	/* For what changes the store, or knows the readers of secrets: refuse the part of one
	 * machine (config_part()). */
	CONFIG_WHOLE = 1 << 2,
};

/* The same; `flags` are of enum config_flag. */
int config_load_file_as(const char *path, unsigned int flags, struct config *config,
			struct error *err);

/* The same from text; `path` is for errors. */
int config_load_text(const char *text, size_t size, const char *path, struct config *config,
		     struct error *err);

/*
 * The credential with a VM's entry. It is in the same drop-in as the VM's other credentials, so
 * that a launch uses what belongs to them, and takes the same time however many VMs are declared.
 * The name is reserved.
 */
#define CONFIG_ENTRY_CREDENTIAL "vmcred.vm"

/*
 * Reads the entry in `credentials`, a unit's $CREDENTIALS_DIRECTORY or NULL. Returns 1, or 0 if
 * there is none. It is trusted like the declaration: systemd copied it from a drop-in that root
 * wrote into a directory that is read-only, and readable by root and the unit only. A caller who
 * sets the variable to another directory can start nothing that they could not start without
 * vmcred.
 */
int config_load_entry(const char *credentials, struct config *config, struct error *err);

/*
 * The part of a declaration that a machine needs, as a declaration: the machine's files, but not
 * how they are generated, its VMs, and the hypervisors. The caller frees `*text`.
 */
int config_part(const char *path, const char *machine, char **text, struct error *err);

void config_destroy(struct config *config);

/*
 * The machine that a command is for: `given`, or the one that $VMCRED_MACHINE or
 * /etc/vmcred/activate.env names, or that is named like this host, or the only one. NULL with
 * VMCRED_USAGE.
 */
const struct config_machine *config_machine_choose(const struct config *config, const char *given,
						   struct error *err);

/* The same, but `*machine` is NULL if this host is none of several machines. */
int config_machine_of_host(const struct config *config, const char *given,
			   const struct config_machine **machine, struct error *err);

/*
 * Whether the machine is the `given` one, or else this one: that of $VMCRED_MACHINE or of
 * /etc/vmcred/activate.env, or one named like the host. The caller frees `*here`, the name that was
 * compared, which may be NULL.
 */
bool config_machine_is_here(const struct config_machine *machine, const char *given, char **here);

/* Removes the VMs that run on other machines; with "", those of any machine. */
int config_vms_keep(struct config *config, const char *machine, struct error *err);

/* The same for the machine that config_machine_choose() chooses. If nothing is `given` and no VM
 * names its machine, none is needed. */
int config_vms_choose(struct config *config, const char *given, struct error *err);

/* The entry of that name, or NULL with VMCRED_USAGE and a "did you mean" hint. Of a generator, the
 * first variant. */
const struct config_vm *config_vm_get(const struct config *config, const char *name,
				      struct error *err);
const struct config_machine *config_machine_get(const struct config *config, const char *name,
						struct error *err);
const struct config_generator *config_generator_get(const struct config *config, const char *name,
						    struct error *err);

/*
 * The VM that runs in a systemd unit, or NULL: the VM that declares the unit, or for an instance of
 * microvm@.service the VM of that name, unless it declares another unit. The instance is the name
 * as it is, as in microvm.nix, or escaped (systemd.unit(5)).
 */
const struct config_vm *config_vm_of_unit(const struct config *config, const char *unit);

/* The declared path of a hypervisor, or NULL. */
const char *config_hypervisor_path(const struct config *config, const char *name);

/* The entry of that name, or NULL. */
const struct config_machine *config_machine_find(const struct config *config, const char *name);
/*
 * The variant for the machine, or without one the first; NULL if the name is undeclared. For a
 * machine without a variant, and if `machine` is NULL, that is the shared variant if there is one.
 */
const struct config_generator *config_generator_find(const struct config *config, const char *name,
						     const char *machine);
const struct config_file *config_file_find(const struct config_generator *generator,
					   const char *name);

/* Whether the generator directly depends on the one of that name. */
bool config_generator_depends_on(const struct config_generator *generator, const char *name);

/* Whether the generator has files for that machine: it names it, or is shared and names none. */
bool config_generator_is_for(const struct config_generator *generator, const char *machine);

/* The machines with its files, NULL-terminated and borrowed. */
char *const *config_generator_machines(const struct config *config,
				       const struct config_generator *generator);

extern const char *const config_phase_names[]; /* NULL-terminated */

const struct config_phase *config_phase_get(enum config_needed_for needed_for);

/* The phase of that name. VMCRED_USAGE: unknown. */
int config_phase_find(const char *name, enum config_needed_for *needed_for, struct error *err);

/*
 * Whether an owner or group is "root" or a number, so that it needs no lookup. `*number` is
 * UINT32_MAX if the number is too large.
 */
bool config_owner_number(const char *owner, uint32_t *number);

/* The declared path, or that of the activated file, "/run/secrets/vars/<generator>/<file>". NULL
 * without memory; the caller frees it. */
char *config_load_path(const struct config_load *load);

/* Whether the VM's unit loads a secret of the store. */
bool config_vm_uses_store(const struct config_vm *vm);

/* Whether the VM starts without the credential: all its entries in credentialFiles are optional. */
bool config_vm_is_optional(const struct config_vm *vm, const char *credential);

/* The value of an optional credential whose file is missing: systemd would not start the unit, and
 * SetCredential= cannot set an empty one. */
#define CONFIG_ABSENT      "\0absent"
#define CONFIG_ABSENT_SIZE (sizeof(CONFIG_ABSENT) - 1)

/* The unit line for a credential, "LoadCredential=host-api-key:/run/secrets/vars/...", or NULL if
 * loadCredentials does not declare it (or without memory). The caller frees it. */
char *config_vm_load_line(const struct config_vm *vm, const char *credential);

/* The limit for the names of unit and credential together: systemd connects from the socket address
 * "\0RANDOM/unit/UNIT/CREDENTIAL" of at most 107 bytes (systemd.exec(5)). */
#define CONFIG_SOCKET_NAMES_SIZE_MAX 84

/* VMCRED_USAGE: the names are too long for a socket. */
int config_vm_socket_check(const struct config_vm *vm, struct error *err);

/* The same for the key that a VM with channelCredentials loads. */
int config_vm_channel_check(const struct config_vm *vm, struct error *err);

/* The first line of each drop-in, with the declaration's path. */
#define CONFIG_DROPIN_HEADER "# Made by `vmcred units` from %s; changes here are lost.\n"

/*
 * The drop-in for the VM's unit: a [Service] section with all its LoadCredential= lines, and a
 * [Unit] section that wants the units that provide them. If `socket` is not NULL, it replaces the
 * VM's source. NULL without memory. The caller frees it.
 */
char *config_vm_dropin(const struct config *config, const struct config_vm *vm, const char *socket);

#endif
