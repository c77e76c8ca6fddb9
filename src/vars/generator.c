/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "vars/builtin/builtin.h"
#include "vars/script/script.h"

/* A prompt that is persisted is a file by itself, unless the script wrote one of that name. */
static int prompted_copy(const struct vars_inputs *inputs, struct vars_value *value,
			 struct error *err)
{
	struct span answer;
	int r;

	if (!value->file->prompted || value->made)
		return 0;
	r = vars_inputs_find(inputs, value->file->name, &answer, err);
	value->made = r == 0;
	return r < 0 ? r : secret_append(&value->plaintext, answer, err);
}

int vars_generator_run(const struct config_generator *generator, const struct vars_inputs *inputs,
		       struct vars_value *values, struct error *err)
{
	int r;

	for (size_t i = 0; i < generator->file_count; i++)
		values[i].file = &generator->files[i];
	r = generator->script ? script_run(generator, inputs, values, err) : 0;
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = prompted_copy(inputs, &values[i], err);
	return r < 0 || generator->script ? r : kinds_run(generator, inputs, values, err);
}

void vars_values_release(struct vars_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		secret_destroy(&values[i].plaintext);
}

void vars_values_free(struct vars_value *values, size_t count)
{
	if (values)
		vars_values_release(values, count);
	free(values);
}
