/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor_options.h"

#include <string.h>

#include "base/name.h"

/* clang-format off: a table is read by its columns. */

#define KEYS_DEVICE                                                      \
	{"id", "id", KEY_STRING, NULL, NULL},                            \
		{"pci_segment", "pci_segment", KEY_NUMBER, NULL, NULL},  \
	{                                                                \
		"pci_device_id", "pci_device_id", KEY_NUMBER, NULL, NULL \
	}
#define KEYS_DEVICE_IOMMU                                \
	KEYS_DEVICE,                                     \
	{                                                \
		"iommu", "iommu", KEY_TOGGLE, NULL, NULL \
	}
#define KEYS_QUEUES                                                \
	{"num_queues", "num_queues", KEY_NUMBER, NULL, NULL},      \
	{                                                          \
		"queue_size", "queue_size", KEY_NUMBER, NULL, NULL \
	}
#define KEYS_VHOST_USER                                          \
	{"vhost_user", "vhost_user", KEY_TOGGLE, NULL, NULL},    \
	{                                                        \
		"socket", "vhost_socket", KEY_STRING, NULL, NULL \
	}
#define KEYS_END                                   \
	{                                          \
		NULL, NULL, KEY_STRING, NULL, NULL \
	}
#define WORDS_END          \
	{                  \
		NULL, NULL \
	}

static const struct option_word core_scheduling_words[] = {
	{"vm", "Vm"},
	{"vcpu", "Vcpu"},
	{"off", "Off"},
	WORDS_END,
};
static const struct option_word hotplug_words[] = {
	{"acpi", "Acpi"},
	{"virtio-mem", "VirtioMem"},
	WORDS_END,
};
static const struct option_word image_words[] = {
	{"raw", "Raw"}, {"qcow2", "Qcow2"}, {"vhd", "FixedVhd"}, {"vhdx", "Vhdx"}, WORDS_END,
};
static const struct option_word vhost_mode_words[] = {
	{"client", "Client"},
	{"server", "Server"},
	WORDS_END,
};
static const struct option_word mode_off[] = {{"off", "Off"}, WORDS_END};
static const struct option_word mode_pty[] = {{"pty", "Pty"}, WORDS_END};
static const struct option_word mode_tty[] = {{"tty", "Tty"}, WORDS_END};
static const struct option_word mode_null[] = {{"null", "Null"}, WORDS_END};
static const struct option_word mode_file[] = {{"file", "File"}, WORDS_END};
static const struct option_word mode_socket[] = {{"socket", "Socket"}, WORDS_END};

#define KEYS_MODE                                                                             \
	{"off", "mode", KEY_MODE, mode_off, NULL}, {"pty", "mode", KEY_MODE, mode_pty, NULL}, \
		{"tty", "mode", KEY_MODE, mode_tty, NULL},                                    \
		{"null", "mode", KEY_MODE, mode_null, NULL},                                  \
		{"file", "file", KEY_MODE_PATH, mode_file, NULL},                             \
	{                                                                                     \
		"socket", "socket", KEY_MODE_PATH, mode_socket, NULL                          \
	}

static const struct option_key balloon_keys[] = {
	{"size", "size", KEY_SIZE, NULL, "0"},
	{"deflate_on_oom", "deflate_on_oom", KEY_TOGGLE, NULL, NULL},
	{"free_page_reporting", "free_page_reporting", KEY_TOGGLE, NULL, NULL},
	KEYS_DEVICE_IOMMU,
	KEYS_END,
};
static const struct option_key console_keys[] = {KEYS_MODE, KEYS_DEVICE_IOMMU, KEYS_END};
static const struct option_key cpus_keys[] = {
	{"boot", "boot_vcpus", KEY_NUMBER, NULL, "1"},
	{"max", "max_vcpus", KEY_NUMBER, NULL, "=boot"},
	{"topology", "topology", KEY_TOPOLOGY, NULL, NULL},
	{"kvm_hyperv", "kvm_hyperv", KEY_TOGGLE, NULL, NULL},
	{"max_phys_bits", "max_phys_bits", KEY_NUMBER, NULL, NULL},
	{"features", "features", KEY_FEATURES, NULL, NULL},
	{"nested", "nested", KEY_TOGGLE, NULL, NULL},
	{"core_scheduling", "core_scheduling", KEY_WORD, core_scheduling_words, NULL},
	{"profile", "profile", KEY_STRING, NULL, NULL},
	KEYS_END,
};
static const struct option_key disk_keys[] = {
	{"path", "path", KEY_STRING, NULL, NULL},
	{"readonly", "readonly", KEY_TOGGLE, NULL, NULL},
	{"direct", "direct", KEY_TOGGLE, NULL, NULL},
	{"serial", "serial", KEY_STRING, NULL, NULL},
	{"rate_limit_group", "rate_limit_group", KEY_STRING, NULL, NULL},
	{"backing_files", "backing_files", KEY_TOGGLE, NULL, NULL},
	{"sparse", "sparse", KEY_TOGGLE, NULL, NULL},
	{"image_type", "image_type", KEY_WORD, image_words, NULL},
	KEYS_QUEUES,
	KEYS_VHOST_USER,
	KEYS_DEVICE_IOMMU,
	KEYS_END,
};
static const struct option_key fs_keys[] = {
	{"tag", "tag", KEY_STRING, NULL, NULL},
	{"socket", "socket", KEY_STRING, NULL, NULL},
	KEYS_QUEUES,
	KEYS_DEVICE,
	KEYS_END,
};
static const struct option_key memory_keys[] = {
	{"size", "size", KEY_SIZE, NULL, "512M"},
	{"mergeable", "mergeable", KEY_TOGGLE, NULL, NULL},
	{"hotplug_method", "hotplug_method", KEY_WORD, hotplug_words, NULL},
	{"hotplug_size", "hotplug_size", KEY_SIZE, NULL, NULL},
	{"hotplugged_size", "hotplugged_size", KEY_SIZE, NULL, NULL},
	{"shared", "shared", KEY_TOGGLE, NULL, NULL},
	{"hugepages", "hugepages", KEY_TOGGLE, NULL, NULL},
	{"hugepage_size", "hugepage_size", KEY_SIZE, NULL, NULL},
	{"prefault", "prefault", KEY_TOGGLE, NULL, NULL},
	{"reserve", "reserve", KEY_TOGGLE, NULL, NULL},
	{"thp", "thp", KEY_TOGGLE, NULL, NULL},
	KEYS_END,
};
static const struct option_key net_keys[] = {
	{"tap", "tap", KEY_STRING, NULL, NULL},
	{"ip", "ip", KEY_STRING, NULL, NULL},
	{"mask", "mask", KEY_STRING, NULL, NULL},
	{"mac", "mac", KEY_STRING, NULL, NULL},
	{"host_mac", "host_mac", KEY_STRING, NULL, NULL},
	{"mtu", "mtu", KEY_NUMBER, NULL, NULL},
	{"vhost_mode", "vhost_mode", KEY_WORD, vhost_mode_words, NULL},
	{"offload_tso", "offload_tso", KEY_TOGGLE, NULL, NULL},
	{"offload_ufo", "offload_ufo", KEY_TOGGLE, NULL, NULL},
	{"offload_csum", "offload_csum", KEY_TOGGLE, NULL, NULL},
	KEYS_QUEUES,
	KEYS_VHOST_USER,
	KEYS_DEVICE_IOMMU,
	KEYS_END,
};
static const struct option_key platform_keys[] = {
	{"num_pci_segments", "num_pci_segments", KEY_NUMBER, NULL, NULL},
	{"iommu_segments", "iommu_segments", KEY_NUMBERS, NULL, NULL},
	{"iommu_address_width", "iommu_address_width_bits", KEY_NUMBER, NULL, NULL},
	/* The old names of two keys; the new one wins where both are given, so it comes last. */
	{"serial_number", "system_serial_number", KEY_STRING, NULL, NULL},
	{"uuid", "system_uuid", KEY_STRING, NULL, NULL},
	{"system_serial_number", "system_serial_number", KEY_STRING, NULL, NULL},
	{"system_uuid", "system_uuid", KEY_STRING, NULL, NULL},
	{"system_manufacturer", "system_manufacturer", KEY_STRING, NULL, NULL},
	{"system_product_name", "system_product_name", KEY_STRING, NULL, NULL},
	{"system_version", "system_version", KEY_STRING, NULL, NULL},
	{"system_sku_number", "system_sku_number", KEY_STRING, NULL, NULL},
	{"system_family", "system_family", KEY_STRING, NULL, NULL},
	{"chassis_asset_tag", "chassis_asset_tag", KEY_STRING, NULL, NULL},
	{"iommufd", "iommufd", KEY_TOGGLE, NULL, NULL},
	{"vfio_p2p_dma", "vfio_p2p_dma", KEY_TOGGLE, NULL, NULL},
	{"oem_strings", NULL, KEY_OEM_STRINGS, NULL, NULL},
	KEYS_END,
};
static const struct option_key pmem_keys[] = {
	{"file", "file", KEY_STRING, NULL, NULL},
	{"size", "size", KEY_SIZE, NULL, NULL},
	{"discard_writes", "discard_writes", KEY_TOGGLE, NULL, NULL},
	KEYS_DEVICE_IOMMU,
	KEYS_END,
};
static const struct option_key rng_keys[] = {
	{"src", "src", KEY_STRING, NULL, "/dev/urandom"},
	KEYS_DEVICE_IOMMU,
	KEYS_END,
};
static const struct option_key serial_keys[] = {KEYS_MODE, KEYS_END};
static const struct option_key tpm_keys[] = {
	{"socket", "socket", KEY_STRING, NULL, NULL},
	KEYS_END,
};
static const struct option_key vsock_keys[] = {
	{"cid", "cid", KEY_NUMBER, NULL, NULL},
	{"socket", "socket", KEY_STRING, NULL, NULL},
	KEYS_DEVICE_IOMMU,
	KEYS_END,
};

static const struct option_row rows[] = {
	{"api-socket", OPTION_API_SOCKET, NULL, NULL, NULL},
	{"balloon", OPTION_OBJECT, "balloon", balloon_keys, NULL},
	{"cmdline", OPTION_TEXT, "payload.cmdline", NULL, NULL},
	{"console", OPTION_OBJECT, "console", console_keys, NULL},
	{"cpus", OPTION_OBJECT, "cpus", cpus_keys, NULL},
	{"disk", OPTION_LIST, "disks", disk_keys, NULL},
	{"event-monitor", OPTION_STAYS, NULL, NULL, NULL},
	{"firmware", OPTION_TEXT, "payload.firmware", NULL, NULL},
	{"fs", OPTION_LIST, "fs", fs_keys, NULL},
	{"help", OPTION_REFUSED, NULL, NULL, "it starts no VM"},
	{"initramfs", OPTION_TEXT, "payload.initramfs", NULL, NULL},
	{"kernel", OPTION_TEXT, "payload.kernel", NULL, NULL},
	{"log-file", OPTION_STAYS, NULL, NULL, NULL},
	{"log-format", OPTION_STAYS, NULL, NULL, NULL},
	{"memory", OPTION_OBJECT, "memory", memory_keys, NULL},
	{"net", OPTION_LIST, "net", net_keys, NULL},
	{"no-shutdown", OPTION_STAYS_SWITCH, NULL, NULL, NULL},
	{"platform", OPTION_OBJECT, "platform", platform_keys, NULL},
	{"pmem", OPTION_LIST, "pmem", pmem_keys, NULL},
	{"pvpanic", OPTION_SWITCH, "pvpanic", NULL, NULL},
	{"restore", OPTION_REFUSED, NULL, NULL,
	 "a restored VM has the OEM strings of its snapshot, and takes no others"},
	{"rng", OPTION_OBJECT, "rng", rng_keys, NULL},
	{"seccomp", OPTION_STAYS, NULL, NULL, NULL},
	{"serial", OPTION_OBJECT, "serial", serial_keys, NULL},
	{"tpm", OPTION_OBJECT, "tpm", tpm_keys, NULL},
	{"version", OPTION_REFUSED, NULL, NULL, "it starts no VM"},
	{"vsock", OPTION_OBJECT, "vsock", vsock_keys, NULL},
	{"watchdog", OPTION_SWITCH, "watchdog", NULL, NULL},
};

/* clang-format on */

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

const struct option_row *cloud_hypervisor_option_find(const char *name)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

const char *cloud_hypervisor_option_nearest(const char *name)
{
	const char *names[ROW_COUNT + 1] = {NULL};

	for (size_t i = 0; i < ROW_COUNT; i++)
		names[i] = rows[i].name;
	return name_nearest(name, names);
}
