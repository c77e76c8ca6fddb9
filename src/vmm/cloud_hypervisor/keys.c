/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/keys.h"

/* Tables are read by their columns. */
/* clang-format off */

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

static const struct option_word mode_off[] = {{"off", "Off"}, {0}};
static const struct option_word mode_pty[] = {{"pty", "Pty"}, {0}};
static const struct option_word mode_tty[] = {{"tty", "Tty"}, {0}};
static const struct option_word mode_null[] = {{"null", "Null"}, {0}};
static const struct option_word mode_file[] = {{"file", "File"}, {0}};
static const struct option_word mode_socket[] = {{"socket", "Socket"}, {0}};

/* In Cloud Hypervisor's own order, which decides where several are given. */
#define KEYS_MODE                                                     \
	KEY_TO("off", "mode", KEY_MODE, .words = mode_off),           \
		KEY_TO("pty", "mode", KEY_MODE, .words = mode_pty),   \
		KEY_TO("tty", "mode", KEY_MODE, .words = mode_tty),   \
		KEY_TO("null", "mode", KEY_MODE, .words = mode_null), \
		KEY("file", KEY_MODE_PATH, .words = mode_file)

static const char *const affinity_pair[] = {"vcpu", "host_cpus"};
static const char *const distance_pair[] = {"destination", "distance"};

const struct option_key cloud_hypervisor_console_keys[] = {
	KEYS_MODE,
	KEY("socket", KEY_MODE_PATH, .words = mode_socket),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(V52),
	KEYS_END,
};
const struct option_key cloud_hypervisor_serial_keys[] = {
	KEYS_MODE,
	KEY("socket", KEY_MODE_PATH, .words = mode_socket),
	KEY("iommu", KEY_TOGGLE, UNTIL(V51_END)),
	KEYS_END,
};
const struct option_key cloud_hypervisor_debug_console_keys[] = {
	KEYS_MODE,
	KEY("iobase", KEY_HEX, .max = UINT16_MAX),
	KEYS_END,
};
const struct option_key cloud_hypervisor_cpus_keys[] = {
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
const struct option_key cloud_hypervisor_memory_keys[] = {
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
const struct option_key cloud_hypervisor_memory_zone_keys[] = {
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
const struct option_key cloud_hypervisor_numa_keys[] = {
	KEY("guest_numa_id", KEY_NUMBER, .max = UINT32_MAX),
	KEY("cpus", KEY_NUMBERS, .max = UINT32_MAX),
	KEY("distances", KEY_PAIRS, .pair = distance_pair, .max = UINT8_MAX),
	KEY("device_id", KEY_STRING, SINCE(V51)),
	KEY("memory_zones", KEY_STRINGS),
	KEY("pci_segments", KEY_NUMBERS, .max = UINT16_MAX),
	KEYS_END,
};
const struct option_key cloud_hypervisor_pci_segment_keys[] = {
	KEY("pci_segment", KEY_NUMBER, .max = UINT16_MAX),
	KEY("mmio32_aperture_weight", KEY_NUMBER, .max = UINT32_MAX),
	KEY("mmio64_aperture_weight", KEY_NUMBER, .max = UINT32_MAX),
	KEYS_END,
};
const struct option_key cloud_hypervisor_platform_keys[] = {
	KEY("num_pci_segments", KEY_NUMBER, .max = UINT16_MAX),
	KEY("iommu_segments", KEY_NUMBERS, .max = UINT16_MAX),
	KEY_TO("iommu_address_width", "iommu_address_width_bits", KEY_NUMBER, .max = UINT8_MAX),
	/* The names up to v52, which v53 takes, too, but not together with the new ones. */
	KEY("serial_number", KEY_STRING),
	KEY("uuid", KEY_STRING),
	KEY("oem_strings", KEY_OEM_STRINGS),
	KEY("iommufd", KEY_TOGGLE, SINCE(V52)),
	KEY("iommufd_fd", KEY_REFUSED,
	    .note = "Cloud Hypervisor takes this descriptor from its own command line alone, not "
		    "through its API"),
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
const struct option_key cloud_hypervisor_landlock_keys[] = {
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
const struct option_key cloud_hypervisor_fw_cfg_keys[] = {
	KEY("e820", KEY_TOGGLE),
	KEY("kernel", KEY_TOGGLE),
	KEY("cmdline", KEY_TOGGLE),
	KEY("initramfs", KEY_TOGGLE),
	KEY_TO("acpi_table", "acpi_tables", KEY_TOGGLE),
	KEY_TO("items", "items.item_list", KEY_ITEMS, .keys = fw_cfg_item_keys),
	KEYS_END,
};

/* clang-format on */
