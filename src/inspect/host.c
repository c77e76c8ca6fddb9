/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "base/path.h"
#include "base/text.h"
#include "channel/channel.h"
#include "inspect/credentials.h"
#include "vars/vars.h"

/* Whether both are valid; with CONFIG_LENIENT, they may not be. */
static bool has_valid_names(const struct config_vm *vm)
{
	_cleanup_error_ struct error ignored = {0};

	return store_name_check("VM", vm->name, &ignored) == 0 &&
	       config_is_unit(vm->unit, ".service");
}

static int vms_choose(const struct config *config, char *const *names, struct inspect_host *host,
		      struct error *err)
{
	const size_t count = names ? config_texts_count(names) : config->vm_count;
	size_t credentials = 0;

	host->vms = calloc(count + 1, sizeof(*host->vms));
	if (!host->vms)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const struct config_vm *vm =
			names ? config_vm_get(config, names[i], err) : &config->vms[i];

		if (!vm)
			return -(int)err->code;
		if (!has_valid_names(vm))
			continue;
		host->vms[host->vm_count++].vm = vm;
		host->vms[host->vm_count - 1].credential_count =
			vm->load_count + (vm->channel_count > 0);
		credentials += host->vms[host->vm_count - 1].credential_count;
	}
	host->credentials = calloc(credentials + 1, sizeof(*host->credentials));
	if (!host->credentials)
		return error_no_memory(err);
	credentials = 0;
	for (size_t i = 0; i < host->vm_count; i++) {
		host->vms[i].credentials = host->credentials + credentials;
		credentials += host->vms[i].credential_count;
	}
	return 0;
}

static const struct inspect_unit *unit_find(const struct inspect_host *host, const char *name)
{
	const char *const *found = bsearch(&name, host->unit_names, host->unit_count,
					   sizeof(*host->unit_names), texts_compare);

	return found ? &host->units[found - host->unit_names] : NULL;
}

/* Reads the state of each unit once: those of the VMs, and those that records name. */
static int host_units_read(struct inspect_host *host, struct error *err)
{
	size_t count = host->vm_count, unique = 0;

	for (size_t i = 0; i < CONFIG_PHASES; i++)
		count += host->records[i].pending_count;
	host->unit_names = calloc(count + 1, sizeof(*host->unit_names));
	host->units = calloc(count + 1, sizeof(*host->units));
	if (!host->unit_names || !host->units)
		return error_no_memory(err);
	count = 0;
	for (size_t i = 0; i < host->vm_count; i++)
		host->unit_names[count++] = host->vms[i].vm->unit;
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		for (size_t j = 0; j < host->records[i].pending_count; j++)
			host->unit_names[count++] = host->records[i].pending[j].unit;
	}
	qsort(host->unit_names, count, sizeof(*host->unit_names), texts_compare);
	for (size_t i = 0; i < count; i++) {
		if (unique == 0 || strcmp(host->unit_names[i], host->unit_names[unique - 1]) != 0)
			host->unit_names[unique++] = host->unit_names[i];
	}
	host->unit_count = unique;
	for (size_t i = 0; i < host->vm_count; i++)
		host->vms[i].unit = unit_find(host, host->vms[i].vm->unit);
	(void)units_read(host->unit_names, unique, host->units, &host->units_error);
	return 0;
}

static bool is_chosen(const struct inspect_host *host, const char *unit)
{
	for (size_t i = 0; i < host->vm_count; i++) {
		if (strcmp(host->vms[i].vm->unit, unit) == 0)
			return true;
	}
	return false;
}

/* With `chosen_only`, those of the chosen VMs. */
static int pending_find(struct inspect_host *host, bool chosen_only, struct error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < CONFIG_PHASES; i++)
		count += host->records[i].pending_count;
	host->pending = calloc(count + 1, sizeof(*host->pending));
	if (!host->pending)
		return error_no_memory(err);
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		for (size_t j = 0; j < host->records[i].pending_count; j++) {
			const struct activation_pending *pending = &host->records[i].pending[j];
			const struct inspect_unit *unit = unit_find(host, pending->unit);

			if (!activation_pending_is_done(pending, unit->active, unit->has_job,
							unit->started_us) &&
			    !(chosen_only && !is_chosen(host, pending->unit)))
				host->pending[host->pending_count++] =
					(struct inspect_pending){pending, unit};
		}
	}
	return 0;
}

/* Reads what the unit would load from a file: the value if `with_value`, else only whether it
 * exists. */
static int source_read(const char *root, const struct config_load *load, bool with_value,
		       struct secret *value, struct loaded_source *source, struct error *err)
{
	_cleanup_free_ char *path = config_load_path(load);
	_cleanup_free_ char *full = path ? path_join(root ? root : "/", path + 1) : NULL;
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (!full)
		return error_no_memory(err);
	source->exists = stat(full, &status) == 0;
	source->is_known = source->exists || errno == ENOENT || errno == ENOTDIR;
	if (!with_value || !source->exists)
		return 0;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && secret_read(value, fd, VARS_SECRET_SIZE_MAX, path, &ignored) == 0)
		source->value = value;
	return 0;
}

static int credential_inspect(const struct config *config, const char *root,
			      const struct loaded *loaded, const struct inspect_host *host,
			      struct inspect_credential *credential, struct error *err)
{
	const struct config_load *load = credential->load;
	const struct activation_record *record = &host->records[load->needed_for];
	_cleanup_secret_ struct secret value = {0}, wanted = {0};
	struct loaded_source source = {0};
	enum loaded_found found = LOADED_NOTHING;
	int r = 0;

	if (loaded_is_running(loaded))
		found = loaded_read(loaded, load->credential, &value);
	/* What the socket would give is in the store only. */
	if (loaded->vm->source == CONFIG_SOURCE_FILES || !load->generator)
		r = source_read(root, load, found == LOADED_VALUE, &wanted, &source, err);
	credential->secret = record_find(host->records, loaded->vm, load);
	if (credential->secret)
		source.changed_us = credential->secret->changed.monotonic;
	source.is_elsewhere =
		load->generator && record->machine && source.is_known && !source.exists &&
		!config_generator_is_for(
			config_generator_find(config, load->generator, record->machine),
			record->machine);
	credential->is_activated = source.exists;
	credential->state = loaded_compare(loaded, load, found, &value, &source);
	return r;
}

/* The key is new after each boot of the host, and so is the unit. */
static struct inspect_credential channel_key_inspect(const struct loaded *loaded)
{
	static const struct config_load load = {.credential = (char *)CHANNEL_CREDENTIAL,
						.source = (char *)CONFIG_SOCKET_PATH};
	_cleanup_secret_ struct secret value = {0};
	const struct loaded_source source = {.is_known = true, .exists = true, .value = &value};
	const enum loaded_found found = loaded_is_running(loaded)
						? loaded_read(loaded, load.credential, &value)
						: LOADED_NOTHING;

	return (struct inspect_credential){
		.load = &load,
		.state = loaded_compare(loaded, &load, found, &value, &source),
		.is_activated = true,
	};
}

bool inspect_host_delivery(const struct inspect_host_vm *vm, const char *credential,
			   enum delivery_state *state)
{
	bool is_sent = false;

	*state = DELIVERY_DELIVERED;
	/* A guest can get it under several names. */
	for (size_t i = 0; vm->is_delivering && i < vm->vm->credential_file_count; i++) {
		const struct config_credential_file *file = &vm->vm->credential_files[i];
		enum delivery_state one;

		if (strcmp(file->credential, credential) != 0)
			continue;
		is_sent = true;
		one = delivery_report_state(&vm->delivery, file->oem_name);
		if (one == DELIVERY_REJECTED || *state == DELIVERY_DELIVERED)
			*state = one;
	}
	return is_sent;
}

static int vm_inspect(const struct config *config, const char *root, struct inspect_host *host,
		      struct inspect_host_vm *vm, struct error *err)
{
	_cleanup_loaded_ struct loaded loaded = {.dirfd = -1};
	_cleanup_error_ struct error ignored = {0};
	int r = loaded_open(root, vm->vm, vm->unit, &loaded, err);

	for (size_t i = 0; r == 0 && i < vm->vm->load_count; i++) {
		vm->credentials[i].load = &vm->vm->loads[i];
		r = credential_inspect(config, root, &loaded, host, &vm->credentials[i], err);
	}
	if (r == 0 && vm->vm->channel_count > 0)
		vm->credentials[vm->vm->load_count] = channel_key_inspect(&loaded);
	for (size_t i = 0; r == 0 && i < vm->credential_count; i++)
		host->counts[vm->credentials[i].state]++;
	vm->is_delivering = vm->vm->channel_count > 0 && vm->vm->credential_file_count > 0 &&
			    loaded_is_running(&loaded);
	/* Without one that the caller can read, nothing was reported. */
	if (vm->is_delivering)
		(void)delivery_report_read(root, vm->vm->unit, &vm->delivery, &ignored);
	host->rejected += delivery_report_state(&vm->delivery, NULL) == DELIVERY_REJECTED;
	return r;
}

int inspect_root_check(const char *root, struct error *err)
{
	const char *path = root ? root : "/";
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, errno, "opening the root directory %s", path) : 0;
}

int inspect_host(const struct config *config, char *const *vms, const char *root,
		 const struct report *report, struct inspect_host *host, struct error *err)
{
	struct secret_pages pages = {0};
	int r = inspect_root_check(root, err);

	if (r == 0)
		r = records_read(root, host->records, err);
	if (r == 0)
		r = vms_choose(config, vms, host, err);
	if (r == 0)
		r = host_units_read(host, err);
	if (r == 0)
		r = pending_find(host, vms, err);
	secret_pages_keep(&pages);
	for (size_t i = 0; r == 0 && i < host->vm_count; i++) {
		report_progress(report, i, host->vm_count);
		r = vm_inspect(config, root, host, &host->vms[i], err);
	}
	secret_pages_release(&pages);
	return r;
}

void inspect_host_release(struct inspect_host *host)
{
	for (size_t i = 0; i < CONFIG_PHASES; i++)
		activation_record_release(&host->records[i]);
	for (size_t i = 0; i < host->vm_count; i++)
		delivery_report_release(&host->vms[i].delivery);
	free(host->vms);
	free(host->pending);
	free(host->credentials);
	free(host->units);
	free(host->unit_names);
	error_clear(&host->units_error);
	*host = (struct inspect_host){0};
}

int64_t inspect_realtime(int64_t monotonic_us)
{
	struct timespec real, monotonic;
	int64_t ago_us;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	ago_us = (int64_t)monotonic.tv_sec * 1000000 + monotonic.tv_nsec / 1000 - monotonic_us;
	return ((int64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000 - ago_us) / 1000000;
}
