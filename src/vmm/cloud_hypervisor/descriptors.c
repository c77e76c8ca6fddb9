/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/json.h"

static const json_t *interface_fds(const json_t *interface)
{
	const json_t *fds = json_object_get(interface, "fds");

	return json_is_null(fds) ? NULL : fds;
}

size_t cloud_hypervisor_interfaces_at_once(const struct cloud_hypervisor_config *config)
{
	const json_t *net = json_object_get(config->vm, "net");
	size_t i = 0;

	while (i < json_array_size(net) && !interface_fds(json_array_get(net, i)))
		i++;
	return i;
}

static int descriptor_reject(json_int_t fd, const char *why, struct error *err)
{
	error_set(err, VMCRED_USAGE, "--net: the descriptor %lld %s", (long long)fd, why);
	return error_hint(err, "an interface's descriptors have to be open when vmcred is started");
}

/* Every descriptor of our own is O_CLOEXEC, so none of them is taken for one that was inherited. */
static int descriptor_keep(json_int_t fd, struct error *err)
{
	int flags = fd > STDERR_FILENO && fd <= INT_MAX ? fcntl((int)fd, F_GETFD) : -1;

	if (fd >= 0 && fd <= STDERR_FILENO)
		return descriptor_reject(fd, "is a standard one", err);
	if (flags < 0)
		return descriptor_reject(fd, "is not open", err);
	if (flags & FD_CLOEXEC)
		return descriptor_reject(fd, "is not open, or comes twice", err);
	if (fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return descriptor_reject(fd, "cannot be kept", err);
	return 0;
}

static int interface_keep(const json_t *fds, struct error *err)
{
	int r = 0;

	if (!json_is_array(fds))
		return error_set(err, VMCRED_USAGE, "--net: fds is not a list of descriptors");
	if (json_array_size(fds) > API_DESCRIPTORS_MAX)
		return error_set(err, VMCRED_USAGE,
				 "--net: %zu descriptors are too many: %d can be sent",
				 json_array_size(fds), API_DESCRIPTORS_MAX);
	for (size_t i = 0; i < json_array_size(fds) && r == 0; i++) {
		const json_t *fd = json_array_get(fds, i);

		r = json_is_integer(fd) ? descriptor_keep(json_integer_value(fd), err)
					: error_set(err, VMCRED_USAGE,
						    "--net: fds is not a list of descriptors");
	}
	return r;
}

int cloud_hypervisor_descriptors_keep(const struct cloud_hypervisor_config *config,
				      struct error *err)
{
	const json_t *net = json_object_get(config->vm, "net");
	int r = 0;

	for (size_t i = 0; i < json_array_size(net) && r == 0; i++) {
		const json_t *fds = interface_fds(json_array_get(net, i));

		if (fds)
			r = interface_keep(fds, err);
	}
	return r;
}

void cloud_hypervisor_descriptors_close(const struct cloud_hypervisor_config *config)
{
	const json_t *net = json_object_get(config->vm, "net");

	for (size_t i = 0; i < json_array_size(net); i++) {
		const json_t *fds = interface_fds(json_array_get(net, i));

		for (size_t j = 0; j < json_array_size(fds); j++)
			close((int)json_integer_value(json_array_get(fds, j)));
	}
}

int cloud_hypervisor_interface_body(const json_t *interface, struct secret *body, int *fds,
				    size_t *fd_count, struct error *err)
{
	const json_t *descriptors = interface_fds(interface);
	_cleanup_json_ json_t *plain = json_copy((json_t *)interface);

	*fd_count = json_array_size(descriptors);
	for (size_t i = 0; i < *fd_count; i++)
		fds[i] = (int)json_integer_value(json_array_get(descriptors, i));
	if (!plain)
		return error_no_memory(err);
	json_object_del(plain, "fds");
	return json_append_value(body, plain, JSON_COMPACT, err);
}
