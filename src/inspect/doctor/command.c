/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hypervisors of the declared command lines leave on the host: API sockets, where
 * Cloud Hypervisor shows the OEM strings (vm.info) and QEMU's monitor the guest's memory, and logs,
 * snapshots and kernels.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "inspect/doctor/doctor.h"
#include "vmm/vmm.h"

/* Where microvm.nix has the directories of its VMs. */
#define STATE_DIRECTORY "/var/lib/microvms"

/* Of a kernel's configuration; a log is searched up to this size. */
#define FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* Whether any user can connect: through all directories below `root`, to a socket that exists. */
static bool is_open(const char *root, const char *path)
{
	for (const char *end = path + strcspn(path + 1, "/") + 1;;
	     end += strcspn(end + 1, "/") + 1) {
		_cleanup_free_ char *part = strndup(path + 1, (size_t)(end - path) - 1);
		_cleanup_free_ char *full = part ? path_join(root, part) : NULL;
		struct stat status;

		if (!full || stat(full, &status) < 0)
			return false;
		if (!*end)
			return S_ISSOCK(status.st_mode) && (status.st_mode & S_IWOTH);
		if (!(status.st_mode & S_IXOTH))
			return false;
	}
}

static int socket_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
			const char *path, struct error *err)
{
	return is_open(root, path)
		       ? doctor_add(doctor, "socket-mode", DOCTOR_ERROR, NULL,
				    text_format("any user can connect to %s of the VM %s, and read "
						"its secrets there",
						path, vm->name),
				    text_format("put it in a directory that only the hypervisor's "
						"user can enter"),
				    err)
		       : 0;
}

/* Whether the beginning of a file below the root has a string with a credential. */
static bool has_credential(const char *root, const char *path)
{
	_cleanup_free_ char *full = path_join(root, path + 1), *text = NULL;
	_cleanup_close_ int fd =
		full ? open(full, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	struct stat status;
	size_t size;
	ssize_t done;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size <= 0)
		return false;
	size = (size_t)status.st_size < FILE_SIZE_MAX ? (size_t)status.st_size : FILE_SIZE_MAX;
	text = malloc(size);
	done = text ? pread(fd, text, size, 0) : -1;
	return done > 0 && memmem(text, (size_t)done, DOCTOR_CREDENTIAL, strlen(DOCTOR_CREDENTIAL));
}

static int log_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
		     const char *path, struct error *err)
{
	return has_credential(root, path)
		       ? doctor_add(doctor, "credential-in-log", DOCTOR_ERROR, NULL,
				    text_format("the log %s of the VM %s contains credentials",
						path, vm->name),
				    text_format("remove the file and the option -v, and replace "
						"the secrets"),
				    err)
		       : 0;
}

/* Of Cloud Hypervisor. The guest's memory beside it has the strings, too. */
static int snapshot_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
			  const char *path, struct error *err)
{
	_cleanup_free_ char *file = path_join(path, "config.json");

	if (!file)
		return error_no_memory(err);
	return has_credential(root, file)
		       ? doctor_add(doctor, "credential-in-snapshot", DOCTOR_ERROR, NULL,
				    text_format("%s, of a snapshot of the VM %s, contains "
						"credentials, and so does the memory beside it",
						file, vm->name),
				    text_format("remove the snapshot, or store it on an encrypted "
						"disk and ignore this finding"),
				    err)
		       : 0;
}

/* Snapshots in the VM's directory, and in those in it. */
static int snapshots_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
			   struct error *err)
{
	_cleanup_free_ char *directory = path_join(STATE_DIRECTORY, vm->name);
	_cleanup_free_ char *full = directory ? path_join(root, directory + 1) : NULL;
	_cleanup_close_dir_ DIR *stream = full ? dir_stream_open(AT_FDCWD, full) : NULL;
	const char *name;
	int r = stream ? snapshot_check(doctor, vm, root, directory, err) : 0;

	while (r == 0 && stream && (name = dir_stream_next(stream))) {
		_cleanup_free_ char *path = path_join(directory, name);

		r = path ? snapshot_check(doctor, vm, root, path, err) : error_no_memory(err);
	}
	return r;
}

/* The configuration beside a kernel: config-6.1.0 of vmlinuz-6.1.0, or .config in the directory
 * where it was built. NULL: none that can be read. */
static char *kernel_config(const char *root, const char *path)
{
	static const char *const names[] = {"config", ".config"};
	const char *name = strrchr(path, '/') + 1, *version = strchr(name, '-');
	char *text = NULL;

	for (size_t i = 0; !text && i < sizeof(names) / sizeof(names[0]); i++) {
		_cleanup_free_ char *file =
			text_format("%s/%.*s%s%s", root, (int)(name - path), path, names[i],
				    i == 0 && version ? version : "");

		if (file)
			text = doctor_file_text(file, FILE_SIZE_MAX);
	}
	return text;
}

/* Whether the kernel's own firmware table has the credentials. QEMU's machine microvm has none. */
static bool needs_smbios(const struct config_vm *vm)
{
	for (char *const *word = vm->command; *word; word++) {
		if (strncmp(*word, "microvm", strlen("microvm")) == 0)
			return false;
	}
	return vm->credential_file_count > 0 && vmm_transport_declared(vm) == VMM_TRANSPORT_SMBIOS;
}

/* A module counts: it may be in the initrd. */
static int kernel_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
			const char *path, struct error *err)
{
	_cleanup_free_ char *text = needs_smbios(vm) ? kernel_config(root, path) : NULL;

	return text && !strstr(text, "CONFIG_DMI_SYSFS=")
		       ? doctor_add(doctor, "guest-kernel", DOCTOR_WARNING, NULL,
				    text_format("the kernel %s of the VM %s was built without "
						"CONFIG_DMI_SYSFS: systemd in the guest gets no "
						"credentials",
						path, vm->name),
				    text_format("enable it, or declare \"transport: initrd\""), err)
		       : 0;
}

/* Options whose argument has a path, what is before the path, and its check. */
static const struct {
	const char *option, *prefix;
	int (*check)(struct doctor *doctor, const struct config_vm *vm, const char *root,
		     const char *path, struct error *err);
} options[] = {
	{"--api-socket", "path=", socket_check},
	{"--api-socket", "", socket_check},
	{"-qmp", "unix:", socket_check},
	{"-qmp-pretty", "unix:", socket_check},
	{"-monitor", "unix:", socket_check},
	{"--log-file", "", log_check},
	{"--restore", "source_url=file://", snapshot_check},
	{"--kernel", "", kernel_check},
	{"-kernel", "", kernel_check},
};

static int argument_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
			  const char *option, const char *argument, struct error *err)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const size_t size = strlen(options[i].prefix);
		_cleanup_free_ char *path = NULL;

		if (strcmp(option, options[i].option) != 0 ||
		    strncmp(argument, options[i].prefix, size) != 0 || argument[size] != '/')
			continue;
		path = strndup(argument + size, strcspn(argument + size, ","));
		return path ? options[i].check(doctor, vm, root, path, err) : error_no_memory(err);
	}
	return 0;
}

int doctor_check_commands(struct doctor *doctor, const struct config *config, const char *root,
			  struct error *err)
{
	int r = 0;

	if (!root)
		root = "/";
	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		for (char *const *word = vm->command; r == 0 && word && *word; word++) {
			const size_t size = strcspn(word[0], "=");
			const char *argument = word[0][size] ? word[0] + size + 1 : word[1];
			_cleanup_free_ char *option = strndup(word[0], size);

			if (option && argument)
				r = argument_check(doctor, vm, root, option, argument, err);
		}
		if (r == 0)
			r = snapshots_check(doctor, vm, root, err);
	}
	return r;
}
