/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/options.h"

#include <string.h>

#include "base/name.h"
#include "vmm/cloud_hypervisor/keys.h"
#include "vmm/cloud_hypervisor/object.h"

#define ROW(option, kind, ...)                                \
	{                                                     \
		.name = (option), .form = (kind), __VA_ARGS__ \
	}
#define KEYS(table) .keys = cloud_hypervisor_##table##_keys

/* Tables are read by their columns. */
/* clang-format off */

const struct option_row cloud_hypervisor_options[] = {
	ROW("api-socket", OPTION_API_SOCKET),
	ROW("balloon", OPTION_OBJECT, .json = "balloon", KEYS(balloon)),
	ROW("cmdline", OPTION_TEXT, .json = "payload.cmdline"),
	ROW("console", OPTION_OBJECT, .json = "console", KEYS(console),
	    .finish = option_console_finish),
	ROW("cpus", OPTION_OBJECT, .json = "cpus", KEYS(cpus)),
	ROW("dbus-object-path", OPTION_STAYS),
	ROW("dbus-service-name", OPTION_STAYS),
	ROW("dbus-system-bus", OPTION_STAYS_SWITCH),
	ROW("debug-console", OPTION_OBJECT, .json = "debug_console", KEYS(debug_console),
	    .finish = option_console_finish),
	ROW("device", OPTION_LIST, .json = "devices", KEYS(device)),
	ROW("disk", OPTION_LIST, .json = "disks", KEYS(disk), .finish = option_disk_finish),
	ROW("event-monitor", OPTION_STAYS),
	ROW("firmware", OPTION_TEXT, .json = "payload.firmware"),
	ROW("fs", OPTION_LIST, .json = "fs", KEYS(fs)),
	ROW("fw-cfg-config", OPTION_OBJECT, .json = "payload.fw_cfg_config", KEYS(fw_cfg),
	    BUILT_WITH("fw_cfg")),
	ROW("gdb", OPTION_STAYS, .json = "gdb"),
	ROW("generic-vhost-user", OPTION_LIST, .json = "generic_vhost_user", KEYS(vhost_user),
	    .finish = option_vhost_user_finish, SINCE(V52)),
	ROW("help", OPTION_REFUSED, .note = "it starts no VM"),
	ROW("host-data", OPTION_TEXT, .json = "payload.host_data", BUILT_WITH("sev_snp")),
	ROW("igvm", OPTION_TEXT, .json = "payload.igvm", BUILT_WITH("igvm")),
	ROW("initramfs", OPTION_TEXT, .json = "payload.initramfs"),
	ROW("ivshmem", OPTION_OBJECT, .json = "ivshmem", KEYS(ivshmem), BUILT_WITH("ivshmem")),
	ROW("kernel", OPTION_TEXT, .json = "payload.kernel"),
	/* vm.create restricts the VM's threads; the program would also restrict that of its API,
	 * but takes the option only where its command line has the VM, too. */
	ROW("landlock", OPTION_SWITCH, .json = "landlock_enable"),
	ROW("landlock-rules", OPTION_LIST, .json = "landlock_rules", KEYS(landlock)),
	ROW("log-file", OPTION_STAYS),
	ROW("log-format", OPTION_STAYS),
	ROW("memory", OPTION_OBJECT, .json = "memory", KEYS(memory)),
	ROW("memory-zone", OPTION_LIST, .json = MEMORY_ZONES_MEMBER, KEYS(memory_zone)),
	ROW("net", OPTION_LIST, .json = "net", KEYS(net), .finish = option_rate_limit_finish),
	ROW("no-shutdown", OPTION_STAYS_SWITCH),
	ROW("numa", OPTION_LIST, .json = "numa", KEYS(numa)),
	ROW("pci-segment", OPTION_LIST, .json = "pci_segments", KEYS(pci_segment)),
	ROW("platform", OPTION_OBJECT, .json = "platform", KEYS(platform),
	    .finish = option_platform_finish),
	ROW("pmem", OPTION_LIST, .json = "pmem", KEYS(pmem)),
	/* Its API drops what it does not know, and does not say whether it was built with this. */
	ROW("pvmemcontrol", OPTION_REFUSED,
	    .note = "Cloud Hypervisor's API does not say whether it was built with that"),
	ROW("pvpanic", OPTION_SWITCH, .json = "pvpanic"),
	ROW("rate-limit-group", OPTION_LIST, .json = "rate_limit_groups", KEYS(rate_limit_group),
	    .finish = option_rate_limit_group_finish),
	ROW("restore", OPTION_RESTORE),
	ROW("rng", OPTION_OBJECT, .json = "rng", KEYS(rng)),
	ROW("rtc", OPTION_OBJECT_OR_BARE, .json = "rtc", KEYS(rtc), SINCE(V53)),
	ROW("seccomp", OPTION_STAYS),
	ROW("serial", OPTION_OBJECT, .json = "serial", KEYS(serial),
	    .finish = option_console_finish),
	ROW("tpm", OPTION_OBJECT, .json = "tpm", KEYS(tpm)),
	ROW("user-device", OPTION_LIST, .json = "user_devices", KEYS(user_device)),
	ROW("vdpa", OPTION_LIST, .json = "vdpa", KEYS(vdpa)),
	ROW("version", OPTION_REFUSED, .note = "it starts no VM"),
	ROW("vm-config", OPTION_VM_CONFIG),
	ROW("vsock", OPTION_OBJECT, .json = "vsock", KEYS(vsock)),
	ROW("watchdog", OPTION_SWITCH, .json = "watchdog"),
	{0},
};

/* clang-format on */

#define ROWS_MAX (sizeof(cloud_hypervisor_options) / sizeof(cloud_hypervisor_options[0]))

const struct option_row *cloud_hypervisor_option_find(const char *name)
{
	for (const struct option_row *row = cloud_hypervisor_options; row->name; row++) {
		if (strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

const char *cloud_hypervisor_option_nearest(const char *name)
{
	const char *names[ROWS_MAX];

	for (size_t i = 0; i < ROWS_MAX; i++)
		names[i] = cloud_hypervisor_options[i].name;
	return name_nearest(name, names);
}

const char *cloud_hypervisor_key_nearest(const struct option_key *keys, const char *name)
{
	const char *names[OPTION_KEYS_MAX + 1] = {NULL};

	for (size_t i = 0; i < OPTION_KEYS_MAX && keys[i].name; i++)
		names[i] = keys[i].name;
	return name_nearest(name, names);
}
