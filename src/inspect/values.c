/* SPDX-License-Identifier: Apache-2.0 */
/* The values of credentials as the store and the declared paths have them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "inspect/stages.h"
#include "vars/vars.h"

char *inspection_path(const struct inspection *inspection, const char *path)
{
	const char *root = inspection->options->root;

	return path_join(root ? root : "/", path + 1);
}

static const struct config_load *load_find(const struct config_vm *vm, const char *credential)
{
	for (size_t i = 0; i < vm->load_count; i++) {
		if (strcmp(vm->loads[i].credential, credential) == 0)
			return &vm->loads[i];
	}
	return NULL;
}

/* Reads a credential from its declared path. */
static int path_read(const struct inspection *inspection, struct inspected *credential,
		     struct error *err)
{
	const char *path = credential->load->source;
	_cleanup_free_ char *full = inspection_path(inspection, path);
	_cleanup_close_ int fd = -1;
	int r;

	if (!full)
		return error_no_memory(err);
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return error_set_errno(err, errno, "opening %s", path);
	r = secret_read(&credential->value, fd, VARS_SECRET_SIZE_MAX, path, err);
	credential->is_known = r == 0;
	return r;
}

/* Whether one before it has the same source: a guest may get a secret under several names. */
static bool is_repeated(const struct inspection *inspection, const struct inspected *credential)
{
	for (const struct inspected *one = inspection->credentials; one < credential; one++) {
		if (strcmp(one->load ? one->load->source : one->declared->credential,
			   credential->load ? credential->load->source
					    : credential->declared->credential) == 0)
			return true;
	}
	return false;
}

struct vars_location inspection_locate(const struct inspection *inspection,
				       const struct config_load *load)
{
	const struct config_generator *generator =
		config_generator_find(inspection->config, load->generator, inspection->machine);

	return (struct vars_location){generator->share ? NULL : inspection->machine, generator,
				      config_file_find(generator, load->file)};
}

int inspected_read(const struct inspection *inspection, const struct age_identities *identities,
		   struct inspected *credential, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	const struct sops_keyring keyring = {.identities = identities};
	struct vars_location location;
	int r;

	credential->load = load_find(inspection->vm, credential->declared->credential);
	credential->is_repeated = is_repeated(inspection, credential);
	if (!credential->load)
		return 0;
	if (!credential->load->generator)
		return path_read(inspection, credential, err);
	location = inspection_locate(inspection, credential->load);
	credential->generator = location.generator;
	/* The machine's variant of the generator does not have it. */
	if (!location.file)
		return 0;
	r = vars_store_read(inspection->store_dirfd, &location, &keyring, &credential->value,
			    &reason);
	credential->is_known = r == 0;
	credential->is_damaged = r == -(int)VMCRED_INTEGRITY;
	/* A missing or damaged document is a finding; another error stops the inspection. */
	if (r == 0 || r == -(int)VMCRED_MISSING || r == -(int)VMCRED_INTEGRITY)
		return 0;
	return error_set(err, reason.code, "%s", reason.text);
}
