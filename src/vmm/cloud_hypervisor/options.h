/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor's options as tables. An option belongs to the VM, and becomes part
 * of the body of vm.create, or to the VMM, and stays on its command line. The tables also define
 * how a key's value becomes JSON, and which versions support it; a new option or key is a row.
 * Sources, at v50.0 to v53.0 and the main branch after that: the argument list in
 * cloud-hypervisor/src/main.rs, the parsers in vmm/src/config.rs, VmConfig in vmm/src/vm_config.rs.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_OPTIONS_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"

enum option_form {
	OPTION_STAYS,        /* the VMM's, with a value; with `json` also a member that is true */
	OPTION_STAYS_SWITCH, /* the VMM's, without a value */
	OPTION_API_SOCKET,   /* the VMM's, but vmcred creates the socket */
	OPTION_RESTORE,      /* the VMM's, instead of a VM */
	OPTION_VM_CONFIG,    /* vmcred's own: a file with a VmConfig, instead of the VM's options */
	OPTION_VM_CONFIG_MERGE, /* vmcred's own: JSON that is merged into the VmConfig */
	OPTION_REFUSED,         /* cannot be translated; `note` is the reason */
	OPTION_TEXT,            /* the VM's: the value is a string */
	OPTION_SWITCH,          /* the VM's: true */
	OPTION_OBJECT,          /* the VM's: key=value,… */
	OPTION_OBJECT_OR_BARE,  /* the same, or no value */
	OPTION_LIST,            /* the VM's: any number of key=value,… */
};

enum key_type {
	KEY_STRING, /* of up to `max` bytes; 0: of any size */
	KEY_TOGGLE,
	KEY_NUMBER,         /* up to `max` */
	KEY_SIZE,           /* with K, M or G */
	KEY_HEX,            /* 0x… up to `max` */
	KEY_NUMBERS,        /* [1,3-5], each up to `max` */
	KEY_STRINGS,        /* [a,b] */
	KEY_WORD,           /* one of `words` */
	KEY_WORD_EXACT,     /* the same, case-sensitive */
	KEY_WORD_OR_NUMBER, /* one of `words`, which are names of numbers, or a number up to `max`
			     */
	KEY_TOPOLOGY,       /* threads:cores:dies:packages */
	KEY_FEATURES,       /* a list of `words` that become true */
	KEY_PAIRS,          /* [1@2,…] as objects with the members of `pair` */
	KEY_PAIRS_OF_LISTS, /* [1@[2,3-5],…], likewise */
	KEY_ITEMS,          /* [key=value,…:key=value,…] by the table `keys` */
	KEY_MODE,        /* a console's mode, without a value; the first row that is given wins */
	KEY_MODE_PATH,   /* a console's mode with a path */
	KEY_OEM_STRINGS, /* never part of the public configuration */
	KEY_DESCRIPTORS, /* [3,4]: sent with the request */
	KEY_IGNORED,     /* the program accepts it without any effect */
	KEY_REFUSED,     /* cannot be translated; `note` is the reason */
};

/* A release as one comparable number. */
#define CLOUD_HYPERVISOR_VERSION(major, minor) ((major)*100 + (minor))

/* Which programs support a row. In JSON they silently ignore what they do not support. */
struct option_scope {
	int since;           /* the first version; 0: v50.0 or older */
	int until;           /* the last version; 0: none yet */
	const char *feature; /* the required build feature, or NULL */
};

struct option_word {
	const char *word, *json;
};

struct option_key {
	const char *name;
	const char *json; /* members below the option's object, joined with '.' */
	uint64_t max;
	const char *absent; /* the value if the key is not given but the API requires it; "=KEY":
			       that of KEY */
	const struct option_word *words;
	const struct option_key *keys;
	const char *const *pair;
	const char *note;
	struct option_scope scope;
	enum key_type type;
	bool required;
};

struct option_row {
	const char *name; /* without dashes */
	enum option_form form;
	const char *json; /* members of VmConfig, joined with '.' */
	const struct option_key *keys;
	/* Completes an option's object where a table cannot express it. */
	int (*finish)(json_t *object, struct error *err);
	const char *note;
	struct option_scope scope;
};

/* No key table has more rows. */
#define OPTION_KEYS_MAX 40

/* Where --memory-zone's objects are stored until --memory is known. */
#define MEMORY_ZONES_MEMBER "memory_zones"

/* The rows, in alphabetical order, and a last one without a name. */
extern const struct option_row cloud_hypervisor_options[];

/* The row of an option, or NULL. */
const struct option_row *cloud_hypervisor_option_find(const char *name);

/* The nearest known name, or NULL. */
const char *cloud_hypervisor_option_nearest(const char *name);

/* The same for a key of a table. */
const char *cloud_hypervisor_key_nearest(const struct option_key *keys, const char *name);

/* struct option_row's finish, in object.c. */
int option_console_finish(json_t *object, struct error *err);
int option_disk_finish(json_t *object, struct error *err);
int option_platform_finish(json_t *object, struct error *err);
int option_rate_limit_finish(json_t *object, struct error *err);
int option_rate_limit_group_finish(json_t *object, struct error *err);
int option_vhost_user_finish(json_t *object, struct error *err);

#endif
