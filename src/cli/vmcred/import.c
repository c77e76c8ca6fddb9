/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activate/activate.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/pool.h"
#include "base/trusted/memory_directory.h"
#include "base/trusted/trusted.h"
#include "bundle/bundle.h"
#include "cli/vmcred/commands.h"
#include "inspect/inspect.h"

/* Of signed bundles only. */
#define ALLOWED_SIGNERS "/etc/vmcred/allowed_signers"

/* For the record of the last signed bundle; the machine's identity is there, too. */
#define STATE_DIRECTORY "/var/lib/vmcred"

struct call {
	struct activate_options options;
	const char *identity;
	bool dry;
	struct bundle_manifest manifest;
};

/* Below --root, or the system's. */
static char *path_below(const struct call *call, const char *path)
{
	return call->options.root ? path_join(call->options.root, path + 1) : strdup(path);
}

static int input_open(const char *file, struct error *err)
{
	if (file)
		return file_open(AT_FDCWD, file, err);
	if (!isatty(STDIN_FILENO))
		return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	error_set(err, VMCRED_USAGE, "standard input is a terminal");
	return error_hint(err, "name a file, or pipe `vmcred export MACHINE` to `vmcred import`");
}

static int input_read(const char *file, struct bundle_bytes *bytes, struct error *err)
{
	const char *what = file ? file : "standard input";
	_cleanup_close_ int fd = input_open(file, err);
	int r;

	if (fd < 0)
		return err->code ? fd : error_set_errno(err, errno, "reading %s", what);
	r = fd_read_bytes(fd, BUNDLE_SIZE_MAX, what, &bytes->data, &bytes->size, err);
	if (r < 0 || bytes->size > 0)
		return r;
	error_set(err, VMCRED_FAILED, "%s is empty", what);
	return error_hint(err, "`vmcred export` may have failed");
}

struct checking {
	int dirfd;
	struct sops_keyring keyring;
};

static int secret_check(const struct vars_location *location, void *data, struct error *err)
{
	const struct checking *checking = data;
	_cleanup_secret_ struct secret value = {0};

	return location->file->deploy
		       ? vars_store_read(checking->dirfd, location, &checking->keyring, &value, err)
		       : 0;
}

/* Everything must be readable here, and have the name under which it arrived. */
static int secrets_check(const struct config *config, int dirfd,
			 const struct age_identities *identities, struct error *err)
{
	struct checking checking = {.dirfd = dirfd, .keyring = {.identities = identities}};
	int r = vars_each(config, NULL, secret_check, &checking, err);

	if (r == -(int)VMCRED_MISSING)
		error_hint(err,
			   "in the repository, register this host's public key with `vmcred "
			   "machine add %s --force --age-key KEY`",
			   config->machines[0].name);
	return r;
}

/* Whether the machine has files for the phase, or may still have some in memory. */
static bool has_phase(const struct call *call, const struct config *config,
		      enum config_needed_for phase)
{
	_cleanup_free_ char *link = path_below(call, config_phase_get(phase)->link);

	if (phase == CONFIG_PARTITIONING)
		return false;
	if (phase == CONFIG_SERVICES || (link && access(link, F_OK) == 0))
		return true;
	for (size_t i = 0; i < config->generator_count; i++) {
		for (size_t j = 0; j < config->generators[i].file_count; j++) {
			if (config->generators[i].files[j].needed_for == phase)
				return true;
		}
	}
	return false;
}

/* Whether anybody but the transport vouches for the bundle. */
static void origin_print(const struct cli *cli, const struct call *call)
{
	const struct bundle_manifest *manifest = &call->manifest;
	char time[BUNDLE_TIME_SIZE];

	bundle_serial_text(manifest->serial, time);
	if (cli->json)
		return;
	if (manifest->signer)
		printf("bundle of %s, signed by %s at %s\n", manifest->machine, manifest->signer,
		       time);
	else
		printf("bundle of %s, trusting the transport: %s does not exist\n",
		       call->options.machine, ALLOWED_SIGNERS);
}

/* All phases; a failure of one does not stop the others. */
static int phases_activate(struct cli *cli, const struct call *call, const struct config *config,
			   int dirfd, const struct age_identities *identities, struct error *err)
{
	_cleanup_json_ json_t *list = cli->json ? json_array() : NULL;
	const struct bundle_manifest *manifest = &call->manifest;

	origin_print(cli, call);
	for (int i = 0; i < CONFIG_PHASES; i++) {
		struct activate_options options = call->options;
		_cleanup_error_ struct error failed = {0};

		options.needed_for = (enum config_needed_for)i;
		options.dry = call->dry;
		if (has_phase(call, config, options.needed_for) &&
		    cli_activate(cli, config, dirfd, identities, &options, !options.root, list,
				 &failed) < 0)
			error_add(err, &failed);
	}
	if (list) {
		_cleanup_json_ json_t *object = json_pack(
			"{s:s, s:s?, s:o, s:b, s:O}", "machine", call->options.machine, "signer",
			manifest->signer, "serial",
			manifest->signer ? json_integer((json_int_t)manifest->serial) : json_null(),
			"dryRun", call->dry, "activated", list);

		cli_json_print(object);
	}
	return -(int)err->code;
}

/* The bundle's files are needed on a disk, or for a dry run in memory. */
static int bundle_try(struct cli *cli, const struct call *call, const struct bundle *bundle,
		      const struct age_identities *identities, struct error *err)
{
	struct memory_directory directory = MEMORY_DIRECTORY_NONE;
	int r = memory_directory_make(&directory, "the bundle", &cli->report, err);

	if (r == 0)
		r = bundle_unpack(bundle, directory.dirfd, err);
	if (r == 0)
		r = secrets_check(&bundle->config, directory.dirfd, identities, err);
	if (r == 0)
		(void)phases_activate(cli, call, &bundle->config, directory.dirfd, identities, err);
	(void)memory_directory_remove(&directory, err);
	return -(int)err->code;
}

/* A VM that is no longer declared runs on with its credentials: it may be wanted without them. */
static int leftovers_report(const struct cli *cli, const struct config *old,
			    const struct config *new, struct error *err)
{
	_cleanup_free_ const char **names = calloc(old->vm_count + 1, sizeof(*names));
	_cleanup_free_ struct inspect_unit *units = calloc(old->vm_count + 1, sizeof(*units));
	size_t count = 0;
	int r;

	if (!names || !units)
		return error_no_memory(err);
	for (size_t i = 0; i < old->vm_count; i++) {
		if (!config_vm_of_unit(new, old->vms[i].unit))
			names[count++] = old->vms[i].unit;
	}
	r = units_read(names, count, units, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (inspect_unit_is_running(&units[i]))
			report_message(
				&cli->report, REPORT_WARNING,
				"%s runs, but is no longer declared: stop it with `systemctl "
				"disable --now %s`",
				names[i], names[i]);
	}
	return r;
}

/* The drop-ins of the VMs' units are made from the declaration when systemd reads its units. `old`:
 * the last declaration. */
static int units_update(const struct cli *cli, const struct call *call, struct span old,
			const struct config *new, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_error_ struct error ignored = {0};
	int r;

	if (call->options.root || access("/run/systemd/system", F_OK) < 0)
		return 0;
	r = cli_systemctl("daemon-reload", true, NULL, err);
	if (r < 0 || !old.data ||
	    config_load_text((const char *)old.data, old.size, VMCRED_CONFIG_PATH, &config,
			     &ignored) < 0)
		return r;
	return leftovers_report(cli, &config, new, err);
}

static int bundle_replace(struct cli *cli, const struct call *call, int state_dirfd,
			  struct bundle_place *place, const struct bundle *bundle,
			  const struct age_identities *identities, struct error *err)
{
	_cleanup_close_ int dirfd = bundle_stage(place, bundle, err);
	_cleanup_error_ struct error failed = {0}, ignored = {0};
	_cleanup_free_ char *text = NULL;
	struct span old = {0};
	int r = dirfd < 0 ? dirfd : secrets_check(&bundle->config, dirfd, identities, err);

	if (file_read_text(place->dirfd, BUNDLE_DECLARATION, BUNDLE_SIZE_MAX, &text, &old.size,
			   &ignored) == 0)
		old.data = (const uint8_t *)text;
	/* Before the bundle: otherwise, after a crash, an older one than this would be accepted. */
	if (r == 0 && call->manifest.signer)
		r = bundle_serial_write(state_dirfd, &call->manifest, err);
	if (r == 0)
		r = bundle_install(place, err);
	if (r < 0)
		return r;
	/* From here on, a failure does not stop the rest. The error is the first one. */
	if (!old.data || !span_equal(old, bundle->files[0].content))
		(void)units_update(cli, call, old, &bundle->config, err);
	if (phases_activate(cli, call, &bundle->config, dirfd, identities, &failed) < 0)
		error_add(err, &failed);
	return -(int)err->code;
}

/* The descriptor; -1 if it does not exist, and for a dry run need not. */
static int state_open(const struct call *call, int *dirfd, struct error *err)
{
	_cleanup_free_ char *path = path_below(call, STATE_DIRECTORY);

	if (!path)
		return error_no_memory(err);
	*dirfd =
		call->dry ? dir_open(AT_FDCWD, path, err) : trusted_directory_make(path, 0700, err);
	if (*dirfd >= 0)
		return 0;
	if (!call->dry || err->code != VMCRED_MISSING)
		return -(int)err->code;
	error_clear(err);
	*dirfd = -1;
	return 0;
}

static int bundle_import(struct cli *cli, const struct call *call, const struct bundle *bundle,
			 struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_bundle_place_ struct bundle_place place = BUNDLE_PLACE_NONE;
	_cleanup_free_ char *declaration = path_below(call, VMCRED_CONFIG_PATH);
	_cleanup_close_ int state_dirfd = -1;
	int r = cli_identities_load(call->identity, &cli->report, &identities, err);

	if (r < 0)
		return r;
	if (!declaration)
		return error_no_memory(err);
	r = bundle_place_open(dirname(declaration), call->dry, &place, err);
	if (r == 0 && call->manifest.signer)
		r = state_open(call, &state_dirfd, err);
	if (r == 0 && call->manifest.signer)
		r = bundle_serial_check(state_dirfd, &call->manifest, err);
	if (r < 0)
		return r;
	return call->dry ? bundle_try(cli, call, bundle, &identities, err)
			 : bundle_replace(cli, call, state_dirfd, &place, bundle, &identities, err);
}

/* NULL: there is no file of allowed signers. The caller frees it. */
static int signers_find(const struct call *call, char **path, struct error *err)
{
	_cleanup_free_ char *found = path_below(call, ALLOWED_SIGNERS);

	if (!found)
		return error_no_memory(err);
	/* A link without its target must not mean that every bundle is accepted. */
	if (faccessat(AT_FDCWD, found, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		*path = pointer_release(&found);
	else if (errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(err, errno, "%s", found);
	return 0;
}

static int call_run(struct cli *cli, struct call *call, const char *file, struct error *err)
{
	_cleanup_bundle_bytes_ struct bundle_bytes bytes = {0};
	_cleanup_bundle_ struct bundle bundle = {0};
	_cleanup_free_ char *signers = NULL;
	struct span content;
	int r = cli_harden(cli, err);

	if (r == 0)
		r = signers_find(call, &signers, err);
	if (r == 0)
		r = input_read(file, &bytes, err);
	if (r == 0)
		r = bundle_unwrap(span_of(bytes.data, bytes.size), signers, &content,
				  &call->manifest, err);
	if (r == 0)
		r = bundle_open(content, call->options.machine, &bundle, err);
	if (r < 0)
		return r;
	call->options.machine = bundle.config.machines[0].name;
	if (call->manifest.machine && strcmp(call->manifest.machine, call->options.machine) != 0)
		return error_set(err, VMCRED_INTEGRITY, "the bundle of %s is signed for machine %s",
				 call->options.machine, call->manifest.machine);
	return bundle_import(cli, call, &bundle, err);
}

int command_import(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct call call = {0};
	const struct cli_option options[] = {
		{"machine", "MACHINE",
		 "whose bundle it must be (default: $VMCRED_MACHINE, or the host's name)",
		 &call.options.machine},
		{"identity", "FILE", CLI_MACHINE_IDENTITY_HELP, &call.identity},
		{"root", "DIRECTORY", "write below it; it must be on a memory file system",
		 &call.options.root},
		{"dry-run", NULL, "print what would change, and write nothing", &call.dry},
		{0},
	};
	const struct cli_usage usage = {
		.command = "import",
		.examples = "  vmcred import host1.bundle\n",
		.arguments = "[FILE]",
		.arguments_max = 1,
		.about = "Check a bundle of `vmcred export`, from a file or standard input, "
			 "install it in /etc/vmcred instead of the last one, activate its secrets, "
			 "and restart the units that still use old values. An invalid bundle "
			 "changes nothing.",
		.options = options,
		.has_json = true,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	cli->threads = pool_threads();
	r = call_run(cli, &call, first < argc ? argv[first] : NULL, err);
	bundle_manifest_release(&call.manifest);
	return r;
}
