/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd-vmspawn reads credentials from files that its arguments name, here descriptors, and
 * passes them to QEMU: since version 258 in files of mode 0600 below $TMPDIR, before that on QEMU's
 * command line (systemd's src/vmspawn/vmspawn.c). So older versions are refused, and $TMPDIR is set
 * to a directory in memory.
 *
 * It is its own supervisor: it notifies the service manager, and shuts the guest down on SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/program.h"
#include "base/trusted/trusted.h"
#include "vmm/driver.h"

/* The options with OEM strings or credentials. */
static const struct {
	const char *name;
	char letter;
	bool is_literal; /* an OEM string, else ID:SOMETHING */
} options[] = {
	{"--smbios11", 's', true},
	{"--set-credential", '\0', false},
	{"--load-credential", '\0', false},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* Letters of options without a value, which may precede another one: -qs STRING. */
#define SWITCHES "nqx"

/* A shorter name is not unique: "--se" of --set-credential and --secure-boot. */
#define ABBREVIATION_SIZE_MIN (sizeof("--sm") - 1)

/* The value of option `i` if the argument is that option, as getopt_long(3) reads it; moves `*argv`
 * to a separate value. */
static const char *option_value(size_t i, char *const **argv)
{
	const char *argument = **argv, *value = NULL;
	size_t length = strcspn(argument, "=");

	if (length >= ABBREVIATION_SIZE_MIN && strncmp(argument, options[i].name, length) == 0) {
		value = argument + length + (argument[length] == '=');
	} else if (argument[0] == '-' && argument[1] != '-' && options[i].letter) {
		const char *letter = argument + 1 + strspn(argument + 1, SWITCHES);

		value = *letter == options[i].letter ? letter + 1 : NULL;
		length = value ? strlen(argument) - strlen(value) : 0;
	}
	if (!value || argument[length])
		return value;
	return (*argv)[1] ? *++*argv : NULL;
}

static int vmspawn_prepare(struct vmm_launch *launch, struct error *err)
{
	struct oem_list *list = &launch->list;
	int r = 0;

	launch->vsock.is_vhost = true;
	for (char *const *argv = launch->argv + 1; r == 0 && *argv && strcmp(*argv, "--") != 0;
	     argv++) {
		const char *value = NULL;
		size_t i = 0;

		while (i < OPTION_COUNT && !(value = option_value(i, &argv)))
			i++;
		if (!value)
			continue;
		if (options[i].is_literal)
			r = oem_list_add_literal(list, OEM_ARGUMENTS, span_of_text(value),
						 launch->report, err);
		else
			r = strings_take(&list->elsewhere, strndup(value, strcspn(value, ":")),
					 err);
	}
	return r;
}

static bool has_credentials(const struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].origin != OEM_ARGUMENTS && list->strings[i].name)
			return true;
	}
	return false;
}

static int version_check(const struct vmm_launch *launch, struct error *err)
{
	int version = program_version(launch->program, "systemd ");

	if (version >= VMM_VMSPAWN_VERSION_MIN)
		return 0;
	if (version == 0)
		error_set(err, VMCRED_FAILED,
			  "unknown version; versions before %d put credentials on QEMU's command "
			  "line",
			  VMM_VMSPAWN_VERSION_MIN);
	else
		error_set(err, VMCRED_FAILED,
			  "version %d puts credentials on QEMU's command line; %d and later use "
			  "files",
			  version, VMM_VMSPAWN_VERSION_MIN);
	return error_hint(err, "upgrade it, start QEMU directly, or accept that with %s",
			  vmm_option(launch, "--expose=argv", "expose: argv"));
}

/* Passes all credentials on as Base64, so the table is larger than that of the list. */
static size_t table_size(const struct oem_list *list)
{
	static const char prefix[] = "io.systemd.credential.binary:=";
	size_t size = oem_list_table_size(list);

	for (size_t i = 0; i < list->count; i++) {
		const struct oem_string *string = &list->strings[i];

		if (string->origin == OEM_ARGUMENTS || !string->name)
			continue;
		size -= string->text.size;
		size += strlen(prefix) + strlen(string->name) +
			base64_encoded_size(string->value_size, BASE64_PADDED);
	}
	return size;
}

static int vmspawn_check(struct vmm_launch *launch, struct error *err)
{
	int r = launch->transport == VMM_TRANSPORT_INITRD
			? error_set(err, VMCRED_USAGE, "--transport=initrd is not supported")
			: oem_limit_check(OEM_LIMIT_TABLE, table_size(&launch->list), err);

	if (r < 0 || !has_credentials(&launch->list) || (launch->expose & VMM_EXPOSE_ARGV))
		return r;
	return version_check(launch, err);
}

/* The files are named in it: others must not be able to replace them. */
static bool is_memory_directory(const char *path)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int fd = trusted_directory_open(path, &ignored);

	return fd >= 0 && fd_is_on_memory(fd) && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0;
}

/* The directory for its files must not be on a disk. */
static int temporary_directory_set(struct error *err)
{
	const char *candidates[] = {getenv("TMPDIR"), getenv("RUNTIME_DIRECTORY"),
				    getenv("XDG_RUNTIME_DIR"), "/run", "/dev/shm"};

	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		_cleanup_free_ char *path = NULL;

		if (!candidates[i] || candidates[i][0] != '/')
			continue;
		/* $RUNTIME_DIRECTORY is a list separated by ':', systemd.exec(5). */
		path = strndup(candidates[i], strcspn(candidates[i], ":"));
		if (!path)
			return error_no_memory(err);
		if (is_memory_directory(path))
			return setenv("TMPDIR", path, 1) < 0 ? error_no_memory(err) : 0;
	}
	error_set(err, VMCRED_FAILED,
		  "no directory on a memory file system for QEMU's credential files");
	return error_hint(err, "set TMPDIR to one");
}

/* The descriptor stays open until exec; an error ends the process. */
static int credential_add(struct strings *arguments, const struct oem_string *string,
			  struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	int fd, r = oem_string_value(string, &value, err);

	if (r < 0)
		return r;
	fd = vmm_secret_fd(secret_span(&value), false, err);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFD, 0) < 0)
		return error_set_errno(err, errno, "passing a descriptor on");
	return strings_add_format(arguments, err, "--load-credential=%s:/dev/fd/%d", string->name,
				  fd);
}

static int vmspawn_start(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	_cleanup_strings_ struct strings arguments = {0};
	int r = strings_add(&arguments, launch->argv[0], err);

	(void)notify;
	if (r == 0 && has_credentials(&launch->list))
		r = temporary_directory_set(err);
	/* Its options end at the first other argument, so ours come first. */
	for (size_t i = 0; i < launch->list.count && r == 0; i++) {
		const struct oem_string *string = &launch->list.strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (string->name)
			r = credential_add(&arguments, string, err);
		else
			/* A declared string that is not a credential is public. */
			r = strings_add_format(&arguments, err, "--smbios11=%.*s",
					       (int)string->text.size,
					       (const char *)string->text.data);
	}
	if (r == 0)
		r = strings_add_all(&arguments, launch->argv + 1, err);
	return r < 0 ? r : vmm_exec(launch, arguments.items, err);
}

const struct vmm_ops vmm_vmspawn = {
	.name = "systemd-vmspawn",
	.programs = (const char *const[]){"systemd-vmspawn", NULL},
	.is_supervisor = true,
	.prepare = vmspawn_prepare,
	.check = vmspawn_check,
	.start = vmspawn_start,
};
