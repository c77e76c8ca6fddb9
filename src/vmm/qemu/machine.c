/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "vmm/qemu/qemu.h"

/*
 * Whether a guest can read an SMBIOS table. On x86 QEMU's own firmware (SeaBIOS) provides it;
 * elsewhere the kernel gets it only from UEFI (Linux, drivers/firmware/dmi_scan.c), so a kernel
 * that is booted directly has none. fw_cfg is in the ACPI or device tree of the machines that have
 * it, and is read by the module qemu_fw_cfg. An older QEMU that lacks fw_cfg on riscv (7.1 and 7.2)
 * or SMBIOS on loongarch64 refuses the option itself. tests/interop/qemu_machines.py compares this
 * table with every machine type of the programs that are installed. Debian 13 also has links with
 * its own names of the architectures.
 */
#define X86 "qemu-system-@(x86_64|amd64|i386)"

static const struct {
	const char *program; /* patterns, fnmatch(3) */
	const char *machine;
	enum vmm_transport transport;
	bool by_firmware; /* SMBIOS if there is firmware */
	bool by_acpi;     /* the guest finds fw_cfg through ACPI alone */
	const char *why;
} machines[] = {
	{X86 "?(-microvm)", "microvm*", VMM_TRANSPORT_FW_CFG, false, true, "has no SMBIOS table"},
	{X86, "pc-@(i440fx|q35)-@(1.*|2.0)", VMM_TRANSPORT_DEFAULT, false, false,
	 "has no OEM strings in its SMBIOS table"},
	{X86, "@(|pc|q35|pc-@(i440fx|q35)-*|ubuntu*)", VMM_TRANSPORT_SMBIOS, false, false, ""},
	{"qemu-system-@(aarch64|arm64|arm|armel|armhf|loongarch64|loong64)", "virt*",
	 VMM_TRANSPORT_FW_CFG, true, false, "has an SMBIOS table only with firmware"},
	{"qemu-system-riscv@(64|32)", "virt*", VMM_TRANSPORT_FW_CFG, false, false,
	 "has no SMBIOS table before QEMU 9.0"},
	{"*", "*", VMM_TRANSPORT_DEFAULT, false, false, "is not known to have an SMBIOS table"},
};

/* qemu-kvm and kvm emulate the architecture of the host. */
#if defined(__x86_64__)
#define NATIVE "qemu-system-x86_64"
#elif defined(__aarch64__)
#define NATIVE "qemu-system-aarch64"
#else
#define NATIVE "kvm"
#endif

/* -bios is short for -machine firmware=. */
static bool machine_has_firmware(const struct qemu_option *machine)
{
	for (size_t i = 0; i < machine->keys.count; i++) {
		const char *key = machine->keys.items[i];

		if (strcmp(key, "firmware") == 0 || strncmp(key, "pflash", strlen("pflash")) == 0)
			return true;
	}
	return false;
}

struct qemu_machine qemu_machine_find(const struct qemu_arguments *arguments, const char *program)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
	struct qemu_machine machine = {.type = ""};
	bool has_firmware = false, has_acpi = true;
	size_t row = 0;

	for (size_t i = 0; i < arguments->count; i++) {
		const struct qemu_option *option = &arguments->options[i];
		const char *interface = qemu_option_get(option, "if");

		if (strcmp(option->name, "bios") == 0) {
			has_firmware = strcmp(option->value, "none") != 0;
		} else if (strcmp(option->name, "machine") == 0) {
			const char *type = qemu_option_get(option, "type");

			const char *acpi = qemu_option_get(option, "acpi");

			machine.type = type ? type : machine.type;
			has_acpi = acpi ? strcmp(acpi, "off") != 0 : has_acpi;
			has_firmware = has_firmware || machine_has_firmware(option);
			if (qemu_option_get(option, "confidential-guest-support") ||
			    qemu_option_get(option, "memory-encryption"))
				machine.is_confidential = true;
		} else if (strcmp(option->name, "pflash") == 0 ||
			   (strcmp(option->name, "drive") == 0 && interface &&
			    strcmp(interface, "pflash") == 0)) {
			has_firmware = true;
		} else if (strcmp(option->name, "no-acpi") == 0) {
			has_acpi = false;
		}
	}
	if (strcmp(name, "qemu-kvm") == 0 || strcmp(name, "kvm") == 0)
		name = NATIVE;
	while (fnmatch(machines[row].program, name, FNM_EXTMATCH) != 0 ||
	       fnmatch(machines[row].machine, machine.type, FNM_EXTMATCH) != 0)
		row++;
	machine.why = machines[row].why;
	machine.transport = machines[row].by_firmware && has_firmware ? VMM_TRANSPORT_SMBIOS
								      : machines[row].transport;
	if (machines[row].by_acpi && !has_acpi) {
		machine.transport = VMM_TRANSPORT_DEFAULT;
		machine.why = "needs ACPI for its guest to find fw_cfg";
	}
	return machine;
}

/* A property of all devices of a driver: -global DRIVER.PROPERTY=VALUE, or driver=, property= and
 * value=. */
static const char *global_get(const struct qemu_option *global, const char *driver,
			      const char *property)
{
	_cleanup_free_ char *key = text_format("%s.%s", driver, property);
	const char *of = qemu_option_get(global, "driver");
	const char *name = qemu_option_get(global, "property");

	if (of && name && strcmp(of, driver) == 0 && strcmp(name, property) == 0)
		return qemu_option_get(global, "value");
	return key ? qemu_option_get(global, key) : NULL;
}

/* A property of a device: the last -set device.ID.PROPERTY=VALUE after it, its own, or the last
 * -global. NULL: it has none. */
static const char *property_get(const struct qemu_arguments *arguments, size_t device,
				const char *property)
{
	const struct qemu_option *option = &arguments->options[device];
	const char *driver = qemu_option_get(option, "driver"), *id = qemu_option_get(option, "id");
	_cleanup_free_ char *key = text_format("device.%s.%s", id ? id : "", property);
	const char *value = qemu_option_get(option, property), *global = NULL;

	for (size_t i = 0; i < arguments->count; i++) {
		const struct qemu_option *other = &arguments->options[i];
		const char *found = NULL;

		if (strcmp(other->name, "global") == 0) {
			found = global_get(other, driver, property);
			global = found ? found : global;
		} else if (strcmp(other->name, "set") == 0 && i > device && key) {
			found = qemu_option_get(other, key);
			value = found ? found : value;
		}
	}
	return value ? value : global;
}

/*
 * vhost-vsock-pci and the same on other buses, or vhost-user-vsock-*, which leaves the host's side,
 * a unix socket, to a daemon.
 */
void qemu_vsock_find(const struct qemu_arguments *arguments, const char *daemon_socket,
		     struct vmm_vsock *vsock)
{
	for (size_t i = 0; i < arguments->count; i++) {
		const struct qemu_option *option = &arguments->options[i];
		const char *driver = qemu_option_get(option, "driver");
		const char *cid;

		if (strcmp(option->name, "device") != 0 || !driver)
			continue;
		cid = property_get(arguments, i, "guest-cid");
		if (fnmatch("vhost-vsock-*", driver, 0) == 0)
			*vsock = (struct vmm_vsock){
				.cid = cid ? (uint32_t)strtoul(cid, NULL, 0) : 0,
				.is_vhost = true,
			};
		else if (fnmatch("vhost-user-vsock-*", driver, 0) == 0)
			/* Only the daemon knows the guest's number; any number says that there is a
			 * device. */
			*vsock = (struct vmm_vsock){.cid = VMADDR_CID_HOST + 1,
						    .socket = daemon_socket,
						    .socket_missing = !daemon_socket};
	}
}
