/* SPDX-License-Identifier: Apache-2.0 */
/* What the whole host does to the memory, the command lines and the times of its VMs. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "base/text.h"
#include "inspect/doctor/doctor.h"
#include "vmm/vmm.h"

#define FILE_SIZE_MAX ((size_t)1024 * 1024)

/* Smaller steps are those of a clock that is set at boot. */
#define CLOCK_STEP_SECONDS 3600

/* LoadCredential= is an unknown line before, which systemd ignores: systemd.exec(5). */
#define SYSTEMD_VERSION_MIN 247

/* Reads strings from files, -smbios type=11,path=, since 5.2. */
#define QEMU_VERSION_MIN 5

/* A file below the root; NULL if it cannot be read. The caller frees it. */
static char *file_text(const char *root, const char *path)
{
	_cleanup_free_ char *full = path_join(root, path);

	return full ? doctor_file_text(full, FILE_SIZE_MAX) : NULL;
}

/* The kernel gives a program all cores, but for those of processes with a limit of 1: core(5).
 * systemd-coredump obeys the limit by itself. */
static int core_pattern_check(struct doctor *doctor, const struct inspect_host *host,
			      const char *root, struct error *err)
{
	_cleanup_free_ char *pattern = file_text(root, "proc/sys/kernel/core_pattern");
	int r = 0;

	if (!pattern || pattern[0] != '|')
		return 0;
	pattern[strcspn(pattern, " \n")] = '\0';
	if (strstr(pattern, "/systemd-coredump"))
		return 0;
	for (size_t i = 0; r == 0 && i < host->vm_count; i++) {
		const struct inspect_unit *unit = host->vms[i].unit;

		if (strcmp(unit->load, "loaded") == 0 && strcmp(unit->limit_core, "0") == 0)
			r = doctor_add(
				doctor, "core-pattern", DOCTOR_WARNING, NULL,
				text_format("%s gets the guest's memory if the hypervisor "
					    "of %s crashes: LimitCORE=0 does not prevent it",
					    pattern + 1, host->vms[i].vm->unit),
				text_format("set LimitCORE=1 in its section [Service], which "
					    "does: `systemctl edit %s`",
					    host->vms[i].vm->unit),
				err);
	}
	return r;
}

/* Whether the options of a mount hide the processes of other users: proc(5). */
static bool is_hidden(const char *options)
{
	const char *value = strstr(options, "hidepid=");

	return value && strncmp(value, "hidepid=0", 9) != 0 &&
	       strncmp(value, "hidepid=off", 11) != 0;
}

/* Whether any user can see the command lines of all processes. */
static bool is_proc_visible(const char *root)
{
	_cleanup_free_ char *mounts = file_text(root, "proc/mounts");
	const char *line = mounts ? strstr(mounts, " /proc proc ") : NULL;
	_cleanup_free_ char *options = line ? strndup(line, strcspn(line, "\n")) : NULL;

	return options && !is_hidden(options);
}

static bool exposes_argv(const struct config_vm *vm)
{
	const char *expose = vm->launch[CONFIG_LAUNCH_EXPOSE];

	return expose && config_launch_words(CONFIG_LAUNCH_EXPOSE, expose) & VMM_EXPOSE_ARGV;
}

static int command_lines_check(struct doctor *doctor, const struct config *config, const char *root,
			       struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		if (exposes_argv(&config->vms[i]) && is_proc_visible(root))
			r = doctor_add(doctor, "proc-visible", DOCTOR_WARNING, NULL,
				       text_format("any user can read the secrets of the VM %s in "
						   "its command line: \"expose: argv\" is declared",
						   config->vms[i].name),
				       text_format("remove \"expose: argv\", or mount /proc with "
						   "hidepid=invisible: proc(5)"),
				       err);
	}
	return r;
}

/* CLOCK_MONOTONIC does not count the time in which the host was suspended. */
static int64_t suspended_seconds(void)
{
	struct timespec boot, monotonic;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return boot.tv_sec - monotonic.tv_sec;
}

static int clock_check(struct doctor *doctor, const struct inspect_host *host, struct error *err)
{
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		const struct activation_time *activated = &host->records[i].activated;
		const int64_t ahead = inspect_realtime(activated->monotonic) - activated->realtime;

		if (!host->records[i].machine || (ahead > -CLOCK_STEP_SECONDS &&
						  ahead < CLOCK_STEP_SECONDS + suspended_seconds()))
			continue;
		return doctor_add(
			doctor, "clock-jumped", DOCTOR_WARNING, NULL,
			text_format("since secrets were activated, the clock jumped %s by "
				    "%lld hours: times that were recorded before are "
				    "wrong, and rotateAfter comes too %s",
				    ahead < 0 ? "back" : "ahead",
				    (long long)(llabs(ahead) / CLOCK_STEP_SECONDS),
				    ahead < 0 ? "late" : "early"),
			text_format("check the clock with `timedatectl`, then `systemctl "
				    "reload vmcred-activate`"),
			err);
	}
	return 0;
}

/* What a program must be at least, by the start of its name. */
static const struct {
	const char *name, *prefix;
	int version_min;
	const char *problem;
} programs[] = {
	{"qemu-", "QEMU emulator version ", QEMU_VERSION_MIN,
	 "cannot read OEM strings from files, as 5.2 and later do"},
	{"systemd-vmspawn", "systemd ", VMM_VMSPAWN_VERSION_MIN,
	 "puts credentials on QEMU's command line"},
	{"systemctl", "systemd ", SYSTEMD_VERSION_MIN,
	 "starts VMs without their credentials: LoadCredential= needs 247 or later"},
};

static int version_check(struct doctor *doctor, const char *program, struct strings *checked,
			 struct error *err)
{
	const char *name = strrchr(program, '/') ? strrchr(program, '/') + 1 : program;
	int r = 0;

	if (strings_contain(checked, program))
		return 0;
	for (size_t i = 0; r == 0 && i < sizeof(programs) / sizeof(programs[0]); i++) {
		int version;

		if (strncmp(name, programs[i].name, strlen(programs[i].name)) != 0)
			continue;
		version = program_version(program, programs[i].prefix);
		if (version > 0 && version < programs[i].version_min)
			r = doctor_add(doctor, "old-version", DOCTOR_ERROR, NULL,
				       text_format("version %d of %s %s", version, program,
						   programs[i].problem),
				       text_format("upgrade it"), err);
	}
	return r < 0 ? r : strings_add(checked, program, err);
}

/* Of what the VMs on this host are started with. */
static int versions_check(struct doctor *doctor, const struct inspect_host *host, struct error *err)
{
	_cleanup_strings_ struct strings checked = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < host->vm_count; i++) {
		const struct config_vm *vm = host->vms[i].vm;

		if (strcmp(host->vms[i].unit->load, "loaded") != 0 || vm->load_count == 0)
			continue;
		r = version_check(doctor, "systemctl", &checked, err);
		if (r == 0 && vm->command && vm->command[0] && !exposes_argv(vm))
			r = version_check(doctor, vm->command[0], &checked, err);
	}
	return r;
}

int doctor_check_system(struct doctor *doctor, const struct inspect_host *host,
			const struct config *config, const char *root, struct error *err)
{
	int r;

	if (!root)
		root = "/";
	r = core_pattern_check(doctor, host, root, err);
	if (r == 0)
		r = command_lines_check(doctor, config, root, err);
	if (r == 0)
		r = clock_check(doctor, host, err);
	return r < 0 ? r : versions_check(doctor, host, err);
}
