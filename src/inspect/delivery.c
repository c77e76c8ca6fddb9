/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM runs on its machine, or on any that has its secrets. Most VMs fit even with the largest
 * value that any machine has of each secret; only for the others are the machines compared one by
 * one.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "inspect/inspect.h"
#include "oem/oem.h"
#include "vmm/vmm.h"

struct item {
	struct vars_location location;
	size_t value_size, string_size;
};

struct inspect_delivery {
	pthread_mutex_t lock;
	struct item *items; /* owned; for the check sorted by file and machine */
	size_t count, capacity;
	bool is_incomplete; /* without memory */
};

struct inspect_delivery *inspect_delivery_create(void)
{
	struct inspect_delivery *delivery = calloc(1, sizeof(*delivery));

	if (delivery)
		pthread_mutex_init(&delivery->lock, NULL);
	return delivery;
}

void inspect_delivery_destroy(struct inspect_delivery **delivery)
{
	if (!*delivery)
		return;
	pthread_mutex_destroy(&(*delivery)->lock);
	free((*delivery)->items);
	free(pointer_release(delivery));
}

void inspect_delivery_add(struct inspect_delivery *delivery, const struct vars_location *location,
			  struct span value)
{
	const struct item item = {*location, value.size, oem_string_size(value)};
	_cleanup_error_ struct error ignored = {0};

	/* Others are never loaded by a VM. */
	if (!location->generator || !location->file->deploy)
		return;
	pthread_mutex_lock(&delivery->lock);
	delivery->is_incomplete |= array_grow(&delivery->items, delivery->count,
					      &delivery->capacity, sizeof(item), &ignored) < 0;
	if (!delivery->is_incomplete)
		delivery->items[delivery->count++] = item;
	pthread_mutex_unlock(&delivery->lock);
}

/* The files of one name of a generator's variants are one file, which each machine has once. */
static int items_file_order(const void *a, const void *b)
{
	const struct vars_location *one = &((const struct item *)a)->location;
	const struct vars_location *other = &((const struct item *)b)->location;
	const struct config_generator *first = one->generator - one->generator->variant;
	const struct config_generator *other_first = other->generator - other->generator->variant;

	if (first != other_first)
		return first < other_first ? -1 : 1;
	return strcmp(one->file->name, other->file->name);
}

static int items_order(const void *a, const void *b)
{
	const char *machine = ((const struct item *)a)->location.machine;
	const char *other = ((const struct item *)b)->location.machine;
	int order = items_file_order(a, b);

	return order != 0 ? order : strcmp(machine ? machine : "", other ? other : "");
}

/* The values of a file, one for each machine, or a single one if it is shared. */
static const struct item *items_find(const struct inspect_delivery *delivery,
				     const struct config *config, const struct config_load *load,
				     size_t *count)
{
	const struct config_file file = {.name = load->file};
	struct item key = {.location.file = &file};
	const struct item *end = delivery->items + delivery->count, *first, *last;

	*count = 0;
	if (!load->generator)
		return NULL;
	key.location.generator = config_generator_find(config, load->generator, NULL);
	first = delivery->count ? bsearch(&key, delivery->items, delivery->count, sizeof(*first),
					  items_file_order)
				: NULL;
	if (!first)
		return NULL;
	for (last = first + 1; last < end && items_file_order(last, &key) == 0; last++)
		continue;
	while (first > delivery->items && items_file_order(first - 1, &key) == 0)
		first--;
	*count = (size_t)(last - first);
	return first;
}

/* The value that the VM gets on the machine; without one the largest. Empty if it is unknown. */
static struct item item_choose(const struct inspect_delivery *delivery, const struct config *config,
			       const struct config_load *load, const char *machine)
{
	struct item chosen = {0};
	size_t count;
	const struct item *items = items_find(delivery, config, load, &count);

	for (size_t i = 0; i < count; i++) {
		const struct item *item = &items[i];

		if (machine && item->location.machine &&
		    strcmp(machine, item->location.machine) != 0)
			continue;
		if (item->string_size > chosen.string_size)
			chosen.location = item->location;
		if (item->string_size > chosen.string_size)
			chosen.string_size = item->string_size;
		if (item->value_size > chosen.value_size)
			chosen.value_size = item->value_size;
	}
	return chosen;
}

static int load_add(struct oem_list *list, const struct config_vm *vm,
		    const struct config_load *load, const struct item *item, struct error *err)
{
	int r = oem_limit_check(OEM_LIMIT_CREDENTIAL, item->value_size, err);

	if (r < 0)
		return error_wrap(err, "credential %s", load->credential);
	for (size_t i = 0; r == 0 && i < vm->credential_file_count; i++) {
		const struct config_credential_file *file = &vm->credential_files[i];

		if (strcmp(file->credential, load->credential) == 0)
			r = oem_list_add_size(list, file->oem_name, item->value_size,
					      item->string_size, err);
	}
	return r;
}

/* As oem_list_compose() and vmm_run(). `*largest`: the largest value, or the refused one. */
static int vm_compose(const struct inspect_delivery *delivery, const struct config *config,
		      const struct config_vm *vm, const char *machine, struct item *largest,
		      struct error *err)
{
	_cleanup_vmm_launch_ struct vmm_launch launch = {0};
	int r = 0;

	*largest = (struct item){0};
	for (size_t i = 0; r == 0 && i < vm->oem_string_count; i++)
		r = oem_list_add_literal(&launch.list, OEM_STATIC, span_of_text(vm->oem_strings[i]),
					 NULL, err);
	for (size_t i = 0; r == 0 && i < vm->load_count; i++) {
		const struct item item = item_choose(delivery, config, &vm->loads[i], machine);

		if (!item.location.file)
			continue;
		r = load_add(&launch.list, vm, &vm->loads[i], &item, err);
		if (r < 0 || item.string_size > largest->string_size)
			*largest = item;
	}
	if (r == 0)
		r = vmm_preview_add(&launch, vm, err);
	return r < 0 ? r : vmm_list_check(&launch.list, vmm_transport_declared(vm), err);
}

/* The machines that have the VM's first value that differs between machines; one NULL if there is
 * none. */
static const struct item *machines_find(const struct inspect_delivery *delivery,
					const struct config *config, const struct config_vm *vm,
					size_t *count)
{
	static const struct item any = {0};

	for (size_t i = 0; i < vm->load_count; i++) {
		const struct item *items = items_find(delivery, config, &vm->loads[i], count);

		if (*count > 0 && items->location.machine)
			return items;
	}
	*count = 1;
	return &any;
}

int inspect_delivery_check(struct inspect_delivery *delivery, const struct config *config,
			   inspect_refused_fn refused, void *data, struct error *err)
{
	if (delivery->is_incomplete)
		return error_no_memory(err);
	if (delivery->count > 0)
		qsort(delivery->items, delivery->count, sizeof(*delivery->items), items_order);
	for (size_t i = 0; i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];
		_cleanup_error_ struct error worst = {0};
		struct item largest;
		const struct item *machines;
		size_t count;

		if (vm_compose(delivery, config, vm, vm->machine, &largest, &worst) == 0)
			continue;
		if (vm->machine) {
			refused(&largest.location, vm, &worst, data);
			continue;
		}
		machines = machines_find(delivery, config, vm, &count);
		for (size_t j = 0; j < count; j++) {
			_cleanup_error_ struct error reason = {0};

			if (vm_compose(delivery, config, vm, machines[j].location.machine, &largest,
				       &reason) < 0)
				refused(&largest.location, vm, &reason, data);
		}
	}
	return 0;
}
