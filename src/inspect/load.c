/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "inspect/stages.h"

/* The credential that is passed on to the guest, or NULL. */
static struct inspected *inspected_find(const struct inspection *inspection,
					const struct config_load *load)
{
	for (size_t i = 0; i < inspection->count; i++) {
		if (inspection->credentials[i].load == load)
			return &inspection->credentials[i];
	}
	return NULL;
}

/* Compares with the store. The stale value is kept: it is as secret as the new one. */
static enum inspect_loaded load_compare(const struct inspection *inspection,
					const struct config_load *load, bool *is_hidden)
{
	struct inspected *credential = inspected_find(inspection, load);
	_cleanup_secret_ struct secret value = {0};
	enum loaded_found found = loaded_read(&inspection->loaded, load->credential, &value);
	const struct activation_secret *secret =
		record_find(inspection->records, inspection->vm, load);
	struct loaded_source source = {.changed_us = secret ? secret->changed.monotonic : 0};
	enum inspect_loaded state;

	if (credential) {
		source.is_known = !credential->is_damaged;
		source.exists = credential->is_known;
		source.value = credential->is_known ? &credential->value : NULL;
	}
	*is_hidden = *is_hidden || found == LOADED_HIDDEN;
	state = loaded_compare(&inspection->loaded, load, found, &value, &source);
	if (credential && state == INSPECT_LOADED_STALE)
		secret_move(&credential->stale, &value);
	return state;
}

/* Adds the names of the unit's credentials with that state. Returns how many. */
static size_t names_add(const struct inspection *inspection, enum inspect_loaded state,
			const char *what, struct inspect_stage *stage)
{
	size_t count = 0;

	for (size_t i = 0; i < inspection->vm->load_count; i++) {
		if (inspection->loads[i] == state)
			stage_add_name(stage, what, inspection->vm->loads[i].credential, &count);
	}
	return count;
}

int load_inspect(struct inspection *inspection, struct inspect_stage *stage, struct error *err)
{
	const struct config_vm *vm = inspection->vm;
	_cleanup_error_ struct error ignored = {0};
	size_t current = 0, unknown = 0;
	bool is_hidden = false;
	int r;

	/* Without systemd, the directory of the credentials says whether the unit runs. */
	(void)units_read((const char *const *)&vm->unit, 1, &inspection->unit, &ignored);
	r = records_read(inspection->options->root, inspection->records, err);
	if (r == 0)
		r = loaded_open(inspection->options->root, vm, &inspection->unit,
				&inspection->loaded, err);
	if (r < 0)
		return r;
	inspection->loads = calloc(vm->load_count + 1, sizeof(*inspection->loads));
	if (!inspection->loads)
		return error_no_memory(err);
	if (!loaded_is_running(&inspection->loaded)) {
		stage_set(stage, INSPECT_UNSEEN,
			  "%zu LoadCredential= lines; the unit is not running", vm->load_count);
		return 0;
	}
	for (size_t i = 0; i < vm->load_count; i++) {
		inspection->loads[i] = load_compare(inspection, &vm->loads[i], &is_hidden);
		current += inspection->loads[i] == INSPECT_LOADED_CURRENT;
		unknown += inspection->loads[i] == INSPECT_LOADED_UNKNOWN;
	}
	stage_set(stage, unknown > 0 ? INSPECT_UNSEEN : INSPECT_SEEN,
		  "%zu of %zu credentials in %s, %s", current, vm->load_count,
		  inspection->loaded.path,
		  is_hidden                  ? "which only root can read: compared by time"
		  : config_vm_uses_store(vm) ? "with the store's value"
					     : "with the value at its path");
	names_add(inspection, INSPECT_LOADED_ABSENT, "optional and absent", stage);
	names_add(inspection, INSPECT_LOADED_UNKNOWN, "unknown", stage);
	if (names_add(inspection, INSPECT_LOADED_MISSING, "missing", stage) > 0)
		stage->state = INSPECT_MISSING;
	if (names_add(inspection, INSPECT_LOADED_STALE, "stale", stage) > 0) {
		stage->state = INSPECT_STALE;
		stage_add(stage, ": restart %s", vm->unit);
	}
	return 0;
}

void stale_add(const struct inspection *inspection, struct inspect_stage *stage)
{
	if (names_add(inspection, INSPECT_LOADED_STALE, "started before a change of", stage) > 0 &&
	    stage->state < INSPECT_MISSING)
		stage->state = INSPECT_STALE;
}
