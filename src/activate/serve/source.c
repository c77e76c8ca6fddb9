/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "activate/activate.h"
#include "activate/serve/key.h"
#include "base/cleanup.h"
#include "delivery/delivery.h"

/* File systems take their times from a clock that ticks a hundred times a second or more. */
#define TICK_MS   50
/* A change further in the future than this: the clock was set back, so times tell nothing. */
#define FUTURE_MS (-1000)

static bool time_is_same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The modification time alone is not enough: it can be set freely, as in Nix's store. */
static bool file_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       time_is_same(a->st_mtim, b->st_mtim) && time_is_same(a->st_ctim, b->st_ctim);
}

enum serve_change serve_watch_check(struct serve_watch *watch, const struct stat *now)
{
	enum serve_change change = SERVE_SAME;
	struct timespec clock;
	int64_t age_ms;

	if (!file_is_same(&watch->seen, now))
		change = SERVE_CHANGED;
	else if (!watch->is_settled)
		change = SERVE_UNSURE;
	clock_gettime(CLOCK_REALTIME, &clock);
	age_ms = ((int64_t)clock.tv_sec - now->st_ctim.tv_sec) * 1000 +
		 (clock.tv_nsec - now->st_ctim.tv_nsec) / 1000000;
	watch->seen = *now;
	watch->is_settled = age_ms > TICK_MS || age_ms < FUTURE_MS;
	return change;
}

/* Returns 1 if the declaration was read and had changed, else 0. */
static int declaration_update(struct serve_source *source, bool force, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dirfd = -1;
	const struct config_machine *machine;
	struct stat file, directory;
	enum serve_change change;
	int r = config_find(source->options->config, &path, &dirfd, err);

	if (r < 0)
		return r;
	/* Checked before reading: a change in between is noticed at the next request. */
	if (stat(path, &file) < 0 || fstat(dirfd, &directory) < 0)
		return error_set_errno(err, errno, "reading the declaration %s", path);
	change = serve_watch_check(&source->config_watch, &file);
	if (force || directory.st_dev != source->directory.st_dev ||
	    directory.st_ino != source->directory.st_ino)
		change = SERVE_CHANGED;
	source->directory = directory;
	if (change == SERVE_SAME)
		return 0;
	r = config_load_file_as(path, CONFIG_LENIENT, &config, err);
	machine = r < 0 ? NULL : config_machine_choose(&config, source->options->machine, err);
	if (!machine || config_vms_keep(&config, machine->name, err) < 0)
		return -(int)err->code;
	config_destroy(&source->config);
	if (source->store_dirfd >= 0)
		close(source->store_dirfd);
	source->config = config;
	source->machine = machine->name;
	source->readings++;
	source->store_dirfd = fd_release(&dirfd);
	config = (struct config){0};
	return change == SERVE_CHANGED;
}

/* Returns 1 if the identities were read and had changed, else 0. */
static int identity_update(struct serve_source *source, bool force, struct error *err)
{
	/* Nobody can be asked for a passphrase. */
	_cleanup_age_identities_ struct age_identities identities = {.converts_ssh = true};
	const char *path = source->options->identity;
	enum serve_change change = SERVE_CHANGED;
	struct stat file;
	int r;

	if (stat(path, &file) == 0)
		change = serve_watch_check(&source->identity_watch, &file);
	if (change == SERVE_SAME && !force)
		return 0;
	/* What was reported is not repeated while the file might have changed again. */
	identities.report = force || change == SERVE_CHANGED ? source->report : NULL;
	r = age_identity_file_load(AT_FDCWD, path, &identities, err);
	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "name the machine's identity file with --identity FILE");
	if (r < 0)
		return r;
	age_identities_destroy(&source->identities);
	source->identities = identities;
	identities = (struct age_identities){0};
	return force || change == SERVE_CHANGED;
}

/* `r` is the result of reading `path`. `had_one`: another version was read before. */
static void update_report(const struct serve_source *source, int r, const char *path, bool had_one,
			  struct serve_watch *watch, struct error *err)
{
	_cleanup_free_ char *before = watch->fault.text ? error_line(&watch->fault) : NULL;
	_cleanup_free_ char *line = r < 0 ? error_line(err) : NULL;

	if (r == 0)
		return;
	error_clear(&watch->fault);
	if (r > 0) {
		if (had_one || before)
			report_message(source->report, REPORT_INFO, "read %s", path);
		return;
	}
	/* The cause may disappear without a change of the file: it is read again next time. */
	*watch = (struct serve_watch){0};
	error_move(&watch->fault, err);
	if (!before || !line || strcmp(line, before) != 0)
		report_message(source->report, REPORT_WARNING, "%s: %s",
			       had_one ? "keeping the version read before"
				       : "no credential can be served",
			       line ? line : "out of memory");
}

void serve_source_update(struct serve_source *source, bool force)
{
	_cleanup_error_ struct error config_err = {0}, identity_err = {0};
	bool had_config = source->store_dirfd >= 0, had_identity = source->identities.count > 0;
	int r;

	if (force) {
		error_clear(&source->config_watch.fault);
		error_clear(&source->identity_watch.fault);
	}
	r = declaration_update(source, force, &config_err);
	update_report(source, r, source->config.path, had_config, &source->config_watch,
		      &config_err);
	r = identity_update(source, force, &identity_err);
	update_report(source, r, source->options->identity, had_identity, &source->identity_watch,
		      &identity_err);
}

static int fault_copy(const struct error *fault, struct error *err)
{
	_cleanup_free_ char *line = error_line(fault);

	return error_set(err, fault->code, "%s", line ? line : "out of memory");
}

struct stat serve_source_stat(const struct serve_source *source, const struct config_vm *vm,
			      const struct config_load *load)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *path = NULL;
	struct serve_grant grant = {0};
	struct stat document = {0};

	if (serve_load_grant(&source->config, source->machine, vm, load, &grant, &ignored) == 0)
		path = vars_location_path(&grant.location);
	if (!path || fstatat(source->store_dirfd, path, &document, 0) < 0)
		return (struct stat){0};
	return document;
}

/* The limit for all credentials of a unit with their names (systemd.exec(5),
 * CREDENTIALS_TOTAL_SIZE_MAX in systemd). Only this credential's size is known here. */
#define UNIT_CREDENTIALS_SIZE_MAX ((size_t)1024 * 1024)

static int size_check(const struct serve_grant *grant, size_t size, struct error *err)
{
	const size_t total = size + strlen(grant->load->credential);

	if (total <= UNIT_CREDENTIALS_SIZE_MAX)
		return 0;
	return error_set(err, VMCRED_FAILED,
			 "%s is too large: %zu bytes with the credential's name; systemd "
			 "accepts %zu for all credentials of a unit",
			 grant->load->source, total, UNIT_CREDENTIALS_SIZE_MAX);
}

/* The key of the unit of a VM whose guest may use the channel. */
static int channel_key_issue(const struct serve_source *source, struct serve_request *request,
			     struct secret *value, struct error *err)
{
	const struct config_vm *vm = config_vm_of_unit(&source->config, request->asked.unit);
	_cleanup_secret_ struct secret boot_key = {0};
	struct serve_unit_key unit_key = {0};
	char id[DELIVERY_ID_SIZE + 1];
	int r;

	if (!vm || vm->channel_count == 0)
		return error_set(err, VMCRED_USAGE, "the unit's VM has no channelCredentials");
	snprintf(request->credential, sizeof(request->credential), CHANNEL_CREDENTIAL);
	r = serve_key_read(source->options->runtime, &boot_key, err);
	if (r == 0)
		r = serve_key_issue(&boot_key, request->asked.unit, value, &unit_key, err);
	if (r == 0) {
		/* If the unit starts, a report of its last guest is not one of this guest. */
		delivery_id_write(span_of(unit_key.key, sizeof(unit_key.key)), id);
		delivery_report_forget(source->options->runtime, request->asked.unit, id);
	}
	memory_wipe(&unit_key, sizeof(unit_key));
	return r;
}

int serve_source_read(const struct serve_source *source, struct serve_request *request,
		      struct secret *value, bool *left_out, struct error *err)
{
	const bool is_first = request->credential[0] == '\0';
	const struct sops_keyring keyring = {.identities = &source->identities};
	struct serve_grant grant = {0};
	struct stat around[2];
	int r;

	*left_out = false;
	if (source->store_dirfd < 0)
		return fault_copy(&source->config_watch.fault, err);
	/* It is random, and read once: the buffer of each socket holds it. */
	if (!request->is_guest && strcmp(request->asked.credential, CHANNEL_CREDENTIAL) == 0)
		return channel_key_issue(source, request, value, err);
	if (source->identities.count == 0)
		return fault_copy(&source->identity_watch.fault, err);
	r = serve_request_grant(&source->config, source->machine, request, &grant, err);
	if (r < 0)
		return r;
	snprintf(request->credential, sizeof(request->credential), "%s", grant.load->credential);
	r = vars_store_read_stat(source->store_dirfd, &grant.location, &keyring, value, around,
				 err);
	if (r == 0)
		r = size_check(&grant, value->size, err);
	/* Before the first reading and after each later one: the same file means the same value. */
	if (r == 0 && is_first)
		request->document = around[0];
	else if (r == 0 && !file_is_same(&around[1], &request->document))
		r = error_set(err, VMCRED_FAILED, "the secret changed while it was sent");
	if (r < 0)
		secret_destroy(value);
	/* Missing, and not just impossible to decrypt. */
	if (r == -(int)VMCRED_MISSING && is_first && !request->is_guest &&
	    config_vm_is_optional(grant.vm, grant.load->credential)) {
		_cleanup_error_ struct error ignored = {0};

		*left_out = vars_store_has(source->store_dirfd, &grant.location, &ignored) == 0;
	}
	if (*left_out) {
		error_clear(err);
		return 0;
	}
	return r;
}

void serve_source_release(struct serve_source *source)
{
	config_destroy(&source->config);
	if (source->store_dirfd >= 0)
		close(source->store_dirfd);
	source->store_dirfd = -1;
	age_identities_destroy(&source->identities);
	error_clear(&source->config_watch.fault);
	error_clear(&source->identity_watch.fault);
}
