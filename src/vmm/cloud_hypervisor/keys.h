/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: the key tables of Cloud Hypervisor's options; each ends with a row without a name.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_KEYS_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_KEYS_H

#include "vmm/cloud_hypervisor/options.h"

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

/* cloud_hypervisor_keys.c: the machine. */
extern const struct option_key cloud_hypervisor_console_keys[];
extern const struct option_key cloud_hypervisor_cpus_keys[];
extern const struct option_key cloud_hypervisor_debug_console_keys[];
extern const struct option_key cloud_hypervisor_fw_cfg_keys[];
extern const struct option_key cloud_hypervisor_landlock_keys[];
extern const struct option_key cloud_hypervisor_memory_keys[];
extern const struct option_key cloud_hypervisor_memory_zone_keys[];
extern const struct option_key cloud_hypervisor_numa_keys[];
extern const struct option_key cloud_hypervisor_pci_segment_keys[];
extern const struct option_key cloud_hypervisor_platform_keys[];
extern const struct option_key cloud_hypervisor_serial_keys[];

/* cloud_hypervisor_devices.c: its devices. */
extern const struct option_key cloud_hypervisor_balloon_keys[];
extern const struct option_key cloud_hypervisor_device_keys[];
extern const struct option_key cloud_hypervisor_disk_keys[];
extern const struct option_key cloud_hypervisor_fs_keys[];
extern const struct option_key cloud_hypervisor_ivshmem_keys[];
extern const struct option_key cloud_hypervisor_net_keys[];
extern const struct option_key cloud_hypervisor_pmem_keys[];
extern const struct option_key cloud_hypervisor_rate_limit_group_keys[];
extern const struct option_key cloud_hypervisor_rng_keys[];
extern const struct option_key cloud_hypervisor_rtc_keys[];
extern const struct option_key cloud_hypervisor_tpm_keys[];
extern const struct option_key cloud_hypervisor_user_device_keys[];
extern const struct option_key cloud_hypervisor_vdpa_keys[];
extern const struct option_key cloud_hypervisor_vhost_user_keys[];
extern const struct option_key cloud_hypervisor_vsock_keys[];

#endif
