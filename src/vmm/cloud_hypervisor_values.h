/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the syntax of Cloud Hypervisor's option values, as its option_parser reads it, and
 * their JSON.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_VALUES_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_VALUES_H

#include <jansson.h>

#include "base/error.h"
#include "vmm/cloud_hypervisor_options.h"
#include "vmm/command.h"

/*
 * Adds the pieces between the commas that are outside of quotes and brackets. The text may hold OEM
 * strings: no error quotes it.
 */
int option_pieces_split(const char *text, struct command *pieces, struct error *err);

/* Adds the strings of "[a,b]". Quotes stay part of them: Cloud Hypervisor does not take them off
 * here. */
int option_strings_split(const char *text, struct command *strings, struct error *err);

/*
 * Puts a key's value into the option's object. A value that is empty counts as not given.
 */
int option_value_put(json_t *object, const struct option_key *key, const char *value,
		     struct error *err);

/* Puts a value below members that are joined with '.', making those that are missing. Takes `value`
 * over. */
int option_member_put(json_t *object, const char *members, json_t *value, struct error *err);

/* Whether something is there. */
bool option_member_has(const json_t *object, const char *members);

/* The text as a JSON string; VMCRED_USAGE where it is not UTF-8. */
int option_text_json(const char *text, json_t **value, struct error *err);

#endif
