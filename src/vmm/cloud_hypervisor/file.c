/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"

/* What the API takes, in its newest version. */
#define FILE_SIZE_MAX ((size_t)4 * 1024 * 1024)

static int oem_strings_take(struct cloud_hypervisor_config *config, struct error *err)
{
	json_t *platform = json_object_get(config->vm, "platform");
	const json_t *strings = json_object_get(platform, "oem_strings");
	int r = 0;

	if (!strings || json_is_null(strings))
		return 0;
	if (!json_is_array(strings))
		return error_set(err, VMCRED_USAGE, "platform.oem_strings is not a list");
	for (size_t i = 0; i < json_array_size(strings) && r == 0; i++) {
		const char *text = json_string_value(json_array_get(strings, i));

		if (!text)
			r = error_set(err, VMCRED_USAGE, "platform.oem_strings holds no strings");
		else
			r = command_add(&config->oem_strings, text, err);
	}
	json_object_del(platform, "oem_strings");
	return r;
}

/* It is read more than once, for a check and for the launch, so it cannot be a pipe. */
static int regular_check(const char *path, struct error *err)
{
	struct stat status;

	/* Not VMCRED_MISSING: that is for what the declaration promises. */
	if (stat(path, &status) < 0)
		return errno == ENOENT ? error_set(err, VMCRED_USAGE, "there is no %s", path)
				       : error_set_errno(err, errno, "%s", path);
	return S_ISREG(status.st_mode)
		       ? 0
		       : error_set(err, VMCRED_USAGE, "%s is not a regular file", path);
}

int cloud_hypervisor_file_read(struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *vm = NULL;
	size_t size = 0;
	int r = regular_check(config->vm_config, err);

	if (r == 0)
		r = file_read_text(AT_FDCWD, config->vm_config, FILE_SIZE_MAX, &text, &size, err);
	if (r == 0)
		r = json_parse(span_of(text, size), config->vm_config, &vm, err);
	if (r < 0)
		return r;
	if (!json_is_object(json_object_get(vm, "payload"))) {
		error_set(err, VMCRED_USAGE, "%s has no payload", config->vm_config);
		return error_hint(err, "it has to be a VmConfig, as Cloud Hypervisor's vm.create "
				       "takes it: {\"payload\": {\"kernel\": …}, …}");
	}
	json_decref(config->vm);
	config->vm = pointer_release(&vm);
	return oem_strings_take(config, err);
}
