/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"
#include "inspect/doctor/doctor.h"

/* Too short for a secret: ENABLE_TOKEN=yes */
#define VALUE_SIZE_MIN 8

/* Parts of names, in any case. */
static const char *const names[] = {"PASSWORD", "PASSWD", "SECRET",     "TOKEN",
				    "API_KEY",  "APIKEY", "PRIVATE_KEY"};

/* systemd's own public credentials (systemd.system-credentials(7)). */
static const char *const public_names[] = {"vmm.notify_socket", "ssh.authorized_keys.root",
					   "ssh.ephemeral-authorized_keys-all"};

static bool is_public_credential(const char *text)
{
	const char *name = strchr(text, ':');

	for (size_t i = 0; name && i < sizeof(public_names) / sizeof(public_names[0]); i++) {
		const size_t size = strlen(public_names[i]);

		if (strncmp(name + 1, public_names[i], size) == 0 && name[1 + size] == '=')
			return true;
	}
	return false;
}

/* The size of the name in NAME=VALUE if the value looks like a secret; else 0. */
static size_t secret_name(const char *text)
{
	const size_t size = strcspn(text, "=");
	_cleanup_free_ char *name = strndup(text, size);

	if (strncmp(text, DOCTOR_CREDENTIAL, strlen(DOCTOR_CREDENTIAL)) == 0)
		return is_public_credential(text) ? 0 : size;
	if (!name || text[size] != '=' || strlen(text + size + 1) < VALUE_SIZE_MIN)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasestr(name, names[i]))
			return size;
	}
	return 0;
}

int doctor_check_entries(struct doctor *doctor, const struct config *config, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		if (config->vms[i].problem)
			r = doctor_add(doctor, "vm-declaration", DOCTOR_ERROR, NULL,
				       strdup(config->vms[i].problem),
				       strdup("correct it; until then the VM cannot be started"),
				       err);
	}
	return r;
}

int doctor_check_strings(struct doctor *doctor, const struct config *config, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		for (size_t j = 0; r == 0 && j < vm->oem_string_count; j++) {
			const size_t size = secret_name(vm->oem_strings[j]);

			if (size == 0)
				continue;
			r = doctor_add(
				doctor, "secret-in-oem-strings", DOCTOR_WARNING, NULL,
				text_format("vms.%s.platformOEMStrings: \"%.*s\" looks like a "
					    "secret, and everybody can read the declaration",
					    vm->name, (int)size, vm->oem_strings[j]),
				text_format("generate it, and pass it with loadCredentials and "
					    "credentialFiles"),
				err);
		}
	}
	return r;
}

static bool is_loaded(const struct config_vm *vm, const char *credential)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (strcmp(vm->loads[i].credential, credential) == 0)
			return true;
	}
	return false;
}

/* A VM without loadCredentials has all of them from elsewhere. */
int doctor_check_credentials(struct doctor *doctor, const struct config *config, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		for (size_t j = 0; r == 0 && vm->load_count > 0 && j < vm->credential_file_count;
		     j++) {
			const struct config_credential_file *file = &vm->credential_files[j];

			if (is_loaded(vm, file->credential))
				continue;
			r = doctor_add(
				doctor, "credential-not-loaded", DOCTOR_WARNING, NULL,
				text_format("vms.%s.credentialFiles.%s: the host credential \"%s\" "
					    "is not in loadCredentials",
					    vm->name, file->oem_name, file->credential),
				text_format("correct its name, or add it to vms.%s.loadCredentials",
					    vm->name),
				err);
		}
	}
	return r;
}

int doctor_check_nix_store(struct doctor *doctor, const char *root, const char *path,
			   const char *what, struct error *err)
{
	_cleanup_free_ char *full = path_join(root ? root : "/", path + 1);
	_cleanup_free_ char *target = full ? realpath(full, NULL) : NULL;

	return strstr(target ? target : path, "/nix/store/")
		       ? doctor_add(
				 doctor, "in-nix-store", DOCTOR_WARNING, NULL,
				 text_format(
					 "%s, %s, is in the Nix store, which everybody can read",
					 path, what),
				 text_format("store it outside, or replace it with a secret of a "
					     "generator"),
				 err)
		       : 0;
}

int doctor_check_loads(struct doctor *doctor, const struct config *config, const char *root,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		for (size_t j = 0; r == 0 && j < vm->load_count; j++) {
			if (!vm->loads[j].generator)
				r = doctor_check_nix_store(doctor, root, vm->loads[j].source,
							   vm->loads[j].credential, err);
		}
	}
	return r;
}
