/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "vmm/command.h"
#include "vmm/drivers.h"
#include "vmm/handover.h"

/*
 * systemd-vmspawn reads credentials from files that its arguments name, here descriptors, and hands
 * them to QEMU: since version 258 in files of mode 0600 below $TMPDIR, before that on QEMU's
 * command line (systemd's src/vmspawn/vmspawn.c). So an older one is refused, and $TMPDIR is set to
 * a folder that is in memory.
 *
 * It is its own supervisor: it answers the service manager and shuts the guest down when it is
 * asked to end.
 */

#define VERSION_WITH_FILES 258

/* The options that hold OEM strings, or hand credentials over by themselves. */
static const struct {
	const char *name, *letter;
	bool is_literal; /* else it is ID:SOMETHING */
} options[] = {
	{"--smbios11", "-s", true},
	{"--set-credential", NULL, false},
	{"--load-credential", NULL, false},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* The value of option `i` if the word is that; `*words` moves on where the value is the next one.
 */
static const char *option_value(size_t i, char *const **words)
{
	const char *word = **words;
	size_t length = strlen(options[i].name);

	if (strncmp(word, options[i].name, length) == 0 && word[length] == '=')
		return word + length + 1;
	if (options[i].letter && strncmp(word, options[i].letter, 2) == 0 && word[2])
		return word + 2;
	if (strcmp(word, options[i].name) != 0 &&
	    (!options[i].letter || strcmp(word, options[i].letter) != 0))
		return NULL;
	if (!(*words)[1])
		return NULL;
	(*words)++;
	return **words;
}

static int option_note(size_t i, const char *value, struct oem_list *list,
		       const struct report *report, struct error *err)
{
	_cleanup_free_ char *name = NULL;

	if (options[i].is_literal)
		return oem_list_add_literal(list, OEM_ARGUMENTS, span_of_text(value), report, err);
	name = strndup(value, strcspn(value, ":"));
	return name ? oem_list_add_elsewhere(list, name, err) : error_no_memory(err);
}

static int vmspawn_arguments_read(char *const *argv, struct oem_list *list,
				  const struct report *report, struct error *err)
{
	int r = 0;

	for (char *const *words = argv + 1; r == 0 && *words && strcmp(*words, "--") != 0;
	     words++) {
		for (size_t i = 0; i < OPTION_COUNT && r == 0; i++) {
			const char *value = option_value(i, &words);

			if (!value)
				continue;
			r = option_note(i, value, list, report, err);
			break;
		}
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

/* Its answer to --version, "systemd 258 (258.1-1)"; 0 where it is nothing of the kind. */
static int vmspawn_version(const char *program)
{
	static const char prefix[] = "systemd ";
	char *const argv[] = {(char[]){"systemd-vmspawn"}, (char[]){"--version"}, NULL};
	_cleanup_close_ int from = -1;
	posix_spawn_file_actions_t actions;
	char text[128] = "";
	int ends[2], failed;
	ssize_t got;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 0;
	from = ends[0];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	failed = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (failed)
		return 0;
	/* The first line comes in one piece. */
	do {
		got = read(from, text, sizeof(text) - 1);
	} while (got < 0 && errno == EINTR);
	cleanup_close_fd(&from);
	from = -1;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (strncmp(text, prefix, strlen(prefix)) != 0)
		return 0;
	return (int)strtol(text + strlen(prefix), NULL, 10);
}

static int version_check(const struct vmm_launch *launch, struct error *err)
{
	int version;

	if (!has_credentials(launch->list) || (launch->expose & VMM_EXPOSE_ARGV))
		return 0;
	version = vmspawn_version(launch->program);
	if (version >= VERSION_WITH_FILES)
		return 0;
	if (version == 0)
		error_set(err, VMCRED_FAILED,
			  "its version is not known, and before %d it puts credentials onto QEMU's "
			  "command line",
			  VERSION_WITH_FILES);
	else
		error_set(
			err, VMCRED_FAILED,
			"version %d puts credentials onto QEMU's command line; %d is the first one "
			"that uses files",
			version, VERSION_WITH_FILES);
	return error_hint(err, "take a newer one, start QEMU itself, or accept it with "
			       "--expose=argv");
}

/* It hands all credentials on as Base64, whatever they are: the table is larger than the list says.
 */
static int table_check(const struct oem_list *list, struct error *err)
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
	return oem_limit_check(OEM_LIMIT_TABLE, size, err);
}

static int vmspawn_check(const struct vmm_launch *launch, size_t *body, struct error *err)
{
	int r = table_check(launch->list, err);

	*body = 0;
	return r < 0 ? r : version_check(launch, err);
}

static int vmspawn_vsock_find(const struct vmm_launch *launch, struct vmm_vsock *vsock,
			      struct error *err)
{
	(void)launch;
	(void)vsock;
	(void)err;
	return 0;
}

static bool is_memory_folder(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && fd_is_on_memory(fd) && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0;
}

/* Where it makes the private folder for its files: not on a disk. */
static int temporary_folder_set(struct error *err)
{
	const char *places[] = {getenv("TMPDIR"), getenv("RUNTIME_DIRECTORY"),
				getenv("XDG_RUNTIME_DIR"), "/run", "/dev/shm"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		_cleanup_free_ char *path = NULL;

		if (!places[i] || places[i][0] != '/')
			continue;
		/* $RUNTIME_DIRECTORY is a list with ':' between its folders, systemd.exec(5). */
		path = strndup(places[i], strcspn(places[i], ":"));
		if (!path)
			return error_no_memory(err);
		if (is_memory_folder(path))
			return setenv("TMPDIR", path, 1) < 0 ? error_no_memory(err) : 0;
	}
	error_set(err, VMCRED_FAILED,
		  "no folder is on a memory file system, and it writes "
		  "credentials to files for QEMU");
	return error_hint(err, "set TMPDIR to one that is");
}

/* The descriptor stays open until exec; an error on the way ends the process. */
static int credential_add(struct command *command, const struct oem_string *string,
			  struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	int fd, r = oem_string_value(string, &value, err);

	if (r < 0)
		return r;
	fd = handover_create(secret_span(&value), err);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFD, 0) < 0)
		return error_set_errno(err, errno, "handing a descriptor over");
	return command_add_format(command, err, "--load-credential=%s:/dev/fd/%d", string->name,
				  fd);
}

/* Its options end at the first word that is none: ours go in front. */
static int strings_add(struct command *command, const struct oem_list *list, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < list->count && r == 0; i++) {
		const struct oem_string *string = &list->strings[i];

		if (string->origin == OEM_ARGUMENTS)
			continue;
		if (string->name)
			r = credential_add(command, string, err);
		else
			/* Of the declaration, and no credential: it is public. */
			r = command_add_format(command, err, "--smbios11=%.*s",
					       (int)string->text.size,
					       (const char *)string->text.data);
	}
	return r;
}

static int vmspawn_launch(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	_cleanup_command_ struct command command = {0};
	int r = command_add(&command, launch->argv[0], err);

	(void)notify;
	if (r == 0 && has_credentials(launch->list))
		r = temporary_folder_set(err);
	if (r == 0)
		r = strings_add(&command, launch->list, err);
	if (r == 0)
		r = command_add_all(&command, launch->argv + 1, err);
	if (r < 0)
		return r;
	report_message(launch->report, REPORT_INFO, "executing %s with %zu arguments",
		       launch->program, command.count - 1);
	oem_list_destroy(launch->list);
	execvp(launch->program, command.words);
	return command_exec_error(launch->program, errno, err);
}

const struct vmm_ops vmm_vmspawn = {
	.name = "systemd-vmspawn",
	.programs = (const char *const[]){"systemd-vmspawn", NULL},
	.is_supervisor = true,
	.arguments_read = vmspawn_arguments_read,
	.check = vmspawn_check,
	.vsock_find = vmspawn_vsock_find,
	.launch = vmspawn_launch,
};
