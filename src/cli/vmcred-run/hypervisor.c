/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by a hypervisor's name: the real one runs, with the credentials of the VM that it is
 * called for. A runner script that knows nothing of vmcred is served by a link in the hypervisor's
 * place.
 *
 * The VM is the one that $VMCRED_VM names, or that of the systemd unit in which all this happens,
 * which the kernel tells. The declaration is the system's or $VMCRED_CONFIG: one of the working
 * directory, as for a command that somebody types, would let whoever owns that folder choose a
 * program to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/vmcred-run/commands.h"
#include "cli/vmcred-run/hypervisor_find.h"
#include "cli/vmcred-run/run.h"

/* Set for the real program: whoever comes back with it goes round in circles. */
#define CALLED_VARIABLE "VMCRED_CALLED_AS"

#define CGROUP_SIZE_MAX ((size_t)64 * 1024)

static bool is_one_of(const char *word, const char *const *list)
{
	while (*list && strcmp(word, *list) != 0)
		list++;
	return *list;
}

/* "help" or "?", alone or behind a comma: `-device e1000,help`. */
static bool asks_for_help(const char *value)
{
	const char *comma = strrchr(value, ',');

	value = comma ? comma + 1 : value;
	return strcmp(value, "help") == 0 || strcmp(value, "?") == 0;
}

/* Whether the arguments only ask the program something, and start no VM. */
static bool is_question(char *const *argv)
{
	/* Cloud Hypervisor's and QEMU's. */
	static const char *const questions[] = {"--version", "-version", "-V", "--help",
						"-help",     "-h",       NULL};
	/* QEMU's options that take "help". */
	static const char *const topics[] = {"accel",  "audiodev", "chardev", "cpu",     "d",
					     "device", "display",  "M",       "machine", "net",
					     "netdev", "nic",      "object",  "trace",   NULL};

	for (char *const *word = argv + 1; *word; word++) {
		const char *option = word[0] + strspn(word[0], "-");

		if (is_one_of(word[0], questions))
			return true;
		if (option > word[0] && word[1] && is_one_of(option, topics) &&
		    asks_for_help(word[1]))
			return true;
	}
	return false;
}

/* The path in the hierarchy that systemd manages: cgroups(7), "/proc/PID/cgroup". NULL: another
 * one's line. */
static const char *systemd_path(const char *line)
{
	const char *named = strstr(line, ":name=systemd:/");

	if (named)
		return strchr(named, '/');
	return strncmp(line, "0::/", 4) == 0 ? line + 3 : NULL;
}

/* The VM of the unit that a cgroup is in, or NULL: the innermost one, the unit may have a tree. */
static const struct config_vm *cgroup_vm(const struct config *config, const char *path)
{
	const struct config_vm *vm = NULL;

	while (*path) {
		size_t length = strcspn(path, "/");
		_cleanup_free_ char *part = strndup(path, length);
		const struct config_vm *found = part ? config_vm_of_unit(config, part) : NULL;

		vm = found ? found : vm;
		path += length + strspn(path + length, "/");
	}
	return vm;
}

/* The VM that this process is called for, or NULL. */
static const char *vm_find(const struct config *config)
{
	const char *wanted = getenv("VMCRED_VM");
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *cgroups = NULL;
	char *rest = NULL;

	if (wanted && *wanted)
		return wanted;
	/* Without /proc nobody can tell. */
	if (file_read_text(AT_FDCWD, "/proc/self/cgroup", CGROUP_SIZE_MAX, &cgroups, NULL,
			   &ignored) < 0)
		return NULL;
	for (char *line = strtok_r(cgroups, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		const char *path = systemd_path(line);
		const struct config_vm *vm = path ? cgroup_vm(config, path) : NULL;

		if (vm)
			return vm->name;
	}
	return NULL;
}

/* Reads the declaration, if there is one. */
static int declaration_load(struct config *config, bool *is_there, struct error *err)
{
	const char *path = getenv("VMCRED_CONFIG");

	*is_there = true;
	if (!path || !*path) {
		path = VMCRED_CONFIG_PATH;
		*is_there = access(path, F_OK) == 0;
	}
	return *is_there ? config_load_file(path, config, err) : 0;
}

static int plain_exec(const char *program, char **argv, struct error *err)
{
	execv(program, argv);
	return error_set_errno(err, errno, "executing %s", program);
}

static int hypervisor_start(struct cli *cli, struct config *config, bool is_declared,
			    const char *name, char **argv, struct error *err)
{
	_cleanup_free_ char *program = NULL;
	struct run_target target = {.argv = argv, .credentials = getenv("CREDENTIALS_DIRECTORY")};
	int r = hypervisor_find(config, name, &program, err);

	if (r == 0 && setenv(CALLED_VARIABLE, name, 1) < 0)
		r = error_no_memory(err);
	if (r < 0)
		return r;
	if (is_question(argv))
		return plain_exec(program, argv, err);
	target.program = program;
	target.hypervisor = name;
	target.vm = vm_find(config);
	if (target.vm)
		return run_target_start(cli, config, &target, err);
	report_message(&cli->report, REPORT_WARNING, "%s runs without credentials: %s", program,
		       is_declared ? "it is in no VM's unit, and $VMCRED_VM is not set"
				   : "there is no declaration " VMCRED_CONFIG_PATH);
	return plain_exec(program, argv, err);
}

int command_hypervisor(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *name = cli_called_name(argv), *called = getenv(CALLED_VARIABLE);
	_cleanup_config_ struct config config = {0};
	bool is_declared;
	int r;

	if (argc < 1)
		return error_set(err, VMCRED_USAGE, "called with no argument, not even a name");
	if (called && strcmp(called, name) == 0) {
		error_set(err, VMCRED_USAGE, "what vmcred starts as %s is vmcred again", name);
		return error_hint(err,
				  "name the real one in the declaration: hypervisors: {%s: /PATH}",
				  name);
	}
	r = declaration_load(&config, &is_declared, err);
	/* A question does not depend on what is declared. */
	if (r < 0 && is_question(argv)) {
		error_clear(err);
		r = 0;
	}
	return r < 0 ? r : hypervisor_start(cli, &config, is_declared, name, argv, err);
}
