/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/options.h"

#include <string.h>

#include "base/name.h"

#define V50_1 CLOUD_HYPERVISOR_VERSION(50, 1)
#define V51   CLOUD_HYPERVISOR_VERSION(51, 0)
#define V52   CLOUD_HYPERVISOR_VERSION(52, 0)
#define V53   CLOUD_HYPERVISOR_VERSION(53, 0)

/* The last of v51. */
#define V51_END CLOUD_HYPERVISOR_VERSION(51, 99)

#define SINCE(version)    .scope = {.since = (version)}
#define UNTIL(version)    .scope = {.until = (version)}
#define BUILT_WITH(thing) .scope = {.feature = (thing)}

/* A key whose member has another name; further fields as designated initializers. */
#define KEY_TO(key, member, kind, ...)                                       \
	{                                                                    \
		.name = (key), .json = (member), .type = (kind), __VA_ARGS__ \
	}

/* A key whose member has its name. */
#define KEY(key, kind, ...) KEY_TO(key, key, kind, __VA_ARGS__)

#define KEYS_END  \
	{         \
		0 \
	}

/* Where a device is on the PCI bus; `since` is when its kind learned that. */
#define KEYS_PCI(version)                                                          \
	KEY("id", KEY_STRING, SINCE(version)),                                     \
		KEY("pci_segment", KEY_NUMBER, .max = UINT16_MAX, SINCE(version)), \
		KEY("pci_device_id", KEY_NUMBER, .max = UINT8_MAX,                 \
		    SINCE((version) > V52 ? (version) : V52))

#define ROW(option, kind, ...)                                \
	{                                                     \
		.name = (option), .form = (kind), __VA_ARGS__ \
	}
#define KEYS(table) .keys = table##_keys

/* The tables are aligned by hand. */
/* clang-format off */

/* The machine. */

static const struct option_word core_scheduling_words[] = {
	{"vm", "Vm"},
	{"vcpu", "Vcpu"},
	{"off", "Off"},
	{0},
};
static const struct option_word profile_words[] = {{"Host", "Host"}, {0}};
static const struct option_word feature_words[] = {{"amx", "amx"}, {0}};
static const struct option_word hotplug_words[] = {
	{"acpi", "Acpi"},
	{"virtio-mem", "VirtioMem"},
	{0},
};

/* In Cloud Hypervisor's own order: the first mode that is given wins. */
#define KEYS_MODE                                 \
	KEY_TO("off", "mode", KEY_MODE),          \
		KEY_TO("pty", "mode", KEY_MODE),  \
		KEY_TO("tty", "mode", KEY_MODE),  \
		KEY_TO("null", "mode", KEY_MODE), \
		KEY("file", KEY_MODE_PATH)

static const char *const affinity_pair[] = {"vcpu", "host_cpus"};
static const char *const distance_pair[] = {"destination", "distance"};

static const struct option_key console_keys[] = {
	KEYS_MODE,
	KEY("socket", KEY_MODE_PATH),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(V52),
	KEYS_END,
};
static const struct option_key serial_keys[] = {
	KEYS_MODE,
	KEY("socket", KEY_MODE_PATH),
	KEY("iommu", KEY_TOGGLE, UNTIL(V51_END)),
	KEYS_END,
};
static const struct option_key debug_console_keys[] = {
	KEYS_MODE,
	KEY("iobase", KEY_HEX, .max = UINT16_MAX),
	KEYS_END,
};
static const struct option_key cpus_keys[] = {
	KEY_TO("boot", "boot_vcpus", KEY_NUMBER, .max = UINT32_MAX, .absent = "1"),
	KEY_TO("max", "max_vcpus", KEY_NUMBER, .max = UINT32_MAX, .absent = "=boot"),
	KEY("topology", KEY_TOPOLOGY),
	KEY("kvm_hyperv", KEY_TOGGLE),
	KEY("max_phys_bits", KEY_NUMBER, .max = UINT8_MAX),
	KEY("affinity", KEY_PAIRS_OF_LISTS, .pair = affinity_pair),
	KEY("features", KEY_FEATURES, .words = feature_words),
	KEY("nested", KEY_TOGGLE),
	KEY("core_scheduling", KEY_WORD, .words = core_scheduling_words, SINCE(V52)),
	KEY("profile", KEY_WORD_EXACT, .words = profile_words, SINCE(V53)),
	KEYS_END,
};
static const struct option_key memory_keys[] = {
	KEY("size", KEY_SIZE, .absent = "512M"),
	KEY("file", KEY_IGNORED),
	KEY("mergeable", KEY_TOGGLE),
	KEY("hotplug_method", KEY_WORD, .words = hotplug_words),
	KEY("hotplug_size", KEY_SIZE),
	KEY("hotplugged_size", KEY_SIZE),
	KEY("shared", KEY_TOGGLE),
	KEY("hugepages", KEY_TOGGLE),
	KEY("hugepage_size", KEY_SIZE),
	KEY("prefault", KEY_TOGGLE),
	KEY("reserve", KEY_TOGGLE, SINCE(V53)),
	KEY("thp", KEY_TOGGLE),
	KEYS_END,
};
static const struct option_key memory_zone_keys[] = {
	KEY("id", KEY_STRING, .required = true),
	KEY("size", KEY_SIZE, .absent = "512M"),
	KEY("file", KEY_STRING),
	KEY("shared", KEY_TOGGLE),
	KEY("hugepages", KEY_TOGGLE),
	KEY("hugepage_size", KEY_SIZE),
	KEY("host_numa_node", KEY_NUMBER, .max = UINT32_MAX),
	KEY("hotplug_size", KEY_SIZE),
	KEY("hotplugged_size", KEY_SIZE),
	KEY("prefault", KEY_TOGGLE),
	KEY("reserve", KEY_TOGGLE, SINCE(V53)),
	KEY("mergeable", KEY_TOGGLE, SINCE(V52)),
	KEYS_END,
};
static const struct option_key numa_keys[] = {
	KEY("guest_numa_id", KEY_NUMBER, .max = UINT32_MAX),
	KEY("cpus", KEY_NUMBERS, .max = UINT32_MAX),
	KEY("distances", KEY_PAIRS, .pair = distance_pair, .max = UINT8_MAX),
	KEY("device_id", KEY_STRING, SINCE(V51)),
	KEY("memory_zones", KEY_STRINGS),
	KEY("pci_segments", KEY_NUMBERS, .max = UINT16_MAX),
	KEYS_END,
};
static const struct option_key pci_segment_keys[] = {
	KEY("pci_segment", KEY_NUMBER, .max = UINT16_MAX),
	KEY("mmio32_aperture_weight", KEY_NUMBER, .max = UINT32_MAX),
	KEY("mmio64_aperture_weight", KEY_NUMBER, .max = UINT32_MAX),
	KEYS_END,
};
static const struct option_key platform_keys[] = {
	KEY("num_pci_segments", KEY_NUMBER, .max = UINT16_MAX),
	KEY("iommu_segments", KEY_NUMBERS, .max = UINT16_MAX),
	KEY_TO("iommu_address_width", "iommu_address_width_bits", KEY_NUMBER, .max = UINT8_MAX),
	/* The names up to v52; v53 accepts them too, but not together with the new ones. */
	KEY("serial_number", KEY_STRING),
	KEY("uuid", KEY_STRING),
	KEY("oem_strings", KEY_OEM_STRINGS),
	KEY("iommufd", KEY_TOGGLE, SINCE(V52)),
	KEY("iommufd_fd", KEY_REFUSED,
	    .note = "Cloud Hypervisor's API does not accept this descriptor"),
	KEY("vfio_p2p_dma", KEY_TOGGLE, SINCE(V52)),
	KEY("system_serial_number", KEY_STRING, SINCE(V53)),
	KEY("system_uuid", KEY_STRING, SINCE(V53)),
	KEY("system_manufacturer", KEY_STRING, SINCE(V53)),
	KEY("system_product_name", KEY_STRING, SINCE(V53)),
	KEY("system_version", KEY_STRING, SINCE(V53)),
	KEY("system_sku_number", KEY_STRING, SINCE(V53)),
	KEY("system_family", KEY_STRING, SINCE(V53)),
	KEY("chassis_asset_tag", KEY_STRING, SINCE(V53)),
	KEY("tdx", KEY_TOGGLE, BUILT_WITH("tdx")),
	KEY("sev_snp", KEY_TOGGLE, BUILT_WITH("sev_snp")),
	KEYS_END,
};
static const struct option_key landlock_keys[] = {
	KEY("path", KEY_STRING, .required = true),
	KEY("access", KEY_STRING, .required = true, .max = 2),
	KEYS_END,
};

static const struct option_key fw_cfg_item_keys[] = {
	KEY("name", KEY_STRING, .required = true),
	KEY("file", KEY_STRING),
	KEY("string", KEY_STRING, SINCE(V52)),
	KEYS_END,
};
static const struct option_key fw_cfg_keys[] = {
	KEY("e820", KEY_TOGGLE),
	KEY("kernel", KEY_TOGGLE),
	KEY("cmdline", KEY_TOGGLE),
	KEY("initramfs", KEY_TOGGLE),
	KEY_TO("acpi_table", "acpi_tables", KEY_TOGGLE),
	KEY_TO("items", "items.item_list", KEY_ITEMS, .keys = fw_cfg_item_keys),
	KEYS_END,
};

/* Devices. */

static const struct option_word image_words[] = {
	{"raw", "Raw"}, {"qcow2", "Qcow2"}, {"vhd", "FixedVhd"}, {"vhdx", "Vhdx"}, {0},
};
static const struct option_word lock_words[] = {
	{"byte-range", "ByteRange"},
	{"full", "Full"},
	{0},
};
static const struct option_word vhost_mode_words[] = {
	{"client", "Client"},
	{"server", "Server"},
	{0},
};

/* Virtio's device types (virtio 1.3, section 5) with Cloud Hypervisor's names, without those that it
 * does not support as vhost-user: iommu (23) and watchdog (35). */
static const struct option_word device_type_words[] = {
	{"net", "1"},
	{"block", "2"},
	{"console", "3"},
	{"rng", "4"},
	{"balloon", "5"},
	{"iomem", "6"},
	{"rpmsg", "7"},
	{"scsi", "8"},
	{"9p", "9"},
	{"mac80211_wlan", "10"},
	{"rproc_serial", "11"},
	{"caif", "12"},
	{"memory_balloon", "13"},
	{"gpu", "16"},
	{"clock", "17"},
	{"input", "18"},
	{"vsock", "19"},
	{"crypto", "20"},
	{"signal_dist", "21"},
	{"pstore", "22"},
	{"mem", "24"},
	{"sound", "25"},
	{"fs", "26"},
	{"pmem", "27"},
	{"rpmb", "28"},
	{"mac80211_hwsim", "29"},
	{"video_encoder", "30"},
	{"video_decoder", "31"},
	{"scmi", "32"},
	{"nitro_sec_mod", "33"},
	{"i2c", "34"},
	{"can", "36"},
	{"dmabuf", "37"},
	{"param_serv", "38"},
	{"audio_policy", "39"},
	{"bt", "40"},
	{"gpio", "41"},
	{"rdma", "42"},
	{"camera", "43"},
	{"ism", "44"},
	{"spi", "45"},
	{"tee", "46"},
	{"cpu_balloon", "47"},
	{"media", "48"},
	{"usb", "49"},
	{0},
};

static const char *const queue_affinity_pair[] = {"queue_index", "host_cpus"};

/* A bucket without a size or a time sets no limit: option_rate_limit_finish(). */
#define KEYS_BUCKET(key, member)                                                               \
	KEY_TO(key "_size", "rate_limiter_config." member ".size", KEY_NUMBER),                \
		KEY_TO(key "_one_time_burst", "rate_limiter_config." member ".one_time_burst", \
		       KEY_NUMBER),                                                            \
		KEY_TO(key "_refill_time", "rate_limiter_config." member ".refill_time",       \
		       KEY_NUMBER)
#define KEYS_RATE_LIMIT KEYS_BUCKET("bw", "bandwidth"), KEYS_BUCKET("ops", "ops")

#define KEYS_QUEUES KEY("num_queues", KEY_NUMBER), KEY("queue_size", KEY_NUMBER, .max = UINT16_MAX)

static const struct option_key balloon_keys[] = {
	KEY("size", KEY_SIZE, .absent = "0"),
	KEY("deflate_on_oom", KEY_TOGGLE),
	KEY("free_page_reporting", KEY_TOGGLE),
	KEY("iommu", KEY_TOGGLE, SINCE(V53)),
	KEYS_PCI(V53),
	KEYS_END,
};
static const struct option_key device_keys[] = {
	KEY("path", KEY_STRING),
	/* Requires platform's iommufd_fd, which the API does not accept. */
	KEY("fd", KEY_REFUSED,
	    .note = "Cloud Hypervisor's API does not accept this descriptor"),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEY("x_nv_gpudirect_clique", KEY_NUMBER, .max = UINT8_MAX),
	KEY("x_exclude_mmap_bars", KEY_NUMBERS, .max = UINT32_MAX, SINCE(V52)),
	KEYS_END,
};
static const struct option_key disk_keys[] = {
	KEY("path", KEY_STRING),
	KEY("readonly", KEY_TOGGLE),
	KEY("direct", KEY_TOGGLE),
	KEYS_QUEUES,
	KEY("vhost_user", KEY_TOGGLE),
	KEY_TO("socket", "vhost_socket", KEY_STRING),
	KEYS_RATE_LIMIT,
	KEY_TO("_disable_io_uring", "disable_io_uring", KEY_TOGGLE),
	KEY_TO("_disable_aio", "disable_aio", KEY_TOGGLE),
	KEY("serial", KEY_STRING),
	KEY("rate_limit_group", KEY_STRING),
	KEY("queue_affinity", KEY_PAIRS_OF_LISTS, .pair = queue_affinity_pair, .max = UINT16_MAX),
	KEY("backing_files", KEY_TOGGLE, SINCE(V50_1)),
	KEY("sparse", KEY_TOGGLE, SINCE(V51)),
	KEY("image_type", KEY_WORD, .words = image_words, SINCE(V50_1)),
	KEY("lock_granularity", KEY_WORD_EXACT, .words = lock_words, SINCE(V52)),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key fs_keys[] = {
	/* The size of the field in virtio_fs_config (virtio 1.3, 5.11.4). */
	KEY("tag", KEY_STRING, .required = true, .max = 36),
	KEY("socket", KEY_STRING, .required = true),
	KEYS_QUEUES,
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key ivshmem_keys[] = {
	KEY("path", KEY_STRING, .required = true),
	KEY("size", KEY_SIZE, .absent = "128M"),
	KEYS_PCI(V53),
	KEYS_END,
};
static const struct option_key net_keys[] = {
	KEY("tap", KEY_STRING),
	KEY("ip", KEY_STRING),
	KEY("mask", KEY_STRING),
	KEY("mac", KEY_STRING),
	KEY("host_mac", KEY_STRING),
	KEY("mtu", KEY_NUMBER, .max = UINT16_MAX),
	KEYS_QUEUES,
	KEY("vhost_user", KEY_TOGGLE),
	KEY_TO("socket", "vhost_socket", KEY_STRING),
	KEY("vhost_mode", KEY_WORD, .words = vhost_mode_words),
	KEY_TO("fd", "fds", KEY_DESCRIPTORS, .max = INT32_MAX),
	KEYS_RATE_LIMIT,
	KEY("offload_tso", KEY_TOGGLE),
	KEY("offload_ufo", KEY_TOGGLE),
	KEY("offload_csum", KEY_TOGGLE),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key pmem_keys[] = {
	KEY("file", KEY_STRING, .required = true),
	KEY("size", KEY_SIZE),
	KEY("discard_writes", KEY_TOGGLE),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key rate_limit_group_keys[] = {
	KEYS_RATE_LIMIT,
	KEY("id", KEY_STRING),
	KEYS_END,
};
static const struct option_key rng_keys[] = {
	KEY("src", KEY_STRING, .absent = "/dev/urandom"),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(V52),
	KEYS_END,
};
static const struct option_key rtc_keys[] = {
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key tpm_keys[] = {
	KEY("socket", KEY_STRING, .required = true),
	KEYS_END,
};
static const struct option_key user_device_keys[] = {
	KEY("socket", KEY_STRING, .required = true),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key vdpa_keys[] = {
	KEY("path", KEY_STRING, .required = true),
	KEY("num_queues", KEY_NUMBER),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key vhost_user_keys[] = {
	/* The name in v52; the new one wins, so it comes last. */
	KEY_TO("virtio_id", "device_type", KEY_WORD_OR_NUMBER, .words = device_type_words,
	       .max = UINT32_MAX),
	KEY("device_type", KEY_WORD_OR_NUMBER, .words = device_type_words, .max = UINT32_MAX,
	    SINCE(V53)),
	KEY("queue_sizes", KEY_NUMBERS, .required = true, .max = UINT16_MAX),
	KEY("socket", KEY_STRING, .required = true),
	KEYS_PCI(0),
	KEYS_END,
};
static const struct option_key vsock_keys[] = {
	KEY("cid", KEY_NUMBER, .required = true, .max = UINT32_MAX),
	KEY("socket", KEY_STRING, .required = true),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};

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
	ROW("help", OPTION_REFUSED, .note = "it does not start a VM"),
	ROW("host-data", OPTION_TEXT, .json = "payload.host_data", BUILT_WITH("sev_snp")),
	ROW("igvm", OPTION_TEXT, .json = "payload.igvm", BUILT_WITH("igvm")),
	ROW("initramfs", OPTION_TEXT, .json = "payload.initramfs"),
	ROW("ivshmem", OPTION_OBJECT, .json = "ivshmem", KEYS(ivshmem), BUILT_WITH("ivshmem")),
	ROW("kernel", OPTION_TEXT, .json = "payload.kernel"),
	/* vm.create restricts the VM's threads; the program would also restrict its API's, but
	 * accepts the option only together with the VM's. */
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
	/* Its API ignores unknown members, and does not report whether it was built with this. */
	ROW("pvmemcontrol", OPTION_REFUSED,
	    .note = "Cloud Hypervisor's API does not report whether it supports that"),
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
	ROW("version", OPTION_REFUSED, .note = "it does not start a VM"),
	ROW("vm-config", OPTION_VM_CONFIG),
	ROW("vm-config-merge", OPTION_VM_CONFIG_MERGE),
	ROW("vsock", OPTION_OBJECT, .json = "vsock", KEYS(vsock)),
	ROW("watchdog", OPTION_SWITCH, .json = "watchdog"),
	{0},
};

/* clang-format on */

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
	enum {
		ROWS = sizeof(cloud_hypervisor_options) / sizeof(cloud_hypervisor_options[0])
	};
	const char *names[ROWS];

	for (size_t i = 0; i < ROWS; i++)
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
