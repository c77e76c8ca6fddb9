/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the values of Cloud Hypervisor's keys as JSON, by their type in the key table.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_VALUES_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_VALUES_H

#include <jansson.h>

#include "base/error.h"
#include "vmm/cloud_hypervisor/options.h"

/*
 * Puts a key's value into the option's object; one of a type that is part of no object
 * (KEY_OEM_STRINGS, KEY_IGNORED) and KEY_ITEMS are the caller's. The value is not empty, but for a
 * KEY_MODE.
 */
int option_value_put(json_t *object, const struct option_key *key, const char *value,
		     struct error *err);

/* Puts a value below members that are joined with '.', making those that are missing. Takes `value`
 * over. */
int option_member_put(json_t *object, const char *members, json_t *value, struct error *err);

/* What is there, or NULL. */
json_t *option_member_get(const json_t *object, const char *members);

#endif
