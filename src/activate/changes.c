/* SPDX-License-Identifier: Apache-2.0 */
/* When each secret last changed, and which units use one that changed. */
#include <stdlib.h>
#include <string.h>

#include "activate/activation.h"
#include "base/cleanup.h"

static int units_add(struct activation_record *record, char *const *units,
		     enum activation_action action, struct error *err)
{
	int r = 0;

	for (; r == 0 && units && *units; units++)
		r = activation_record_pending_add(record, *units, action, record->activated, err);
	return r;
}

/* Whether the VM loads a secret with a new value, whose change does not only reload its unit. */
static bool vm_is_changed(const struct activation *activation, const struct config_vm *vm,
			  const struct activation_record *record, const bool *has_new_value)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		const struct activation_secret *secret =
			activation_record_secret_find(record, vm->loads[i].source);
		const size_t index = secret ? (size_t)(secret - record->secrets) : 0;

		if (secret && has_new_value[index] &&
		    !texts_contain(activation->origins[index].file->reload_units, vm->unit))
			return true;
	}
	return false;
}

/* Adds the units of the VMs that load changed secrets. One that the declaration reloads was added.
 * A VM with a problem may have no valid unit. */
static int vms_add(const struct activation *activation, struct activation_record *record,
		   const bool *has_new_value, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < activation->config->vm_count; i++) {
		const struct config_vm *vm = &activation->config->vms[i];

		if (config_is_unit(vm->unit, "") &&
		    vm_is_changed(activation, vm, record, has_new_value))
			r = activation_record_pending_add(record, vm->unit, ACTIVATION_RESTART,
							  record->activated, err);
	}
	return r;
}

static int secret_add(const struct activation *activation, size_t index, bool is_first,
		      struct activation_record *record, bool *has_new_value, struct error *err)
{
	const struct activation_record *previous = &activation->previous;
	const struct activation_origin *origin = &activation->origins[index];
	const struct generation_file *file = &activation->files.items[index];
	_cleanup_free_ char *name =
		text_format("%s/%s", origin->generator->name, origin->file->name);
	/* A run that was killed before it wrote its record may have changed any secret. */
	const bool is_unknown =
		previous->machine && previous->generation != activation->generation_before;
	const struct activation_secret *known;
	int r;

	if (!name)
		return error_no_memory(err);
	*has_new_value = is_unknown || !file->has_content;
	/* The order is the same unless the declaration changed. */
	known = index < previous->secret_count && strcmp(previous->secrets[index].name, name) == 0
			? &previous->secrets[index]
			: activation_record_secret_find(previous, name);
	r = activation_record_secret_add(
		record, name, known && !*has_new_value ? known->changed : record->activated, err);
	if (r < 0 || is_first || !(*has_new_value || file->changed))
		return r;
	r = units_add(record, origin->file->restart_units, ACTIVATION_RESTART, err);
	if (r == 0)
		r = units_add(record, origin->file->reload_units, ACTIVATION_RELOAD, err);
	return r;
}

int activation_previous_read(struct activation *activation, const struct report *report,
			     struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_free_ char *line = NULL;
	const struct activate_options *options = activation->options;
	int r = activation_record_read(options->root, options->needed_for, &activation->previous,
				       &reason);

	if (r == 0 || r == -(int)VMCRED_MISSING)
		return 0;
	activation_record_release(&activation->previous);
	line = error_line(&reason);
	if (!line)
		return error_no_memory(err);
	report_message(report, REPORT_WARNING,
		       "%s: units that were to be restarted before are not known", line);
	return 0;
}

int activation_record_make(const struct activation *activation, unsigned generation,
			   struct activation_record *record, struct error *err)
{
	const struct activation_record *previous = &activation->previous;
	const bool is_first = !previous->machine && activation->generation_before == 0;
	_cleanup_free_ bool *has_new_value =
		calloc(activation->secret_count + 1, sizeof(*has_new_value));
	int r = 0;

	*record = (struct activation_record){
		.machine = strdup(activation->options->machine),
		.phase = activation->options->needed_for,
		.generation = generation,
		.activated = activation_time_now(),
	};
	if (!record->machine || !has_new_value)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < previous->pending_count; i++) {
		const struct activation_pending *pending = &previous->pending[i];

		r = activation_record_pending_add(record, pending->unit, pending->action,
						  pending->since, err);
		if (r == 0)
			record->pending[i].attempted = pending->attempted;
	}
	for (size_t i = 0; r == 0 && i < activation->secret_count; i++)
		r = secret_add(activation, i, is_first, record, &has_new_value[i], err);
	if (r == 0)
		r = activation_record_sort(record, err);
	/* A VM receives the value, but not the mode of the file. */
	if (r == 0 && !is_first)
		r = vms_add(activation, record, has_new_value, err);
	for (size_t i = 0; r == 0 && i < activation->failed_count; i++) {
		_cleanup_free_ char *reason = error_line(&activation->failed[i].problem);

		r = reason ? activation_record_failure_add(record, activation->failed[i].name,
							   reason, err)
			   : error_no_memory(err);
	}
	return r;
}
