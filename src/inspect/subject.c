/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vars/vars.h"

static const struct config_load *load_find(const struct config_vm *vm, const char *credential)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (strcmp(vm->loads[i].credential, credential) == 0)
			return &vm->loads[i];
	}
	return NULL;
}

/* Whose secrets they are: what the caller says, the machine of the VM's name, or the only one. */
static int machine_choose(struct subject *subject, struct error *err)
{
	const struct config *config = subject->config;

	subject->machine = subject->options->machine;
	if (subject->machine)
		return config_machine_get(config, subject->machine, err) ? 0 : -(int)err->code;
	for (size_t i = 0; i < config->machine_count; i++) {
		if (config->machine_count == 1 ||
		    strcmp(config->machines[i].name, subject->vm->name) == 0)
			subject->machine = config->machines[i].name;
	}
	if (subject->machine)
		return 0;
	error_set(err, VMCRED_USAGE, "%s declares no machine \"%s\"", config->path,
		  subject->vm->name);
	return error_hint(err, "say with --machine NAME whose secrets the VM gets");
}

static int credential_open(const struct subject *subject, struct subject_credential *credential,
			   const struct age_identities *identities, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	const struct sops_keyring keyring = {.identities = identities};
	struct vars_location location = {subject->machine, credential->generator, credential->file};
	int r;

	if (credential->generator->share)
		location.machine = NULL;
	r = vars_store_read(subject->store_dirfd, &location, &keyring, &credential->value, &reason);
	credential->sealed = r == 0;
	credential->damaged = r == -(int)VMCRED_INTEGRITY;
	/* What is not there or damaged is a finding; the rest keeps us from looking. */
	if (r == 0 || r == -(int)VMCRED_MISSING || r == -(int)VMCRED_INTEGRITY)
		return 0;
	return error_set(err, reason.code, "%s", reason.text);
}

int subject_open(struct subject *subject, const struct age_identities *identities,
		 struct error *err)
{
	int r;

	subject->vm = config_vm_get(subject->config, subject->options->vm, err);
	if (!subject->vm)
		return -(int)err->code;
	r = machine_choose(subject, err);
	if (r < 0)
		return r;
	subject->credentials =
		calloc(subject->vm->credential_file_count + 1, sizeof(*subject->credentials));
	if (!subject->credentials)
		return error_no_memory(err);
	subject->count = subject->vm->credential_file_count;
	for (size_t i = 0; r == 0 && i < subject->count; i++) {
		struct subject_credential *credential = &subject->credentials[i];

		credential->declared = &subject->vm->credential_files[i];
		credential->load = load_find(subject->vm, credential->declared->credential);
		if (!credential->load)
			continue;
		credential->generator =
			config_generator_find(subject->config, credential->load->generator);
		credential->file = config_file_find(credential->generator, credential->load->file);
		r = credential_open(subject, credential, identities, err);
	}
	return r;
}

void subject_release(struct subject *subject)
{
	for (size_t i = 0; i < subject->count; i++)
		secret_destroy(&subject->credentials[i].value);
	free(subject->credentials);
}

void stage_set(struct inspect_stage *stage, enum inspect_state state, const char *format, ...)
{
	va_list arguments;

	free(stage->seen);
	stage->state = state;
	va_start(arguments, format);
	if (vasprintf(&stage->seen, format, arguments) < 0)
		stage->seen = NULL;
	va_end(arguments);
}
