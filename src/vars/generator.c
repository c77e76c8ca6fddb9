/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/generator.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "vars/builtin/builtin.h"
#include "vars/script/script.h"

void values_free(struct value *values, size_t count)
{
	for (size_t i = 0; values && i < count; i++)
		secret_destroy(&values[i].plaintext);
	free(values);
}

int inputs_add(struct inputs *inputs, const char *name, struct span value, struct error *err)
{
	struct input *item;

	if (array_extend(&inputs->items, inputs->count, sizeof(*item), err) < 0)
		return -(int)err->code;
	item = &inputs->items[inputs->count];
	*item = (struct input){.name = strdup(name)};
	if (!item->name)
		return error_no_memory(err);
	inputs->count++;
	return secret_copy(&item->value, value, err);
}

int inputs_find(const struct inputs *inputs, const char *name, struct span *value,
		struct error *err)
{
	for (size_t i = 0; i < inputs->count; i++) {
		if (strcmp(inputs->items[i].name, name) == 0) {
			*value = secret_span(&inputs->items[i].value);
			return 0;
		}
	}
	return error_set(err, VMCRED_FAILED, "%s does not exist", name);
}

void inputs_destroy(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++) {
		free(inputs->items[i].name);
		secret_destroy(&inputs->items[i].value);
	}
	free(inputs->items);
	inputs->items = NULL;
	inputs->count = 0;
}

int generator_run(const struct config_generator *generator, const struct inputs *inputs,
		  struct value *values, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < generator->file_count; i++)
		values[i].file = &generator->files[i];
	if (generator->script)
		r = script_run(generator, inputs, values, err);
	/* A persisted prompt is a file, unless the script wrote one of that name. */
	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		struct span answer;

		if (!values[i].file->prompted || values[i].made)
			continue;
		r = inputs_find(inputs, values[i].file->name, &answer, err);
		if (r == 0)
			r = secret_append(&values[i].plaintext, answer, err);
		values[i].made = r == 0;
	}
	return r < 0 || generator->script ? r : builtin_run(generator, inputs, values, err);
}
