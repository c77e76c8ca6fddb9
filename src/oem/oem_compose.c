/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "base/path.h"
#include "oem/oem.h"

/* The file is not there: says what would bring it. */
static int missing_report(const struct config_vm *vm, const struct config_credential_file *entry,
			  const char *folder, const struct report *report, struct error *err)
{
	_cleanup_free_ char *path = path_join(folder, entry->credential);
	_cleanup_free_ char *line = config_vm_load_line(vm, entry->credential);

	if (!path)
		return error_no_memory(err);
	if (entry->optional) {
		error_clear(err);
		report_message(report, REPORT_WARNING,
			       "the optional credential %s is left out: there is no %s",
			       entry->oem_name, path);
		return 0;
	}
	error_set(err, VMCRED_MISSING, "the credential %s is missing: there is no %s",
		  entry->oem_name, path);
	if (!line)
		return error_hint(err, "add %s to vms.%s.loadCredentials", entry->credential,
				  vm->name);
	return error_hint(err, "`vmcred units` gives %s the line %s", vm->unit, line);
}

/* A unit cannot load what is not there, and has this in its place: what its drop-in says, or an
 * empty answer of the socket. */
static bool is_absent(struct span value)
{
	return value.size == 0 || span_equal(value, span_of(CONFIG_ABSENT, CONFIG_ABSENT_SIZE));
}

/* `value` is room to read into. */
static int credential_add(struct oem_list *list, const struct config_vm *vm,
			  const struct config_credential_file *entry, int dirfd, const char *folder,
			  struct secret *value, const struct report *report, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r = credential_name_check(entry->credential, err);

	/* The name becomes a path: nothing but a file of the folder itself. */
	if (r < 0)
		return r;
	secret_clear(value);
	/* Where a link leads to is up to whoever made the folder: systemd, or root. */
	fd = openat(dirfd, entry->credential, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return missing_report(vm, entry, folder, report, err);
	r = fd < 0 ? error_set_errno(err, errno, "opening %s", entry->credential)
		   : secret_read(value, fd, oem_limit_max(OEM_LIMIT_CREDENTIAL), entry->credential,
				 err);
	if (r < 0)
		return error_wrap(err, "the credential %s", entry->oem_name);
	if (entry->optional && is_absent(secret_span(value))) {
		report_message(report, REPORT_WARNING,
			       "the optional credential %s is left out: there was nothing to load "
			       "for %s/%s",
			       entry->oem_name, folder, entry->credential);
		return 0;
	}
	report_message(report, REPORT_DEBUG, "%s: %zu bytes from %s/%s", entry->oem_name,
		       value->size, folder, entry->credential);
	return oem_list_add_credential(list, entry->oem_name, secret_span(value), err);
}

/* Without a folder only optional credentials may be declared. */
static int all_left_out(const struct config_vm *vm, const struct report *report, struct error *err)
{
	for (size_t i = 0; i < vm->credential_file_count; i++) {
		if (!vm->credential_files[i].optional) {
			error_set(err, VMCRED_USAGE,
				  "there is no folder of credentials: $CREDENTIALS_DIRECTORY is "
				  "not set");
			return error_hint(err, "start it from a unit with LoadCredential=, or give "
					       "--credentials DIR");
		}
		report_message(report, REPORT_WARNING,
			       "the optional credential %s is left out: $CREDENTIALS_DIRECTORY is "
			       "not set",
			       vm->credential_files[i].oem_name);
	}
	return 0;
}

static int credentials_add(struct oem_list *list, const struct config_vm *vm, const char *folder,
			   const struct report *report, struct error *err)
{
	/* One for all of them: locked pages are what a launch spends most of its own time on. */
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int dirfd = -1;

	if (vm->credential_file_count == 0)
		return 0;
	if (!folder)
		return all_left_out(vm, report, err);
	dirfd = dir_open(AT_FDCWD, folder, err);
	if (dirfd < 0)
		return dirfd;
	for (size_t i = 0; i < vm->credential_file_count; i++) {
		int r = credential_add(list, vm, &vm->credential_files[i], dirfd, folder, &value,
				       report, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int oem_list_compose(struct oem_list *list, const struct config_vm *vm, const char *credentials,
		     const struct report *report, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < vm->oem_string_count && r == 0; i++)
		r = oem_list_add_literal(list, OEM_STATIC, span_of_text(vm->oem_strings[i]), report,
					 err);
	if (r == 0)
		r = credentials_add(list, vm, credentials, report, err);
	if (r < 0)
		return error_wrap(err, "composing the OEM strings of %s", vm->name);
	report_message(report, REPORT_INFO, "%s: %zu OEM strings, %zu of %zu bytes of the table",
		       vm->name, list->count, oem_list_table_size(list),
		       oem_limit_max(OEM_LIMIT_TABLE));
	return 0;
}
