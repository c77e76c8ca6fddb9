/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: Cloud Hypervisor's options as data. On its command line an option belongs to the VM,
 * and goes into the body of vm.create, or to the VMM, and stays where it is. The table says which,
 * and how a key's value becomes JSON; to know another option is to add a row. Source:
 * `cloud-hypervisor --help` and the VmConfig of its API
 * (vmm/src/api/openapi/cloud-hypervisor.yaml), v53.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_OPTIONS_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_form {
	OPTION_STAYS,        /* the VMM's, with a value */
	OPTION_STAYS_SWITCH, /* the VMM's, without */
	OPTION_API_SOCKET,   /* the VMM's, but vmcred makes the socket */
	OPTION_REFUSED,      /* cannot be combined with credentials; `note` says why */
	OPTION_TEXT,         /* the VM's: the value is a string */
	OPTION_SWITCH,       /* the VM's: true */
	OPTION_OBJECT,       /* the VM's: key=value,… */
	OPTION_LIST,         /* the VM's: any number of key=value,… */
};

enum key_type {
	KEY_STRING,
	KEY_TOGGLE,
	KEY_NUMBER,
	KEY_SIZE,     /* with K, M or G */
	KEY_NUMBERS,  /* [1,3-5] */
	KEY_WORD,     /* one of `words` */
	KEY_TOPOLOGY, /* threads:cores:dies:packages */
	KEY_FEATURES, /* a list of words that become true */
	KEY_MODE, /* a console's mode, without a value: the first of the table's rows that is given
		     wins */
	KEY_MODE_PATH,   /* a console's mode with a path */
	KEY_OEM_STRINGS, /* never part of the public configuration */
};

struct option_word {
	const char *word, *json;
};

struct option_key {
	const char *name;
	const char *json; /* members below the option's object, joined with '.' */
	enum key_type type;
	const struct option_word *words;
	const char *absent; /* value where the key is not given but the API wants one; "=KEY": KEY's
			       value */
};

struct option_row {
	const char *name; /* without dashes */
	enum option_form form;
	const char *json; /* members of VmConfig, joined with '.' */
	const struct option_key *keys;
	const char *note;
};

/* The row of an option, or NULL. */
const struct option_row *cloud_hypervisor_option_find(const char *name);

/* The known name that is nearest to a mistyped one, or NULL. */
const char *cloud_hypervisor_option_nearest(const char *name);

#endif
