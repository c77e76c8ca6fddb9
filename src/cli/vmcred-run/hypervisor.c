/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by a hypervisor's name, through a link that replaces the hypervisor for a runner script
 * that does not know vmcred: starts the real hypervisor with the credentials of its VM.
 *
 * The VM is the one that $VMCRED_VM names, or the one of the systemd unit that the process runs in,
 * according to the kernel. The declaration is $VMCRED_CONFIG, the entry of the unit's VM or the
 * system's, not ./vmcred.yaml: otherwise the owner of the working directory could choose a program
 * to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/harden.h"
#include "base/program.h"
#include "cli/vmcred-run/commands.h"

/* Set for the real program: a call with this variable is a loop. */
#define CALLED_VARIABLE "VMCRED_CALLED_AS"

/* The path of the real program; wins over the declaration. */
#define HYPERVISOR_VARIABLE "VMCRED_HYPERVISOR"

#define CGROUP_SIZE_MAX ((size_t)64 * 1024)

/* The path in the hierarchy of systemd, or NULL for a line of another one: cgroups(7). */
static const char *systemd_path(const char *line)
{
	const char *named = strstr(line, ":name=systemd:/");

	if (named)
		return strchr(named, '/');
	return strncmp(line, "0::/", 4) == 0 ? line + 3 : NULL;
}

/* The VM of the innermost unit of a cgroup's path, or NULL. */
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

/* The VM that this process starts, or NULL. */
static const char *vm_find(const struct config *config)
{
	const char *wanted = getenv("VMCRED_VM");
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *cgroups = NULL;
	char *rest = NULL;

	if (wanted && *wanted)
		return wanted;
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

/* Reads the declaration, or the entry of the unit's VM, if it exists. */
static int declaration_load(struct config *config, bool *exists, struct error *err)
{
	const char *path = getenv("VMCRED_CONFIG");
	int r;

	*exists = true;
	if (path && *path)
		return launch_declaration_read(path, CONFIG_LENIENT, config, err);
	r = config_load_entry(getenv("CREDENTIALS_DIRECTORY"), config, err);
	if (r != 0)
		return r < 0 ? r : 0;
	*exists = access(VMCRED_CONFIG_PATH, F_OK) == 0;
	return *exists ? launch_declaration_read(VMCRED_CONFIG_PATH, CONFIG_LENIENT, config, err)
		       : 0;
}

enum candidate {
	CANDIDATE_NONE,
	CANDIDATE_VMCRED,
	CANDIDATE_PROGRAM,
};

static enum candidate candidate_check(const char *path)
{
	struct stat self, other;

	if (stat(path, &other) < 0 || !S_ISREG(other.st_mode) || access(path, X_OK) < 0)
		return CANDIDATE_NONE;
	return stat("/proc/self/exe", &self) == 0 && self.st_dev == other.st_dev &&
			       self.st_ino == other.st_ino
		       ? CANDIDATE_VMCRED
		       : CANDIDATE_PROGRAM;
}

/* Programs before vmcred on $PATH are skipped: one may be a script of that name which called us. */
static int candidate_take(const char *path, void *data)
{
	char **found = data;
	enum candidate candidate = candidate_check(path);

	if (candidate == CANDIDATE_PROGRAM && !*found)
		*found = strdup(path);
	if (candidate == CANDIDATE_VMCRED) {
		free(*found);
		*found = NULL;
	}
	return 0;
}

/*
 * The real program: $VMCRED_HYPERVISOR, that of the declaration's `hypervisors`, or the next one of
 * that name on $PATH after vmcred. Never vmcred itself, through any link. The caller frees `*path`.
 */
static int program_of(const struct config *config, const char *name, char **path, struct error *err)
{
	const char *named = getenv(HYPERVISOR_VARIABLE), *source = "$" HYPERVISOR_VARIABLE;
	int r;

	*path = NULL;
	if (!named || !*named) {
		named = config_hypervisor_path(config, name);
		source = "hypervisors";
	}
	if (named) {
		if (candidate_check(named) == CANDIDATE_VMCRED)
			return error_set(err, VMCRED_USAGE, "%s: %s is vmcred itself", source,
					 named);
		if (candidate_check(named) == CANDIDATE_NONE)
			return error_set(err, VMCRED_FAILED, "%s: %s is not executable", source,
					 named);
		*path = strdup(named);
		return *path ? 0 : error_no_memory(err);
	}
	r = program_each(name, candidate_take, path, err);
	if (r < 0 || *path)
		return r;
	error_set(err, VMCRED_FAILED, "no other %s on $PATH after vmcred", name);
	return error_hint(err, "declare hypervisors: {%s: /PATH}", name);
}

int hypervisor_exec(const char *program, char *const *argv, struct error *err)
{
	execvp(program, argv);
	return error_set_errno(err, errno, "executing %s", program);
}

int command_hypervisor(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *name = cli_called_name(argv), *called = getenv(CALLED_VARIABLE), *vm;
	const struct report report = launch_report(&cli->report);
	struct vmm_launch launch = {.name = name,
				    .stop_timeout_ms = VMM_STOP_TIMEOUT_MS,
				    .by_keys = true,
				    .report = &report};
	_cleanup_config_ struct config config = {0};
	_cleanup_free_ char *program = NULL;
	bool is_declared, is_query;
	int r;

	if (argc < 1)
		return error_set(err, VMCRED_USAGE, "called without argv[0]");
	if (called && strcmp(called, name) == 0) {
		error_set(err, VMCRED_USAGE, "the %s that vmcred starts is vmcred again", name);
		return error_hint(err, "declare hypervisors: {%s: /PATH}", name);
	}
	is_query = !vmm_starts_vm(name, argv);
	r = declaration_load(&config, &is_declared, err);
	/* A query does not depend on the declaration. */
	if (r < 0 && is_query) {
		error_clear(err);
		r = 0;
	}
	if (r == 0)
		r = program_of(&config, name, &program, err);
	if (r == 0 && setenv(CALLED_VARIABLE, name, 1) < 0)
		r = error_no_memory(err);
	if (r < 0)
		return r;
	vm = is_query ? NULL : vm_find(&config);
	if (!vm) {
		if (!is_query)
			report_message(&cli->report, REPORT_WARNING,
				       "%s runs without credentials: %s", program,
				       is_declared
					       ? "it is not in the unit of a VM, and $VMCRED_VM "
						 "is not set"
					       : VMCRED_CONFIG_PATH " does not exist");
		return hypervisor_exec(program, argv, err);
	}
	if (!is_declared) {
		error_set(err, VMCRED_USAGE,
			  "$VMCRED_VM is \"%s\", but " VMCRED_CONFIG_PATH " does not exist", vm);
		return error_hint(err, "create it, or set VMCRED_CONFIG");
	}
	launch.program = program;
	r = process_harden(CLI_LOCK_BYTES, &cli->report, err);
	return r < 0 ? r
		     : run_vm(&config, vm, argv, getenv("CREDENTIALS_DIRECTORY"), NULL, &launch,
			      err);
}
