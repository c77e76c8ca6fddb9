/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "oem/oem.h"

static int missing_report(const struct config_vm *vm, const struct config_credential_file *entry,
			  const char *directory, const struct report *report, struct error *err)
{
	_cleanup_free_ char *line = config_vm_load_line(vm, entry->credential);

	if (entry->optional) {
		report_message(report, REPORT_WARNING,
			       "optional credential %s is skipped: %s/%s does not exist",
			       entry->oem_name, directory, entry->credential);
		return 0;
	}
	error_set(err, VMCRED_MISSING, "credential %s is missing: %s/%s does not exist",
		  entry->oem_name, directory, entry->credential);
	return line ? error_hint(err, "`vmcred units` adds %s to %s", line, vm->unit)
		    : error_hint(err, "add %s to vms.%s.loadCredentials", entry->credential,
				 vm->name);
}

/* For a missing optional file, the unit loads the placeholder of its drop-in, or the socket's empty
 * answer. */
static bool is_absent(struct span value)
{
	return value.size == 0 || span_equal(value, span_of(CONFIG_ABSENT, CONFIG_ABSENT_SIZE));
}

/* `value` is reused for all credentials. */
static int credential_add(struct oem_list *list, const struct config_vm *vm,
			  const struct config_credential_file *entry, int dirfd,
			  const char *directory, struct secret *value, const struct report *report,
			  struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r = credential_name_check(entry->credential, err);

	if (r < 0)
		return r;
	secret_clear(value);
	/* A valid name is a file in the directory itself. systemd or root made the directory, so
	 * its links may point anywhere. */
	fd = openat(dirfd, entry->credential, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return missing_report(vm, entry, directory, report, err);
	r = fd < 0 ? error_set_errno(err, errno, "opening %s", entry->credential)
		   : secret_read(value, fd, oem_limit_max(OEM_LIMIT_CREDENTIAL), entry->credential,
				 err);
	if (r < 0)
		return error_wrap(err, "credential %s", entry->oem_name);
	if (entry->optional && is_absent(secret_span(value))) {
		report_message(report, REPORT_WARNING,
			       "optional credential %s is skipped: %s/%s is empty", entry->oem_name,
			       directory, entry->credential);
		return 0;
	}
	report_message(report, REPORT_DEBUG, "%s: %zu bytes from %s/%s", entry->oem_name,
		       value->size, directory, entry->credential);
	return oem_list_add_credential(list, entry->oem_name, secret_span(value), err);
}

/* Without a directory, only optional credentials may be declared. */
static int all_skip(const struct config_vm *vm, const struct report *report, struct error *err)
{
	for (size_t i = 0; i < vm->credential_file_count; i++) {
		if (!vm->credential_files[i].optional) {
			error_set(err, VMCRED_USAGE, "$CREDENTIALS_DIRECTORY is not set");
			return error_hint(err,
					  "`systemctl daemon-reload` gives the VM's unit its "
					  "LoadCredential= lines; elsewhere, use --credentials "
					  "DIRECTORY");
		}
		report_message(report, REPORT_WARNING,
			       "optional credential %s is skipped: $CREDENTIALS_DIRECTORY is not "
			       "set",
			       vm->credential_files[i].oem_name);
	}
	return 0;
}

static int credentials_add(struct oem_list *list, const struct config_vm *vm, const char *directory,
			   const struct report *report, struct error *err)
{
	/* One buffer for all: most of a launch's own time goes into locking pages. */
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int dirfd = -1;
	int r = 0;

	if (vm->credential_file_count == 0)
		return 0;
	if (!directory)
		return all_skip(vm, report, err);
	dirfd = dir_open(AT_FDCWD, directory, err);
	if (dirfd < 0)
		return dirfd;
	for (size_t i = 0; i < vm->credential_file_count && r == 0; i++)
		r = credential_add(list, vm, &vm->credential_files[i], dirfd, directory, &value,
				   report, err);
	return r;
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
