/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the numbers and words of Cloud Hypervisor's values, and lists of them, as JSON.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_LISTS_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_LISTS_H

#include <jansson.h>

#include "base/error.h"
#include "vmm/cloud_hypervisor/options.h"

/* The text as a JSON string; VMCRED_USAGE where it is not UTF-8. */
int option_text_json(const char *text, json_t **value, struct error *err);

/*
 * As Rust reads a number: digits, and a '+' if one likes. `max` 0: what a JSON number holds here.
 */
int option_number_read(const char *text, int base, uint64_t max, uint64_t *number,
		       struct error *err);
int option_number_json(uint64_t number, json_t **value, struct error *err);

/* What a word stands for, or NULL; `exact`: capitals count. */
const char *option_word_find(const struct option_word *words, const char *text, bool exact);

/* "[1,3-5]": both ends of a range belong to it. */
int option_numbers_json(const char *text, uint64_t max, json_t **value, struct error *err);

/* "[a,b]" */
int option_strings_json(const char *text, json_t **value, struct error *err);

/* "[a,b]" of the key's words: an object where they are true. */
int option_features_json(const char *text, const struct option_key *key, json_t **value,
			 struct error *err);

/* "[1@2]" or "[1@[2,3]]", by the key's type. */
int option_pairs_json(const char *text, const struct option_key *key, json_t **value,
		      struct error *err);

#endif
