/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor's options as data. On its command line an option belongs to the VM,
 * and goes into the body of vm.create, or to the VMM, and stays where it is. The tables say which,
 * how a key's value becomes JSON, and which versions know it; to know another option or key is to
 * add a row. Sources, at v50.0 to v53.0 and the main branch after that: the argument list in
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
	OPTION_STAYS,        /* the VMM's, with a value; with `json`, the VM is told too: true */
	OPTION_STAYS_SWITCH, /* the VMM's, without */
	OPTION_API_SOCKET,   /* the VMM's, but vmcred makes the socket */
	OPTION_RESTORE,      /* the VMM's, in place of a VM */
	OPTION_VM_CONFIG, /* vmcred's own: a file with a VmConfig, in place of the VM's options */
	OPTION_REFUSED,   /* cannot be translated; `note` says why */
	OPTION_TEXT,      /* the VM's: the value is a string */
	OPTION_SWITCH,    /* the VM's: true */
	OPTION_OBJECT,    /* the VM's: key=value,… */
	OPTION_OBJECT_OR_BARE, /* the same, or nothing */
	OPTION_LIST,           /* the VM's: any number of key=value,… */
};

enum key_type {
	KEY_STRING, /* of `max` bytes, where that is not 0 */
	KEY_TOGGLE,
	KEY_NUMBER,         /* up to `max` */
	KEY_SIZE,           /* with K, M or G */
	KEY_HEX,            /* 0x… up to `max` */
	KEY_NUMBERS,        /* [1,3-5], each up to `max` */
	KEY_STRINGS,        /* [a,b] */
	KEY_WORD,           /* one of `words` */
	KEY_WORD_EXACT,     /* the same, capitals count */
	KEY_WORD_OR_NUMBER, /* one of `words`, which stand for numbers, or a number up to `max` */
	KEY_TOPOLOGY,       /* threads:cores:dies:packages */
	KEY_FEATURES,       /* a list of `words` that become true */
	KEY_PAIRS,          /* [1@2,…] as objects with the members of `pair` */
	KEY_PAIRS_OF_LISTS, /* [1@[2,3-5],…], likewise */
	KEY_ITEMS,          /* [key=value,…:key=value,…] by the table `keys` */
	KEY_MODE, /* a console's mode, without a value: the first of the table's rows that is given
		     wins */
	KEY_MODE_PATH,   /* a console's mode with a path */
	KEY_OEM_STRINGS, /* never part of the public configuration */
	KEY_DESCRIPTORS, /* [3,4]: sent along, see cloud_hypervisor_descriptors.h */
	KEY_IGNORED,     /* the program takes it and does nothing with it */
	KEY_REFUSED,     /* cannot be translated; `note` says why */
};

/* A release as one number that can be compared. */
#define CLOUD_HYPERVISOR_VERSION(major, minor) ((major)*100 + (minor))

/* Who knows a row. What an older version does not know it ignores without a word, in JSON. */
struct option_scope {
	int since;           /* the first version with it; 0: all since v50.0 */
	int until;           /* the last one; 0: it still has it */
	const char *feature; /* what it has to be built with, or NULL */
};

struct option_word {
	const char *word, *json;
};

struct option_key {
	const char *name;
	const char *json; /* members below the option's object, joined with '.' */
	uint64_t max;
	const char *absent; /* value where the key is not given but the API wants one; "=KEY": KEY's
			       value */
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
	/* What a row of a table cannot say: completes an option's object. */
	int (*finish)(json_t *object, struct error *err);
	const char *note;
	struct option_scope scope;
};

/* No key table has more rows. */
#define OPTION_KEYS_MAX 40

/* Where --memory-zone's objects are kept until --memory is known. */
#define MEMORY_ZONES_MEMBER "memory_zones"

/* The rows, in alphabetical order, and a last one without a name. */
extern const struct option_row cloud_hypervisor_options[];

/* The row of an option, or NULL. */
const struct option_row *cloud_hypervisor_option_find(const char *name);

/* The known name that is nearest to a mistyped one, or NULL. */
const char *cloud_hypervisor_option_nearest(const char *name);

/* The same for a key of a table. */
const char *cloud_hypervisor_key_nearest(const struct option_key *keys, const char *name);

#endif
