/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: values of Cloud Hypervisor's options as JSON, by their type in the key table. They
 * are split as its option_parser does: at commas outside of quotes and brackets; quotes are removed
 * from a single value and kept in a list's.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_VALUES_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_VALUES_H

#include <jansson.h>

#include "base/text.h"
#include "vmm/cloud_hypervisor/options.h"

/* Removes white space from both ends, in place; returns the new start. */
char *option_text_trim(char *text);

/* Splits at the commas outside of quotes and brackets. The text may contain OEM strings: no error
 * quotes it. */
int option_pieces_split(const char *text, struct strings *pieces, struct error *err);

/* Splits "[a,b]"; the brackets may be missing. */
int option_strings_split(const char *text, struct strings *strings, struct error *err);

/* The text as a JSON string; VMCRED_USAGE if it is not UTF-8. */
int option_text_json(const char *text, json_t **value, struct error *err);

/*
 * Puts a key's value into the option's object; keys that are not part of it (KEY_OEM_STRINGS,
 * KEY_IGNORED) and KEY_ITEMS are the caller's. The value is empty only for a KEY_MODE.
 */
int option_value_put(json_t *object, const struct option_key *key, const char *value,
		     struct error *err);

/* Puts a value below members that are joined with '.', and creates missing ones. Takes ownership of
 * `value`, even on failure. */
int option_member_put(json_t *object, const char *members, json_t *value, struct error *err);

/* The value below such members, or NULL. */
json_t *option_member_get(const json_t *object, const char *members);

#endif
