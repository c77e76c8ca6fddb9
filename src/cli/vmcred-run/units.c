/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "base/trusted/trusted.h"
#include "cli/vmcred-run/commands.h"
#include "config/config.h"

#define DROPIN_NAME "50-vmcred.conf"

/* All lines of one: systemd has 1 MiB for a unit's credentials. */
#define DROPIN_SIZE_MAX ((size_t)4 * 1024 * 1024)

int unit_dropin_write(int dirfd, const char *output, const char *unit, const char *text,
		      struct error *err)
{
	_cleanup_free_ char *name = text_format("%s.d", unit);
	_cleanup_close_ int dropins =
		name ? dir_make(dirfd, name, 0755, err) : error_no_memory(err);
	int r;

	if (dropins < 0)
		return dropins;
	r = file_replace(dropins, DROPIN_NAME, span_of_text(text), 0644, err);
	return r < 0 ? error_wrap(err, "writing %s/%s/%s", output, name, DROPIN_NAME) : 0;
}

static bool is_declared(const struct config *config, const char *directory)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		size_t size = strlen(config->vms[i].unit);

		if (strncmp(directory, config->vms[i].unit, size) == 0 &&
		    strcmp(directory + size, ".d") == 0)
			return true;
	}
	return false;
}

/* Removes the drop-in of a VM that this declaration does not have any more. */
static int stale_remove(const struct config *config, int output_dirfd, const char *directory,
			struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *path = path_join(directory, DROPIN_NAME), *text = NULL;
	_cleanup_free_ char *header = text_format(CONFIG_DROPIN_HEADER, config->path);

	if (!path || !header)
		return error_no_memory(err);
	if (fnmatch("*.service.d", directory, 0) != 0 || is_declared(config, directory) ||
	    file_read_text(output_dirfd, path, DROPIN_SIZE_MAX, &text, NULL, &ignored) < 0 ||
	    strncmp(text, header, strlen(header)) != 0)
		return 0;
	if (unlinkat(output_dirfd, path, 0) < 0)
		return error_set_errno(err, errno, "removing %s", path);
	/* Others may have drop-ins there. */
	(void)unlinkat(output_dirfd, directory, AT_REMOVEDIR);
	return 0;
}

static int dropins_clean(const struct config *config, int dirfd, struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(dirfd, ".");
	const char *entry;
	int r = dir ? 0 : error_set_errno(err, errno, "reading the directory");

	while (r == 0 && (entry = dir_stream_next(dir)))
		r = stale_remove(config, dirfd, entry, err);
	return r;
}

static int dropins_write(const struct config *config, const char *socket, const char *output,
			 struct error *err)
{
	_cleanup_close_ int dirfd = trusted_directory_make(output, 0755, err);
	int r = dirfd < 0 ? dirfd : 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		_cleanup_free_ char *text = config_vm_dropin(config, &config->vms[i], socket);

		r = text ? unit_dropin_write(dirfd, output, config->vms[i].unit, text, err)
			 : error_no_memory(err);
	}
	if (r == 0 && dropins_clean(config, dirfd, err) < 0)
		r = error_wrap(err, "%s", output);
	return r;
}

static int dropins_print(const struct config *config, const char *socket, struct error *err)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		_cleanup_free_ char *text = config_vm_dropin(config, &config->vms[i], socket);

		if (!text)
			return error_no_memory(err);
		printf("# %s.d/" DROPIN_NAME "\n%s", config->vms[i].unit, text);
	}
	return 0;
}

/* It is copied into a unit file. */
static int socket_path_check(const char *path, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789/._-";

	if (path[0] == '/' && path[strspn(path, letters)] == '\0')
		return 0;
	error_set(err, VMCRED_USAGE,
		  "--socket \"%s\" must be an absolute path of letters, digits and /._-", path);
	return error_hint(err, "vmcred.socket listens on /run/vmcred/socket");
}

static int socket_check(const struct config *config, const char *path, struct error *err)
{
	int r = socket_path_check(path, err);

	for (size_t i = 0; r == 0 && i < config->vm_count; i++)
		r = config_vm_socket_check(&config->vms[i], err);
	return r;
}

int command_units(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *machine = NULL, *output = NULL, *socket = NULL;
	const struct cli_option rows[] = {
		{"machine", "MACHINE", CLI_MACHINE_HELP, &machine},
		{"output", "DIRECTORY", "write there, such as /run/systemd/system (default: print)",
		 &output},
		{"socket", "PATH",
		 "load all credentials from the socket of `vmcred serve`, such as "
		 "/run/vmcred/socket (default: by each VM's credentialSource)",
		 &socket},
		{0},
	};
	const struct cli_usage usage = {
		.command = "units",
		.arguments = "",
		.about = "Write the drop-ins of the units microvm@VM.service: a LoadCredential= "
			 "line for each entry of the VM's loadCredentials. systemd does that at "
			 "boot if the program is linked as vmcred-generator in its directory of "
			 "generators.",
		.options = rows,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_free_ char *path = NULL;
	int first, r;

	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = config_find(cli->config, &path, NULL, err);
	if (r == 0)
		r = config_load_file_as(path, CONFIG_ENTRIES, &config, err);
	if (r == 0)
		r = config_vms_choose(&config, machine, err);
	if (r < 0)
		return r;
	if (socket)
		r = socket_check(&config, socket, err);
	if (r < 0)
		return r;
	return output ? dropins_write(&config, socket, output, err)
		      : dropins_print(&config, socket, err);
}
