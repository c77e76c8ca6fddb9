/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/qemu/arguments.h"
#include "vmm/qemu/machine.h"

/*
 * -device vhost-vsock-pci,guest-cid=N, its siblings on other buses, and vhost-user-vsock-*, which
 * leaves the host's side, a unix socket, to a daemon. The option's value may be JSON.
 */

struct device {
	bool kernel, daemon;
	unsigned long cid;
};

static int pair_note(void *data, const char *key, const char *value, struct error *err)
{
	struct device *device = data;

	(void)err;
	if (strcmp(key, "driver") == 0) {
		device->kernel = fnmatch("vhost-vsock-*", value, 0) == 0;
		device->daemon = fnmatch("vhost-user-vsock-*", value, 0) == 0;
	} else if (strcmp(key, "guest-cid") == 0) {
		device->cid = strtoul(value, NULL, 0);
	}
	return 0;
}

static void json_note(struct device *device, const char *text)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_json_ json_t *value = NULL;
	const json_t *cid;
	const char *driver;

	if (json_parse(span_of_text(text), "-device", &value, &ignored) < 0)
		return;
	driver = json_string_value(json_object_get(value, "driver"));
	if (driver)
		(void)pair_note(device, "driver", driver, &ignored);
	cid = json_object_get(value, "guest-cid");
	device->cid = json_is_string(cid) ? strtoul(json_string_value(cid), NULL, 0)
					  : (unsigned long)json_integer_value(cid);
}

static int device_read(void *data, const char *option, const char *value, struct error *err)
{
	struct device device = {0}, *found = data;
	int r = 0;

	if (strcmp(option, "device") != 0)
		return 0;
	if (value[0] == '{')
		json_note(&device, value);
	else
		r = qemu_pairs_visit(value, "driver", pair_note, &device, err);
	if (device.kernel || device.daemon)
		*found = device;
	return r;
}

int qemu_vsock_find(const struct vmm_launch *launch, struct vmm_vsock *vsock, struct error *err)
{
	struct device device = {0};
	int r = qemu_options_visit(launch->argv, device_read, &device, err);

	if (r < 0 || (!device.kernel && !device.daemon))
		return r;
	if (device.daemon && !launch->vsock_socket) {
		error_set(err, VMCRED_USAGE,
			  "--notify: where the vsock daemon has its socket is not "
			  "in QEMU's arguments");
		return error_hint(err, "name it with --vsock-socket");
	}
	/* A daemon knows its guest's number; here it says that there is a device. */
	vsock->cid = device.daemon ? VMADDR_CID_HOST + 1 : (uint32_t)device.cid;
	if (!device.daemon)
		return 0;
	vsock->socket = strdup(launch->vsock_socket);
	return vsock->socket ? 0 : error_no_memory(err);
}
