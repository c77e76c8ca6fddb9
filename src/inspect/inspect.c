/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "inspect/stages.h"
#include "oem/oem.h"
#include "vars/vars.h"
#include "vmm/vmm.h"

enum {
	GENERATE,
	SEAL,
	ACTIVATE,
	LOAD,
	COMPOSE,
	LAUNCH,
	RECEIVE,
	PROVE
};

static const char *const stage_names[INSPECT_STAGE_COUNT] = {
	"generate", "seal", "activate", "load", "compose", "launch", "receive", "prove",
};

void stage_set(struct inspect_stage *stage, enum inspect_state state, const char *format, ...)
{
	va_list arguments;

	free(stage->seen);
	stage->state = state;
	va_start(arguments, format);
	stage->seen = text_format_list(format, arguments);
	va_end(arguments);
}

void stage_add(struct inspect_stage *stage, const char *format, ...)
{
	_cleanup_free_ char *before = stage->seen, *more = NULL;
	va_list arguments;

	va_start(arguments, format);
	more = text_format_list(format, arguments);
	va_end(arguments);
	stage->seen = before && more ? text_format("%s%s", before, more) : NULL;
}

void stage_add_name(struct inspect_stage *stage, const char *what, const char *name, size_t *count)
{
	stage_add(stage, *count == 0 ? "; %s: %s" : ", %.0s%s", what, name);
	(*count)++;
}

static void generate_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	size_t count = 0, scripts = 0, builtins = 0;

	for (size_t i = 0; i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];

		if (credential->is_repeated)
			continue;
		count++;
		scripts += credential->generator && credential->generator->script;
		builtins += credential->generator && !credential->generator->script;
	}
	stage_set(stage, INSPECT_SEEN, "%zu secret%s declared", count, count == 1 ? "" : "s");
	/* The part of a machine does not say it. */
	if (!inspection->config->part)
		stage_add(stage, ": %zu by scripts, %zu built in, %zu from elsewhere", scripts,
			  builtins, count - scripts - builtins);
}

/* Whether a stage counts it as a secret of the store. */
static bool is_stored(const struct inspected *credential)
{
	return credential->generator && !credential->is_repeated;
}

/* Whether it is optional, and its secret or file does not exist. */
static bool is_absent(const struct inspected *credential)
{
	return credential->load && credential->declared->optional && !credential->is_known &&
	       !credential->is_damaged;
}

/* Adds the optional credentials whose secret does not exist; returns how many. */
static size_t absent_add(const struct inspection *inspection, struct inspect_stage *stage)
{
	size_t absent = 0;

	for (size_t i = 0; i < inspection->count; i++) {
		if (is_stored(&inspection->credentials[i]) &&
		    is_absent(&inspection->credentials[i]))
			stage_add_name(stage, "optional and absent",
				       inspection->credentials[i].declared->credential, &absent);
	}
	return absent;
}

/* Whether a credential has no value although it needs one. What no entry of loadCredentials names
 * comes from elsewhere. */
static bool is_lost(const struct inspected *credential)
{
	return credential->load && !credential->is_known && !is_absent(credential);
}

static void seal_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	size_t sealed = 0, wanted = 0;

	for (size_t i = 0; i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];

		if (!is_stored(credential))
			continue;
		wanted++;
		sealed += credential->is_known;
		if (credential->is_damaged) {
			stage_set(stage, INSPECT_WRONG, "the document of %s was changed",
				  credential->load->source);
			return;
		}
	}
	if (wanted == 0) {
		stage_set(stage, INSPECT_SEEN, "no credential is from the store");
		return;
	}
	stage_set(stage, INSPECT_SEEN, "%zu of %zu SOPS documents of %s decrypted%s", sealed,
		  wanted, inspection->machine, sealed > 0 ? "; their MACs match" : "");
	absent_add(inspection, stage);
	for (size_t i = 0, lost = 0; i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];

		if (!is_stored(credential) || !is_lost(credential))
			continue;
		stage->state = INSPECT_MISSING;
		stage_add_name(stage, "missing, or encrypted to others", credential->load->source,
			       &lost);
	}
}

/* Whether /run has the same value as the store, or another one. */
static enum inspect_state active_state(const struct inspection *inspection,
				       const struct inspected *credential, bool *on_disk)
{
	_cleanup_secret_ struct secret content = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *path = config_load_path(credential->load);
	_cleanup_free_ char *full = path ? inspection_path(inspection, path) : NULL;
	_cleanup_close_ int fd = full ? file_open(AT_FDCWD, full, &ignored) : -1;

	if (fd < 0)
		return INSPECT_MISSING;
	*on_disk = *on_disk || !fd_is_on_memory(fd);
	if (!credential->is_known)
		return is_absent(credential) ? INSPECT_STALE : INSPECT_MISSING;
	if (secret_read(&content, fd, VARS_SECRET_SIZE_MAX, full, &ignored) < 0)
		return INSPECT_MISSING;
	return secret_equal(secret_span(&content), secret_span(&credential->value)) ? INSPECT_SEEN
										    : INSPECT_STALE;
}

/* The directories from which the VM's secrets are loaded, such as "/run/secrets". */
static char *directories_text(const struct inspection *inspection)
{
	_cleanup_strings_ struct strings links = {0};
	_cleanup_error_ struct error ignored = {0};
	bool is_used[CONFIG_PHASES] = {0};

	for (size_t i = 0; i < inspection->count; i++) {
		if (inspection->credentials[i].generator)
			is_used[inspection->credentials[i].load->needed_for] = true;
	}
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		if (is_used[i])
			(void)strings_add(&links, config_phase_get((enum config_needed_for)i)->link,
					  &ignored);
	}
	return links.count > 0 ? strings_join(&links, ", ") : NULL;
}

/* With the socket there are no files: the unit asks when it starts. */
static void socket_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	_cleanup_free_ char *path = inspection_path(inspection, CONFIG_SOCKET_PATH);
	struct stat status;

	if (path && stat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		stage_set(stage, INSPECT_SEEN,
			  CONFIG_SOCKET_PATH " serves %zu credentials to the unit, without files",
			  inspection->vm->load_count);
	else
		stage_set(stage, INSPECT_MISSING,
			  CONFIG_SOCKET_PATH " does not exist: start vmcred.socket");
}

static void store_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	_cleanup_free_ char *found = directories_text(inspection);
	const char *directories = found ? found : CONFIG_SECRETS_LINK;
	size_t active = 0, stale = 0, wanted = 0;
	bool on_disk = false;

	for (size_t i = 0; i < inspection->count; i++) {
		struct inspected *credential = &inspection->credentials[i];

		if (!is_stored(credential))
			continue;
		wanted++;
		credential->active = active_state(inspection, credential, &on_disk);
		active += credential->active == INSPECT_SEEN;
	}
	if (on_disk) {
		stage_set(stage, INSPECT_WRONG, "%s is not on a memory file system", directories);
		return;
	}
	stage_set(stage, INSPECT_SEEN, "%zu of %zu in %s, in memory only, with the store's value",
		  active, wanted, directories);
	for (size_t i = 0; i < inspection->count; i++) {
		if (inspection->credentials[i].active == INSPECT_STALE)
			stage_add_name(stage, "stale",
				       inspection->credentials[i].declared->credential, &stale);
	}
	if (absent_add(inspection, stage) + active < wanted)
		stage->state = INSPECT_MISSING;
	if (stale > 0)
		stage->state = INSPECT_STALE;
}

/* Adds the credentials that the unit loads from declared paths. */
static void paths_add(const struct inspection *inspection, struct inspect_stage *stage)
{
	size_t found = 0, wanted = 0, missing = 0;

	for (size_t i = 0; i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];
		const bool is_path =
			credential->load && !credential->generator && !credential->is_repeated;

		wanted += is_path;
		found += is_path && credential->is_known;
	}
	if (wanted > 0)
		stage_add(stage, "%s%zu of %zu at their declared paths",
			  stage->seen && *stage->seen ? "; " : "", found, wanted);
	for (size_t i = 0; i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];

		if (!credential->load || credential->generator || credential->is_known ||
		    credential->is_repeated)
			continue;
		stage_add_name(stage, "missing", credential->load->source, &missing);
		if (!credential->declared->optional && stage->state < INSPECT_MISSING)
			stage->state = INSPECT_MISSING;
	}
}

static void activate_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	if (!config_vm_uses_store(inspection->vm))
		stage_set(stage, INSPECT_SEEN, "%s", "");
	else if (inspection->vm->source == CONFIG_SOURCE_SOCKET)
		socket_inspect(inspection, stage);
	else
		store_inspect(inspection, stage);
	paths_add(inspection, stage);
}

/* Without the strings in the hypervisor's own arguments, which `vmcred compose` shows. */
static int compose_inspect(const struct inspection *inspection, struct inspect_stage *stage,
			   struct error *err)
{
	_cleanup_vmm_launch_ struct vmm_launch launch = {0};
	struct oem_list *list = &launch.list;
	const struct config_vm *vm = inspection->vm;
	const enum vmm_transport transport = vmm_transport_declared(vm);
	int r = 0;

	for (size_t i = 0; r == 0 && i < vm->oem_string_count; i++)
		r = oem_list_add_literal(list, OEM_STATIC, span_of_text(vm->oem_strings[i]), NULL,
					 err);
	for (size_t i = 0; r == 0 && i < inspection->count; i++) {
		const struct inspected *credential = &inspection->credentials[i];

		if (credential->is_known)
			r = oem_list_add_credential(list, credential->declared->oem_name,
						    secret_span(&credential->value), err);
	}
	if (r == 0)
		r = vmm_preview_add(&launch, vm, err);
	if (r == 0)
		r = vmm_list_check(list, transport, err);
	if (r == 0 && transport == VMM_TRANSPORT_INITRD)
		stage_set(stage, INSPECT_SEEN, "%zu credentials for the initrd, %zu of %zu bytes",
			  list->count, oem_list_values_size(list),
			  oem_limit_max(OEM_LIMIT_CREDENTIALS));
	else if (r == 0)
		stage_set(stage, INSPECT_SEEN,
			  "%zu OEM strings, %zu of %zu bytes of the SMBIOS table", list->count,
			  oem_list_table_size(list), oem_limit_max(OEM_LIMIT_TABLE));
	for (size_t i = 0, lost = 0; r == 0 && i < inspection->count; i++) {
		if (!is_lost(&inspection->credentials[i]))
			continue;
		stage->state = INSPECT_MISSING;
		stage_add_name(stage, "without", inspection->credentials[i].declared->oem_name,
			       &lost);
	}
	return r;
}

/* The machine of the options, this one, that of the VM, or the one with the VM's name. */
static int machine_choose(struct inspection *inspection, struct error *err)
{
	const struct config *config = inspection->config;
	const struct config_vm *vm = inspection->vm;
	const struct config_machine *machine =
		config_machine_choose(config, inspection->options->machine, err);

	if (!machine && inspection->options->machine)
		return -(int)err->code;
	if (!machine)
		machine = config_machine_find(config, vm->machine ? vm->machine : vm->name);
	if (!machine && (config_vm_uses_store(vm) || vm->channel_count > 0))
		return -(int)err->code;
	error_clear(err);
	if (!machine)
		return 0;
	inspection->machine = machine->name;
	if (!vm->machine || strcmp(vm->machine, machine->name) == 0)
		return 0;
	error_set(err, VMCRED_USAGE, "VM \"%s\" belongs to the machine %s, not %s", vm->name,
		  vm->machine, machine->name);
	return error_hint(err, "run this command there");
}

static void inspection_release(struct inspection *inspection)
{
	for (size_t i = 0; i < inspection->count; i++) {
		secret_destroy(&inspection->credentials[i].value);
		secret_destroy(&inspection->credentials[i].stale);
	}
	free(inspection->credentials);
	free(inspection->loads);
	loaded_release(&inspection->loaded);
	for (size_t i = 0; i < CONFIG_PHASES; i++)
		activation_record_release(&inspection->records[i]);
}

int inspect_vm(const struct config *config, int store_dirfd,
	       const struct age_identities *identities, const struct inspect_options *options,
	       struct inspect_result *result, struct error *err)
{
	__attribute__((cleanup(inspection_release))) struct inspection inspection = {
		.config = config,
		.options = options,
		.store_dirfd = store_dirfd,
		.loaded.dirfd = -1,
	};
	struct inspect_stage *stages = result->stages;
	int r;

	*result = (struct inspect_result){0};
	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		stages[i].name = stage_names[i];
	inspection.vm = config_vm_get(config, options->vm, err);
	if (!inspection.vm)
		return -(int)err->code;
	r = inspect_root_check(options->root, err);
	if (r == 0)
		r = machine_choose(&inspection, err);
	if (r < 0)
		return r;
	inspection.credentials =
		calloc(inspection.vm->credential_file_count + 1, sizeof(*inspection.credentials));
	if (!inspection.credentials)
		return error_no_memory(err);
	inspection.count = inspection.vm->credential_file_count;
	for (size_t i = 0; r == 0 && i < inspection.count; i++) {
		inspection.credentials[i].declared = &inspection.vm->credential_files[i];
		r = inspected_read(&inspection, identities, &inspection.credentials[i], err);
	}
	if (r < 0)
		return r;
	generate_inspect(&inspection, &stages[GENERATE]);
	seal_inspect(&inspection, &stages[SEAL]);
	activate_inspect(&inspection, &stages[ACTIVATE]);
	r = load_inspect(&inspection, &stages[LOAD], err);
	if (r == 0 && inspection.vm->channel_count > 0)
		channel_inspect(&inspection, identities, &stages[SEAL], &stages[ACTIVATE],
				&stages[LOAD]);
	if (r == 0)
		r = compose_inspect(&inspection, &stages[COMPOSE], err);
	launch_inspect(&inspection, &stages[LAUNCH]);
	if (r == 0)
		r = proofs_inspect(&inspection, &stages[RECEIVE], &stages[PROVE], err);
	if (r == 0 && inspection.vm->channel_count > 0)
		delivery_inspect(&inspection, &stages[RECEIVE]);
	for (size_t i = LAUNCH; r == 0 && i <= PROVE; i++)
		stale_add(&inspection, &stages[i]);
	return r;
}

void inspect_result_release(struct inspect_result *result)
{
	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		free(result->stages[i].seen);
	*result = (struct inspect_result){0};
}

enum inspect_state inspect_result_worst(const struct inspect_result *result)
{
	enum inspect_state worst = INSPECT_SEEN;

	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++) {
		if (result->stages[i].state > worst)
			worst = result->stages[i].state;
	}
	return worst;
}

const char *inspect_state_name(enum inspect_state state)
{
	static const char *const names[] = {"seen", "unseen", "missing", "stale", "wrong"};

	return names[state];
}
