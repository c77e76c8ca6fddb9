/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/machine.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/qemu/arguments.h"

/*
 * Whether a guest can read an SMBIOS table. On x86 QEMU's own firmware (SeaBIOS) puts it in place;
 * elsewhere UEFI has to hand it to the kernel, which looks nowhere else (Linux,
 * drivers/firmware/dmi_scan.c), so that a kernel that is booted directly has none. fw_cfg is in the
 * ACPI or device tree of the machines that have it, and is read by the module qemu_fw_cfg.
 */
static const struct {
	const char *program; /* patterns, fnmatch(3) */
	const char *machine;
	enum vmm_transport transport;
	bool by_firmware; /* with firmware it is SMBIOS */
	const char *why;
} machines[] = {
	{"qemu-system-x86_64|qemu-system-i386", "microvm*", VMM_TRANSPORT_FW_CFG, false,
	 "has no SMBIOS table"},
	{"qemu-system-x86_64|qemu-system-i386", "*", VMM_TRANSPORT_SMBIOS, false, ""},
	{"qemu-system-aarch64|qemu-system-arm", "virt*", VMM_TRANSPORT_FW_CFG, true,
	 "has no firmware that would tell of an SMBIOS table"},
	{"qemu-system-loongarch64", "virt*", VMM_TRANSPORT_FW_CFG, true,
	 "has no firmware that would tell of an SMBIOS table"},
	/* SMBIOS came with QEMU 9.0; fw_cfg is there in all versions. */
	{"qemu-system-riscv64|qemu-system-riscv32", "virt*", VMM_TRANSPORT_FW_CFG, false,
	 "has no SMBIOS table before QEMU 9.0"},
	{"*", "*", VMM_TRANSPORT_DEFAULT, false, "has no SMBIOS table"},
};

/* qemu-kvm and kvm are the emulator of the machine that they run on. */
#if defined(__x86_64__)
#define NATIVE "qemu-system-x86_64"
#elif defined(__aarch64__)
#define NATIVE "qemu-system-aarch64"
#else
#define NATIVE "kvm"
#endif

static bool words_match(const char *patterns, const char *word)
{
	while (*patterns) {
		size_t size = strcspn(patterns, "|");
		char pattern[64];

		if (size < sizeof(pattern)) {
			memcpy(pattern, patterns, size);
			pattern[size] = '\0';
			if (fnmatch(pattern, word, 0) == 0)
				return true;
		}
		patterns += size + (patterns[size] == '|' ? 1 : 0);
	}
	return false;
}

static int machine_pair_note(void *data, const char *key, const char *value, struct error *err)
{
	struct qemu_machine *machine = data;
	char *type;

	if (strncmp(key, "pflash", strlen("pflash")) == 0)
		machine->has_firmware = true;
	if (strcmp(key, "type") != 0)
		return 0;
	type = strdup(value);
	if (!type)
		return error_no_memory(err);
	free(machine->type);
	machine->type = type;
	return 0;
}

static int drive_pair_note(void *data, const char *key, const char *value, struct error *err)
{
	struct qemu_machine *machine = data;

	(void)err;
	if (strcmp(key, "if") == 0 && strcmp(value, "pflash") == 0)
		machine->has_firmware = true;
	return 0;
}

static int option_note(void *data, const char *option, const char *value, struct error *err)
{
	struct qemu_machine *machine = data;

	if (strcmp(option, "machine") == 0)
		return qemu_pairs_visit(value, "type", machine_pair_note, machine, err);
	if (strcmp(option, "drive") == 0)
		return qemu_pairs_visit(value, NULL, drive_pair_note, machine, err);
	if (strcmp(option, "pflash") == 0)
		machine->has_firmware = true;
	if (strcmp(option, "bios") == 0)
		machine->has_firmware = strcmp(value, "none") != 0;
	return 0;
}

int qemu_machine_read(const char *program, char *const *argv, struct qemu_machine *machine,
		      struct error *err)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
	size_t i = 0;
	int r;

	*machine = (struct qemu_machine){.type = strdup("")};
	if (!machine->type)
		return error_no_memory(err);
	r = qemu_options_visit(argv, option_note, machine, err);
	if (r < 0)
		return r;
	if (words_match("qemu-kvm|kvm", name))
		name = NATIVE;
	while (!words_match(machines[i].program, name) ||
	       !words_match(machines[i].machine, machine->type))
		i++;
	machine->why = machines[i].why;
	machine->transport = machines[i].by_firmware && machine->has_firmware
				     ? VMM_TRANSPORT_SMBIOS
				     : machines[i].transport;
	return 0;
}

void qemu_machine_destroy(struct qemu_machine *machine)
{
	free(machine->type);
	*machine = (struct qemu_machine){0};
}
