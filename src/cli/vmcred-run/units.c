/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "cli/vmcred-run/commands.h"
#include "config/config.h"

#define DROPIN_NAME "50-vmcred.conf"

static int dropin_write(const struct config *config, const struct config_vm *vm, const char *socket,
			int output_dirfd, const char *output, struct error *err)
{
	_cleanup_free_ char *folder = NULL, *text = config_vm_dropin(config, vm, socket);
	_cleanup_close_ int dirfd = -1;
	int r;

	if (!text || asprintf(&folder, "%s.d", vm->unit) < 0) {
		folder = NULL;
		return error_no_memory(err);
	}
	dirfd = dir_make(output_dirfd, folder, 0755, err);
	if (dirfd < 0)
		return dirfd;
	r = file_replace(dirfd, DROPIN_NAME, span_of_text(text), 0644, err);
	return r < 0 ? error_wrap(err, "writing %s/%s/%s", output, folder, DROPIN_NAME) : 0;
}

static int dropins_write(const struct config *config, const char *socket, const char *output,
			 struct error *err)
{
	_cleanup_close_ int dirfd = dir_make(AT_FDCWD, output, 0755, err);
	int r = dirfd < 0 ? dirfd : 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++)
		r = dropin_write(config, &config->vms[i], socket, dirfd, output, err);
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

/*
 * Called by systemd as a generator, with the folders for normal, early and late units; see
 * systemd.generator(7). A machine without a declaration has nothing to generate.
 */
static int generator_run(int argc, char **argv, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	int r;

	if (argc != 4)
		return error_set(err, VMCRED_USAGE,
				 "a systemd generator is called with three folders");
	if (access(VMCRED_CONFIG_PATH, F_OK) < 0)
		return 0;
	r = config_load_file(VMCRED_CONFIG_PATH, &config, err);
	return r < 0 ? r : dropins_write(&config, NULL, argv[1], err);
}

/* Nobody reads a generator's standard error: systemd.generator(7). */
static void generator_failed(const struct error *err)
{
	_cleanup_free_ char *line = error_line(err);
	_cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0 && line)
		(void)dprintf(fd, "<3>vmcred-generator[%d]: %s\n", (int)getpid(), line);
}

static int command_generator(int argc, char **argv, struct error *err)
{
	int r = generator_run(argc, argv, err);

	if (r < 0)
		generator_failed(err);
	return r;
}

/* It goes into a unit file as it is. */
static int socket_path_check(const char *path, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789/._-";

	if (path[0] == '/' && path[strspn(path, letters)] == '\0')
		return 0;
	error_set(err, VMCRED_USAGE,
		  "--socket \"%s\" is no absolute path of letters, digits and /._-", path);
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
	const char *output = NULL, *socket = NULL;
	const struct cli_option rows[] = {
		{"output", "DIR", "write there, such as /run/systemd/system (default: print)",
		 &output},
		{"socket", "PATH",
		 "let `vmcred serve` give all credentials, at PATH such as /run/vmcred/socket\n"
		 "                         (default: as each VM's credentialSource says)",
		 &socket},
		{0},
	};
	const struct cli_usage usage = {
		.command = "units",
		.arguments = "",
		.about = "Write the drop-ins of the units microvm@VM.service: a LoadCredential= "
			 "line for each entry\n"
			 "of the VM's loadCredentials. systemd does it by itself at boot where the "
			 "program is\n"
			 "linked as vmcred-generator in its folder of generators.",
		.options = rows,
	};
	_cleanup_config_ struct config config = {0};
	int first, r;

	if (strcmp(argv[0], "units") != 0)
		return command_generator(argc, argv, err);
	r = cli_parse(cli, &usage, argc, argv, &first, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = cli_start(cli, &config, NULL, err);
	if (r < 0)
		return r;
	if (socket)
		r = socket_check(&config, socket, err);
	if (r < 0)
		return r;
	return output ? dropins_write(&config, socket, output, err)
		      : dropins_print(&config, socket, err);
}
