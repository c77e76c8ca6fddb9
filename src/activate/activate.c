/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/activate.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "activate/activation.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/path.h"
#include "base/pool.h"
#include "base/trusted/trusted.h"
#include "vars/vars.h"

/* With fewer secrets, starting threads takes more time than it saves. */
#define TOGETHER_MIN 16

static void activation_release(struct activation *activation)
{
	activation_failures_release(activation);
	generation_files_destroy(&activation->files);
	free(activation->origins);
	activation_record_release(&activation->previous);
}

/* Only root can change owners; for others, as in a test's --root, everything is their own. */
static int owner_set(struct generation_file *secret, const struct config_file *file,
		     struct error *err)
{
	int r = 0;

	if (geteuid() != 0)
		return 0;
	/* Early in the boot, names cannot be resolved yet. */
	if (!config_owner_number(file->owner, &secret->uid))
		r = owner_user_find(file->owner, &secret->uid, err);
	if (r == 0 && !config_owner_number(file->group, &secret->gid))
		r = owner_group_find(file->group, &secret->gid, err);
	return r;
}

/* Adds the generator's files that the phase has. */
static int secrets_add(struct activation *activation, const struct config_generator *generator,
		       struct error *err)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		const struct config_file *file = &generator->files[i];
		struct activation_origin *origin;
		struct generation_file *secret;

		if (!file->deploy || file->needed_for != activation->options->needed_for)
			continue;
		secret = generation_files_add(
			&activation->files,
			text_format("%s%s/%s", config_phase_get(file->needed_for)->prefix,
				    generator->name, file->name),
			err);
		if (!secret)
			return -(int)err->code;
		secret->mode = file->mode;
		origin = &activation->origins[activation->secret_count++];
		*origin = (struct activation_origin){.generator = generator, .file = file};
		(void)owner_set(secret, file, &origin->problem);
	}
	return 0;
}

/*
 * Adds links for programs that expect clan's paths: "shared/<generator>" and
 * "per-machine/<machine>/<generator>". A generator with the name of such a directory has its own
 * files there instead.
 */
static int clan_link_add(struct activation *activation, const struct config_generator *generator,
			 struct error *err)
{
	const char *prefix = config_phase_get(activation->options->needed_for)->prefix;
	struct generation_file *link;

	if (config_generator_find(activation->config, generator->share ? "shared" : "per-machine",
				  NULL))
		return 0;
	link = generation_files_add(
		&activation->files,
		generator->share ? text_format("%sshared/%s", prefix, generator->name)
				 : text_format("%sper-machine/%s/%s", prefix,
					       activation->options->machine, generator->name),
		err);
	if (!link)
		return -(int)err->code;
	link->target = text_format("%s%s", generator->share ? "../" : "../../", generator->name);
	return link->target ? 0 : error_no_memory(err);
}

/* Lists the files of the generation, secrets without their contents. */
static int files_list(struct activation *activation, struct error *err)
{
	const struct config *config = activation->config;
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; i < config->generator_count; i++)
		count += config->generators[i].file_count;
	activation->origins = calloc(count + 1, sizeof(*activation->origins));
	if (!activation->origins)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		if (config_generator_is_for(generator, activation->options->machine))
			r = secrets_add(activation, generator, err);
	}
	for (size_t i = 0; r == 0 && i < activation->secret_count; i++) {
		const struct config_generator *generator = activation->origins[i].generator;

		if (i == 0 || generator != activation->origins[i - 1].generator)
			r = clan_link_add(activation, generator, err);
	}
	return r;
}

static void secret_decrypt(void *context, size_t index)
{
	struct activation *activation = context;
	struct activation_origin *origin = &activation->origins[index];
	const struct vars_location location = {
		origin->generator->share ? NULL : activation->options->machine,
		origin->generator,
		origin->file,
	};
	const struct sops_keyring keyring = {.identities = activation->identities};

	if (origin->problem.code == 0)
		(void)vars_store_read(activation->store_dirfd, &location, &keyring,
				      &activation->files.items[index].content, &origin->problem);
}

static void secrets_decrypt(struct activation *activation)
{
	const size_t count = activation->secret_count;

	if (count >= TOGETHER_MIN)
		pool_run(count, secret_decrypt, activation);
	for (size_t i = 0; count < TOGETHER_MIN && i < count; i++)
		secret_decrypt(activation, i);
}

/* Switches to a new generation if anything differs from the current one. */
static int generation_install(struct activation *activation, const struct generation_place *place,
			      struct activate_result *result, struct error *err)
{
	int r = activation_failures_settle(activation, place, err);

	result->secret_count = activation->secret_count;
	result->generation = activation->generation_before = generation_current(place);
	/* An empty generation would be of no use. */
	if (r < 0 || (activation->secret_count == 0 && activation->failed_count > 0))
		return r;
	r = generation_compare(place, &activation->files, err);
	if (r < 0)
		return r;
	result->changed = r > 0;
	if (!result->changed)
		return generation_clean(place, result->generation, 1, err);
	result->generation++;
	r = generation_write(place, result->generation, &activation->files, err);
	if (r == 0)
		r = generation_switch(place, result->generation, err);
	if (r == 0)
		r = generation_clean(place, result->generation, 1, err);
	return r;
}

/* Installs the generation, and writes the record of what that changed. */
static int generation_install_recorded(struct activation *activation,
				       const struct generation_place *place,
				       const struct report *report, struct activate_result *result,
				       struct error *err)
{
	/* Before anything is written: later failures would lose what changed. */
	_cleanup_close_ int dirfd =
		activation_record_directory_open(activation->options->root, err);
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int r = dirfd < 0 ? dirfd : lock_take(&lock, dirfd, true, "the activation records", err);

	if (r == 0)
		r = activation_previous_read(activation, report, err);
	if (r == 0)
		r = generation_install(activation, place, result, err);
	if (r == 0)
		r = activation_record_make(activation, result->generation, &result->record, err);
	return r < 0 ? r : activation_record_write(dirfd, &result->record, err);
}

int activate_machine(const struct config *config, int store_dirfd,
		     const struct age_identities *identities,
		     const struct activate_options *options, const struct report *report,
		     struct activate_result *result, struct error *err)
{
	__attribute__((cleanup(activation_release))) struct activation activation = {
		.config = config,
		.options = options,
		.store_dirfd = store_dirfd,
		.identities = identities,
	};
	const struct config_phase *phase = config_phase_get(options->needed_for);
	const char *link = NULL;
	const bool may_mount = !options->root && geteuid() == 0;
	_cleanup_free_ char *path = path_join(options->root ? options->root : "/", phase->link + 1);
	_cleanup_free_ char *directory = text_format("%s.d", basename(phase->link));
	_cleanup_close_ int run_dirfd = -1, dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int r;

	*result = (struct activate_result){0};
	if (!path || !directory)
		return error_no_memory(err);
	if (!config_machine_get(config, options->machine, err))
		return -(int)err->code;
	r = files_list(&activation, err);
	if (r < 0)
		return r;
	secrets_decrypt(&activation);
	if (options->dry) {
		r = activation_preview(&activation, path, directory, report, result, err);
		return r < 0 ? r : activation_failures_report(&activation, report, result, err);
	}
	run_dirfd = trusted_parent_open(path, 0755, &link, NULL, err);
	if (run_dirfd < 0)
		return run_dirfd;
	dirfd = generation_directory_open(run_dirfd, directory,
					  may_mount ? GENERATION_TMPFS : GENERATION_UNMOUNTED, err);
	if (dirfd < 0 && !may_mount)
		error_hint(err, "plaintext must not be written to disk: use --root with a "
				"directory below /run or /dev/shm");
	if (dirfd < 0)
		return dirfd;
	/* Two runs at once would write the same generation. */
	r = lock_take(&lock, dirfd, true, directory, err);
	if (r == 0)
		r = generation_install_recorded(&activation,
						&(struct generation_place){
							.dirfd = dirfd,
							.link_dirfd = run_dirfd,
							.link_name = link,
							.target = directory,
							.directory_gid = GENERATION_GROUP_OWN,
						},
						report, result, err);
	if (r == 0 && result->changed)
		report_message(report, REPORT_INFO, "generation %u has %zu secrets of %s for %s",
			       result->generation, activation.secret_count, options->machine,
			       phase->name);
	return r < 0 ? r : activation_failures_report(&activation, report, result, err);
}

void activate_result_release(struct activate_result *result)
{
	error_clear(&result->failure);
	activation_record_release(&result->record);
	strings_destroy(&result->restart_units);
	strings_destroy(&result->reload_units);
	for (size_t i = 0; i < ACTIVATE_CHANGES; i++)
		strings_destroy(&result->changes[i]);
}
