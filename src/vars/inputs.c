/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "vars/vars.h"

int vars_inputs_add(struct vars_inputs *inputs, const char *name, struct span value,
		    struct error *err)
{
	struct vars_input *items =
		reallocarray(inputs->items, inputs->count + 1, sizeof(*inputs->items));
	struct vars_input *item;

	if (!items)
		return error_no_memory(err);
	inputs->items = items;
	item = &items[inputs->count];
	*item = (struct vars_input){.name = strdup(name)};
	if (!item->name)
		return error_no_memory(err);
	inputs->count++;
	return secret_copy(&item->value, value, err);
}

int vars_inputs_find(const struct vars_inputs *inputs, const char *name, struct span *value,
		     struct error *err)
{
	for (size_t i = 0; i < inputs->count; i++) {
		if (strcmp(inputs->items[i].name, name) == 0) {
			*value = secret_span(&inputs->items[i].value);
			return 0;
		}
	}
	return error_set(err, VMCRED_FAILED, "there is no %s", name);
}

void vars_inputs_destroy(struct vars_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++) {
		free(inputs->items[i].name);
		secret_destroy(&inputs->items[i].value);
	}
	free(inputs->items);
	inputs->items = NULL;
	inputs->count = 0;
}
