/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "base/trusted/trusted.h"
#include "inspect/doctor/doctor.h"

#define PROC_FILE_SIZE_MAX ((size_t)64 * 1024)

/* LUKS on LVM on a partition is three layers. */
#define LAYERS_MAX 8

/* Whether another user can replace the identity: owns it or one of its directories, or may write
 * there. */
static int identity_owner_check(struct doctor *doctor, const char *path, struct error *err)
{
	/* Whose parent, with its own parents, is the identity. */
	_cleanup_free_ char *below = text_format("%s/.", path);
	_cleanup_error_ struct error ignored = {0};
	bool is_foreign = false;
	const char *name;
	_cleanup_close_ int fd =
		below ? trusted_parent_open(below, 0, &name, &is_foreign, &ignored) : -1;

	if (!below)
		return error_no_memory(err);
	if (fd < 0 || !is_foreign)
		return 0;
	return doctor_add(doctor, "identity-owner", DOCTOR_ERROR, NULL,
			  text_format("another user owns %s or one of its directories, or may "
				      "write there",
				      path),
			  text_format("`namei -l %s` lists them: use chown and chmod", path), err);
}

int doctor_check_identity(struct doctor *doctor, const char *root, const char *path,
			  struct error *err)
{
	_cleanup_free_ char *full = path_join(root ? root : "/", path + 1);
	struct stat status;
	int r;

	if (!full)
		return error_no_memory(err);
	r = doctor_check_nix_store(doctor, root, path, "an identity", err);
	if (r < 0 || lstat(full, &status) < 0 || !S_ISREG(status.st_mode))
		return r;
	r = identity_owner_check(doctor, full, err);
	if (r < 0 || !(status.st_mode & (S_IRWXG | S_IRWXO)))
		return r;
	return doctor_add(
		doctor, "identity-mode", DOCTOR_ERROR, full,
		text_format("%s has mode %04o: others can use the identity", full,
			    status.st_mode & 07777),
		text_format("chmod 600 %s; if others have read it, replace the key", full), err);
}

/* A file below /sys/class/block/NAME; NULL if it cannot be read. */
static char *device_file(const char *root, const char *name, const char *file)
{
	_cleanup_free_ char *directory = path_join(root, "sys/class/block");
	_cleanup_free_ char *path =
		directory ? text_format("%s/%s/%s", directory, name, file) : NULL;

	return path ? doctor_file_text(path, PROC_FILE_SIZE_MAX) : NULL;
}

static bool is_encrypted(const char *root, const char *name, int layers);

/* Whether each device below it is encrypted, such as a RAID of them. */
static bool are_slaves_encrypted(const char *root, const char *name, int layers)
{
	_cleanup_free_ char *directory = path_join(root, "sys/class/block");
	_cleanup_free_ char *path = directory ? text_format("%s/%s/slaves", directory, name) : NULL;
	_cleanup_close_dir_ DIR *slaves =
		path && layers > 0 ? dir_stream_open(AT_FDCWD, path) : NULL;
	const char *slave;
	size_t count = 0;

	while (slaves && (slave = dir_stream_next(slaves))) {
		if (!is_encrypted(root, slave, layers - 1))
			return false;
		count++;
	}
	return count > 0;
}

/* By dm-crypt, itself or below. */
static bool is_encrypted(const char *root, const char *name, int layers)
{
	_cleanup_free_ char *uuid = device_file(root, name, "dm/uuid");

	return (uuid && strncmp(uuid, "CRYPT-", strlen("CRYPT-")) == 0) ||
	       are_slaves_encrypted(root, name, layers);
}

/* The first swap device on a disk that is not encrypted, or NULL. What a swap file is on is not
 * always visible, so it does not count. The caller frees it. */
static char *plain_swap(const char *root)
{
	_cleanup_free_ char *path = path_join(root, "proc/swaps");
	_cleanup_free_ char *text = path ? doctor_file_text(path, PROC_FILE_SIZE_MAX) : NULL;
	char *rest = NULL;

	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		const size_t size = strcspn(line, " \t");
		const char *type = line + size + strspn(line + size, " \t");
		_cleanup_free_ char *device = strndup(line, size);
		const char *name = device ? strrchr(device, '/') : NULL;

		/* zram is in memory. */
		if (!name || strncmp(type, "partition", strlen("partition")) != 0 ||
		    strncmp(name + 1, "zram", strlen("zram")) == 0)
			continue;
		if (!is_encrypted(root, name + 1, LAYERS_MAX))
			return pointer_release(&device);
	}
	return NULL;
}

static int credentials_check(struct doctor *doctor, const struct inspect_host_vm *vm,
			     struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < vm->credential_count; i++) {
		const struct inspect_credential *credential = &vm->credentials[i];

		if (credential->state == INSPECT_LOADED_STALE)
			r = doctor_add(doctor, "vm-stale", DOCTOR_ERROR, NULL,
				       text_format("the VM %s has an old value of %s", vm->vm->name,
						   credential->load->credential),
				       text_format("systemctl restart %s", vm->vm->unit), err);
		else if (credential->state == INSPECT_LOADED_MISSING)
			r = doctor_add(doctor, "vm-missing", DOCTOR_ERROR, NULL,
				       text_format("the VM %s does not have %s, or would not start "
						   "with it",
						   vm->vm->name, credential->load->credential),
				       text_format("vmcred status %s", vm->vm->name), err);
	}
	return r;
}

/* `swap`: an unencrypted device, or NULL. */
static int unit_check(struct doctor *doctor, const struct inspect_host_vm *vm, const char *swap,
		      struct error *err)
{
	const struct inspect_unit *unit = vm->unit;
	int r = 0;

	if (strcmp(unit->load, "loaded") != 0)
		return 0;
	if (unit->limit_core[0] && strcmp(unit->limit_core, "0") != 0 &&
	    strcmp(unit->limit_core, "1") != 0)
		r = doctor_add(doctor, "unit-core", DOCTOR_WARNING, NULL,
			       text_format("%s may dump core: the file would contain the guest's "
					   "memory",
					   vm->vm->unit),
			       text_format("add LimitCORE=1 to its section [Service]: `systemctl "
					   "edit %s`",
					   vm->vm->unit),
			       err);
	if (r == 0 && swap && unit->swap_max[0] && strcmp(unit->swap_max, "0") != 0)
		r = doctor_add(doctor, "unit-swap", DOCTOR_WARNING, NULL,
			       text_format("the memory of %s may be swapped to %s, which is not "
					   "encrypted",
					   vm->vm->unit, swap),
			       text_format("add MemorySwapMax=0 to its section [Service], or "
					   "encrypt the swap: crypttab(5)"),
			       err);
	return r;
}

/* Whether the VM runs on this host, or would. A template is a loaded unit for every VM, also on a
 * laptop, where all credentials would be missing. */
static bool is_here(const struct inspect_host *host, const struct inspect_unit *unit)
{
	bool is_activated = false;

	for (size_t i = 0; i < CONFIG_PHASES; i++)
		is_activated = is_activated || host->records[i].machine;
	return strcmp(unit->load, "loaded") == 0 &&
	       (is_activated || strcmp(unit->active, "inactive") != 0);
}

int doctor_check_vms(struct doctor *doctor, const struct inspect_host *host, const char *root,
		     struct error *err)
{
	_cleanup_free_ char *swap = plain_swap(root ? root : "/");
	int r = 0;

	for (size_t i = 0; r == 0 && i < host->vm_count; i++) {
		if (is_here(host, host->vms[i].unit))
			r = credentials_check(doctor, &host->vms[i], err);
		if (r == 0)
			r = unit_check(doctor, &host->vms[i], swap, err);
	}
	return r;
}
