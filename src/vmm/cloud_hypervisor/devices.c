/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/keys.h"

/* Tables are read by their columns. */
/* clang-format off */

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

/*
 * Virtio's numbers for kinds of devices (virtio 1.3, section 5), with Cloud Hypervisor's names.
 * Those that it refuses to leave to a process of its own, iommu (23) and watchdog (35), are not
 * among them.
 */
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

/* A bucket without a size or without a time is none: option_rate_limit_finish(). */
#define KEYS_BUCKET(key, member)                                                               \
	KEY_TO(key "_size", "rate_limiter_config." member ".size", KEY_NUMBER),                \
		KEY_TO(key "_one_time_burst", "rate_limiter_config." member ".one_time_burst", \
		       KEY_NUMBER),                                                            \
		KEY_TO(key "_refill_time", "rate_limiter_config." member ".refill_time",       \
		       KEY_NUMBER)
#define KEYS_RATE_LIMIT KEYS_BUCKET("bw", "bandwidth"), KEYS_BUCKET("ops", "ops")

#define KEYS_QUEUES KEY("num_queues", KEY_NUMBER), KEY("queue_size", KEY_NUMBER, .max = UINT16_MAX)

const struct option_key cloud_hypervisor_balloon_keys[] = {
	KEY("size", KEY_SIZE, .absent = "0"),
	KEY("deflate_on_oom", KEY_TOGGLE),
	KEY("free_page_reporting", KEY_TOGGLE),
	KEY("iommu", KEY_TOGGLE, SINCE(V53)),
	KEYS_PCI(V53),
	KEYS_END,
};
const struct option_key cloud_hypervisor_device_keys[] = {
	KEY("path", KEY_STRING),
	/* It needs platform's iommufd_fd, which the API cannot take; without that it is refused. */
	KEY("fd", KEY_REFUSED,
	    .note = "Cloud Hypervisor takes this descriptor from its own command line alone, not "
		    "through its API"),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEY("x_nv_gpudirect_clique", KEY_NUMBER, .max = UINT8_MAX),
	KEY("x_exclude_mmap_bars", KEY_NUMBERS, .max = UINT32_MAX, SINCE(V52)),
	KEYS_END,
};
const struct option_key cloud_hypervisor_disk_keys[] = {
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
const struct option_key cloud_hypervisor_fs_keys[] = {
	/* The size of the field in virtio_fs_config (virtio 1.3, 5.11.4). */
	KEY("tag", KEY_STRING, .required = true, .max = 36),
	KEY("socket", KEY_STRING, .required = true),
	KEYS_QUEUES,
	KEYS_PCI(0),
	KEYS_END,
};
const struct option_key cloud_hypervisor_ivshmem_keys[] = {
	KEY("path", KEY_STRING, .required = true),
	KEY("size", KEY_SIZE, .absent = "128M"),
	KEYS_PCI(V53),
	KEYS_END,
};
const struct option_key cloud_hypervisor_net_keys[] = {
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
const struct option_key cloud_hypervisor_pmem_keys[] = {
	KEY("file", KEY_STRING, .required = true),
	KEY("size", KEY_SIZE),
	KEY("discard_writes", KEY_TOGGLE),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
const struct option_key cloud_hypervisor_rate_limit_group_keys[] = {
	KEYS_RATE_LIMIT,
	KEY("id", KEY_STRING),
	KEYS_END,
};
const struct option_key cloud_hypervisor_rng_keys[] = {
	KEY("src", KEY_STRING, .absent = "/dev/urandom"),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(V52),
	KEYS_END,
};
const struct option_key cloud_hypervisor_rtc_keys[] = {
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
const struct option_key cloud_hypervisor_tpm_keys[] = {
	KEY("socket", KEY_STRING, .required = true),
	KEYS_END,
};
const struct option_key cloud_hypervisor_user_device_keys[] = {
	KEY("socket", KEY_STRING, .required = true),
	KEYS_PCI(0),
	KEYS_END,
};
const struct option_key cloud_hypervisor_vdpa_keys[] = {
	KEY("path", KEY_STRING, .required = true),
	KEY("num_queues", KEY_NUMBER),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};
const struct option_key cloud_hypervisor_vhost_user_keys[] = {
	/* The name in v52; the new one wins where both are given, so it comes last. */
	KEY_TO("virtio_id", "device_type", KEY_WORD_OR_NUMBER, .words = device_type_words,
	       .max = UINT32_MAX),
	KEY("device_type", KEY_WORD_OR_NUMBER, .words = device_type_words, .max = UINT32_MAX,
	    SINCE(V53)),
	KEY("queue_sizes", KEY_NUMBERS, .required = true, .max = UINT16_MAX),
	KEY("socket", KEY_STRING, .required = true),
	KEYS_PCI(0),
	KEYS_END,
};
const struct option_key cloud_hypervisor_vsock_keys[] = {
	KEY("cid", KEY_NUMBER, .required = true, .max = UINT32_MAX),
	KEY("socket", KEY_STRING, .required = true),
	KEY("iommu", KEY_TOGGLE),
	KEYS_PCI(0),
	KEYS_END,
};

/* clang-format on */
