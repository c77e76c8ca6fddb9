# SPDX-License-Identifier: Apache-2.0
"""The configuration of Cloud Hypervisor's API at v53: its members, their types, and which are required. Written from
vmm/src/vm_config.rs; strict where the real one ignores unknown members.

A name with `!` is required. A set lists the words of an enumeration, a range the numbers of a type, a list contains
the form of its items.
"""
U8, U16, U32, U64 = (range(1 << bits) for bits in (8, 16, 32, 63))
SWITCH = {False, True}

PCI = {"id": str, "iommu": SWITCH, "pci_segment": U16, "pci_device_id": U8}
QUEUES = {"num_queues": U64, "queue_size": U16}
BUCKET = {"size!": U64, "one_time_burst": U64, "refill_time!": U64}
LIMITS = {"bandwidth": BUCKET, "ops": BUCKET}
VHOST = {"vhost_user": SWITCH, "vhost_socket": str}
MODES = {"Off", "Pty", "Tty", "File", "Socket", "Null"}
MODE = {"mode!": MODES, "file": str, "socket": str}

ZONE = {"id!": str, "size!": U64, "file": str, "shared": SWITCH, "hugepages": SWITCH, "hugepage_size": U64,
        "host_numa_node": U32, "hotplug_size": U64, "hotplugged_size": U64, "prefault": SWITCH, "reserve": SWITCH,
        "mergeable": SWITCH}
# Descriptors are not part of it: they are sent with the request.
NET = PCI | QUEUES | VHOST | {
    "tap": str, "ip": str, "mask": str, "mac": str, "host_mac": str, "mtu": U16, "vhost_mode": {"Client", "Server"},
    "rate_limiter_config": LIMITS, "offload_tso": SWITCH, "offload_ufo": SWITCH, "offload_csum": SWITCH}

VM_CONFIG = {
    "payload!": {"kernel": str, "firmware": str, "initramfs": str, "cmdline": str},
    "cpus": {"boot_vcpus!": U32, "max_vcpus!": U32, "kvm_hyperv": SWITCH, "max_phys_bits": U8, "nested": SWITCH,
             "affinity": [{"vcpu!": U32, "host_cpus!": [U64]}], "features": {"amx": SWITCH},
             "core_scheduling": {"Vm", "Vcpu", "Off"}, "profile": {"Host"},
             "topology": {"threads_per_core!": U16, "cores_per_die!": U16, "dies_per_package!": U16,
                          "packages!": U16}},
    "memory": {"size!": U64, "mergeable": SWITCH, "shared": SWITCH, "hugepages": SWITCH, "hugepage_size": U64,
               "hotplug_method": {"Acpi", "VirtioMem"}, "hotplug_size": U64, "hotplugged_size": U64,
               "prefault": SWITCH, "reserve": SWITCH, "thp": SWITCH, "zones": [ZONE]},
    "rate_limit_groups": [{"id": str, "rate_limiter_config": LIMITS}],
    "disks": [PCI | QUEUES | VHOST | {
        "path": str, "readonly": SWITCH, "direct": SWITCH, "serial": str, "rate_limit_group": str,
        "rate_limiter_config": LIMITS, "disable_io_uring": SWITCH, "disable_aio": SWITCH,
        "queue_affinity": [{"queue_index!": U16, "host_cpus!": [U64]}], "backing_files": SWITCH, "sparse": SWITCH,
        "image_type": {"FixedVhd", "Qcow2", "Raw", "Vhdx", "Unknown"}, "lock_granularity": {"ByteRange", "Full"}}],
    "net": [NET],
    "rng": PCI | {"src!": str},
    "rtc": PCI,
    "balloon": PCI | {"size!": U64, "deflate_on_oom": SWITCH, "free_page_reporting": SWITCH},
    "generic_vhost_user": [PCI | {"socket!": str, "queue_sizes!": [U16], "device_type!": U32}],
    "fs": [PCI | QUEUES | {"tag!": str, "socket!": str}],
    "pmem": [PCI | {"file!": str, "size": U64, "discard_writes": SWITCH}],
    "serial": MODE,
    "console": MODE | PCI,
    "debug_console": {"mode!": MODES, "file": str, "iobase": U16},
    "devices": [PCI | {"path": str, "x_nv_gpudirect_clique": U8, "x_exclude_mmap_bars": [U64]}],
    "user_devices": [PCI | {"socket!": str}],
    "vdpa": [PCI | {"path!": str, "num_queues": U64}],
    "vsock": PCI | {"cid!": U32, "socket!": str},
    "pvpanic": SWITCH,
    "numa": [{"guest_numa_id!": U32, "cpus": [U32], "distances": [{"destination": U32, "distance": U8}],
              "memory_zones": [str], "pci_segments": [U16], "device_id": str}],
    "watchdog": SWITCH,
    "pci_segments": [{"pci_segment": U16, "mmio32_aperture_weight": U32, "mmio64_aperture_weight": U32}],
    "platform": {"num_pci_segments": U16, "iommu_segments": [U16], "iommu_address_width_bits": U8,
                 "serial_number": str, "uuid": str, "system_serial_number": str, "system_uuid": str,
                 "system_manufacturer": str, "system_product_name": str, "system_version": str,
                 "system_sku_number": str, "system_family": str, "chassis_asset_tag": str, "iommufd": SWITCH,
                 "vfio_p2p_dma": SWITCH, "oem_strings": [str]},
    "tpm": {"socket!": str},
    "landlock_enable": SWITCH,
    "landlock_rules": [{"path!": str, "access!": str}],
}


def object_check(value, form, where):
    if not isinstance(value, dict):
        return f"{where} is not an object"
    names = {name.rstrip("!"): name for name in form}
    for name in form:
        if name.endswith("!") and name[:-1] not in value:
            return f"{where} has no {name[:-1]}"
    for name, item in value.items():
        if name not in names:
            return f"{where}.{name} is not known"
        reason = check(item, form[names[name]], f"{where}.{name}")
        if reason:
            return reason
    return None


def check(value, form, where):
    """The reason why `value` does not have that form, or None."""
    if isinstance(form, dict):
        return object_check(value, form, where)
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{where} is not a list"
        reasons = (check(item, form[0], where) for item in value)
        return next((reason for reason in reasons if reason), None)
    # In Python a bool is an int.
    if isinstance(form, range):
        return None if type(value) is int and value in form else f"{where} is not such a number"
    if form is str:
        return None if isinstance(value, str) else f"{where} is not a string"
    return None if any(value is word or value == word and isinstance(value, str) for word in form) \
        else f"{where} is not an allowed value"
