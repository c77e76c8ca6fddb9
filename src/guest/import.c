/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/name.h"
#include "guest/guest.h"
#include "guest/store.h"
#include "oem/oem.h"
#include "smbios/smbios.h"

/*
 * The kernel has the table here wherever it has /sys/firmware/dmi/entries (Linux 4.2), which
 * systemd reads and which needs the module dmi_sysfs. Both are the same bytes.
 */
#define SMBIOS_TABLE          "/sys/firmware/dmi/tables/DMI"
/* A hypervisor's table has at most 64 KiB (oem/limits.c), a machine's own may have more. */
#define SMBIOS_TABLE_SIZE_MAX ((size_t)1024 * 1024)

/* The module qemu_fw_cfg. An entry is a link to a directory elsewhere in sysfs. */
#define FW_CFG "/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials"

struct import {
	struct store store;
	const struct report *report;
	size_t found;
	int dirfd; /* of GUEST_EXTRA */
};

/* Reports what is wrong with one credential; the others are imported all the same. */
static void ignore(struct import *import, const char *where, const struct error *problem)
{
	_cleanup_free_ char *line = error_line(problem);

	report_message(import->report, REPORT_WARNING, "import: %s: ignored: %s", where,
		       line ? line : "out of memory");
}

static int credential_import(struct import *import, const char *where, const char *name,
			     struct span value, struct error *err)
{
	_cleanup_error_ struct error problem = {0};

	import->found++;
	if (credential_name_check(name, &problem) < 0) {
		ignore(import, where, &problem);
		return 0;
	}
	if (store_size_check(&import->store, value.size, &problem) < 0) {
		error_wrap(&problem, "%s", name);
		ignore(import, where, &problem);
		return 0;
	}
	return store_add(&import->store, name, value, err);
}

static int string_import(struct import *import, struct span text, struct error *err)
{
	_cleanup_error_ struct error problem = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_free_ char *name = NULL;
	struct oem_literal literal;

	if (text.size == 0)
		return 0;
	if (oem_literal_parse(text, &literal, &problem) < 0) {
		import->found++;
		ignore(import, SMBIOS_TABLE, &problem);
		return 0;
	}
	if (literal.encoding == OEM_PLAIN)
		return 0;
	name = strndup((const char *)literal.name.data, literal.name.size);
	if (!name)
		return error_no_memory(err);
	if (oem_literal_value(&literal, &value, err) < 0)
		return -(int)err->code;
	return credential_import(import, SMBIOS_TABLE, name, secret_span(&value), err);
}

/* The strings of all structures of type 11, in the table's order. */
static int smbios_import(struct import *import, struct error *err)
{
	_cleanup_error_ struct error problem = {0};
	_cleanup_secret_ struct secret bytes = {0};
	struct smbios_structure structure = {0};
	struct span table, string;
	int r = file_read_secret(AT_FDCWD, SMBIOS_TABLE, SMBIOS_TABLE_SIZE_MAX, &bytes, &problem);

	table = secret_span(&bytes);
	while (r == 0 && table.size > 0 && structure.type != SMBIOS_TYPE_END_OF_TABLE) {
		r = smbios_structure_next(&table, &structure, &problem);
		if (r < 0 || structure.type != SMBIOS_TYPE_OEM_STRINGS)
			continue;
		while (smbios_string_next(&structure.strings, &string)) {
			r = string_import(import, string, err);
			if (r < 0)
				return r;
		}
	}
	if (r < 0 && r != -VMCRED_MISSING)
		ignore(import, SMBIOS_TABLE, &problem);
	return 0;
}

static int fw_cfg_entry_import(void *context, const char *name, struct error *err)
{
	struct import *import = context;
	_cleanup_error_ struct error problem = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_free_ char *path = text_format(FW_CFG "/%s/raw", name);

	if (!path)
		return error_no_memory(err);
	if (file_read_secret(AT_FDCWD, path, oem_limit_max(OEM_LIMIT_CREDENTIAL), &value,
			     &problem) < 0) {
		ignore(import, FW_CFG, &problem);
		return 0;
	}
	return credential_import(import, FW_CFG, name, secret_span(&value), err);
}

int guest_extra_name(const char *file, char **name, struct error *err)
{
	const size_t size = strlen(file), suffix_size = strlen(GUEST_EXTRA_SUFFIX);

	*name = NULL;
	if (size < suffix_size || strcmp(file + size - suffix_size, GUEST_EXTRA_SUFFIX) != 0)
		return 0;
	*name = strndup(file, size - suffix_size);
	return *name ? 0 : error_no_memory(err);
}

static int initrd_entry_import(void *context, const char *file, struct error *err)
{
	struct import *import = context;
	_cleanup_error_ struct error problem = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_free_ char *name = NULL;
	int r = guest_extra_name(file, &name, err);

	if (r < 0 || !name)
		return r;
	if (file_read_secret(import->dirfd, file, oem_limit_max(OEM_LIMIT_CREDENTIAL), &value,
			     &problem) < 0) {
		ignore(import, GUEST_EXTRA, &problem);
		return 0;
	}
	return credential_import(import, GUEST_EXTRA, name, secret_span(&value), err);
}

/* Calls `each` for the entries of a source that may not exist. */
static int source_import(struct import *import, const char *path,
			 int (*each)(void *context, const char *entry, struct error *err),
			 struct error *err)
{
	_cleanup_error_ struct error problem = {0};
	_cleanup_close_ int fd = dir_open(AT_FDCWD, path, &problem);

	if (fd == -VMCRED_MISSING)
		return 0;
	if (fd < 0) {
		ignore(import, path, &problem);
		return 0;
	}
	import->dirfd = fd;
	return dir_each(fd, ".", each, import, err);
}

int guest_import(enum guest_import kind, const struct report *report, struct error *err)
{
	const bool is_initrd = kind == GUEST_IMPORT_INITRD;
	struct import import = {.store = STORE_NONE, .report = report, .dirfd = -1};
	int r = is_initrd ? 0 : source_import(&import, FW_CFG, fw_cfg_entry_import, err);

	import.store.is_initrd = is_initrd;
	if (r == 0 && !is_initrd)
		r = smbios_import(&import, err);
	if (r == 0)
		r = source_import(&import, GUEST_EXTRA, initrd_entry_import, err);
	store_close(&import.store);
	if (r < 0 || import.found > 0)
		return r;
	if (is_initrd)
		report_message(report, REPORT_WARNING, "import: no credentials in %s", GUEST_EXTRA);
	else
		report_message(report, REPORT_WARNING,
			       "import: no credentials in %s, %s and %s: is /sys mounted, and the "
			       "module qemu_fw_cfg loaded if this guest has no SMBIOS table?",
			       SMBIOS_TABLE, FW_CFG, GUEST_EXTRA);
	return 0;
}
