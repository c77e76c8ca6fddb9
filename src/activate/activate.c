/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/activate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "activate/active_list.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/path.h"
#include "base/pool.h"
#include "vars/vars.h"

/* Links are in the folder of that name below the root. */
#define RUN "/run/"

/* Threads for fewer secrets would cost more than they spare. */
#define TOGETHER_MIN 16

struct decryption {
	struct active_list *list;
	int store_dirfd;
	const struct age_identities *identities;
	const char *machine;
};

static int secret_decrypt(void *context, size_t index, struct error *err)
{
	const struct decryption *decryption = context;
	const struct origin *origin = &decryption->list->origins[index];
	const struct vars_location location = {
		origin->generator->share ? NULL : decryption->machine,
		origin->generator,
		origin->file,
	};
	const struct sops_keyring keyring = {.identities = decryption->identities};

	return vars_store_read(decryption->store_dirfd, &location, &keyring,
			       &decryption->list->items[index].content, err);
}

static int secrets_decrypt(int store_dirfd, const struct age_identities *identities,
			   const char *machine, struct active_list *list, struct error *err)
{
	struct decryption decryption = {list, store_dirfd, identities, machine};
	size_t failed;

	return pool_try(list->count, TOGETHER_MIN, secret_decrypt, &decryption, &failed, err);
}

/* Adds names that the list does not have yet. */
static int units_add(char ***list, char *const *units, struct error *err)
{
	for (; units && *units; units++) {
		size_t count = config_texts_count(*list), same = 0;
		char **larger;

		while (same < count && strcmp((*list)[same], *units) != 0)
			same++;
		if (same < count)
			continue;
		larger = realloc(*list, (count + 2) * sizeof(char *));
		if (!larger)
			return error_no_memory(err);
		*list = larger;
		larger[count] = strdup(*units);
		larger[count + 1] = NULL;
		if (!larger[count])
			return error_no_memory(err);
	}
	return 0;
}

static int units_collect(const struct active_list *list, struct activate_result *result,
			 struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		if (!list->items[i].changed)
			continue;
		r = units_add(&result->restart_units, list->origins[i].file->restart_units, err);
		if (r == 0)
			r = units_add(&result->reload_units, list->origins[i].file->reload_units,
				      err);
	}
	return r;
}

static int run_folder_open(const char *root, struct error *err)
{
	_cleanup_free_ char *path = path_join(root ? root : "/", "run");

	if (!path)
		return error_no_memory(err);
	return dir_make(AT_FDCWD, path, 0755, err);
}

/* Opens the folder and locks it: two runs at once would write the same generation. Released when it
 * is closed. */
static int folder_open(int run_dirfd, const char *name, bool may_mount, struct error *err)
{
	_cleanup_close_ int fd = generation_folder_open(
		run_dirfd, name, may_mount ? GENERATION_TMPFS : GENERATION_UNMOUNTED, err);
	int r;

	if (fd < 0) {
		if (!may_mount)
			error_hint(err, "plaintext must not go to a disk: give a --root on tmpfs, "
					"such as one below /run or /dev/shm");
		return fd;
	}
	r = dir_lock(fd, name, err);
	return r < 0 ? r : fd_release(&fd);
}

/* Makes the generation the current one, if it is not. */
static int list_activate(const struct generation_place *place, const struct active_list *list,
			 struct activate_result *result, struct error *err)
{
	int r;

	result->secret_count = list->count;
	result->generation = generation_current(place);
	r = generation_compare(place, list->items, list->count + list->link_count, err);
	if (r < 0)
		return r;
	if (r == 0)
		return generation_clean(place, result->generation, 1, err);
	result->changed = true;
	result->generation++;
	r = generation_write(place, result->generation, list->items, list->count + list->link_count,
			     err);
	if (r == 0)
		r = generation_switch(place, result->generation, err);
	if (r == 0)
		r = generation_clean(place, result->generation, 1, err);
	return r == 0 ? units_collect(list, result, err) : r;
}

const char *activate_machine_choose(const struct config *config, const char *given,
				    struct error *err)
{
	if (given)
		return config_machine_get(config, given, err) ? given : NULL;
	if (config->machine_count == 1)
		return config->machines[0].name;
	error_set(err, VMCRED_USAGE, "%s declares %zu machines", config->path,
		  config->machine_count);
	error_hint(err, "choose one with --machine NAME");
	return NULL;
}

int activate_machine(const struct config *config, int store_dirfd,
		     const struct age_identities *identities,
		     const struct activate_options *options, const struct report *report,
		     struct activate_result *result, struct error *err)
{
	__attribute__((cleanup(active_list_release))) struct active_list list = {0};
	const struct config_phase *phase = config_phase_get(options->needed_for);
	_cleanup_close_ int run_dirfd = -1, folder_dirfd = -1;
	_cleanup_free_ char *folder = NULL;
	struct generation_place place;
	int r;

	*result = (struct activate_result){0};
	if (!config_machine_get(config, options->machine, err))
		return -(int)err->code;
	r = active_list_find(config, options, &list, err);
	if (r == 0)
		r = secrets_decrypt(store_dirfd, identities, options->machine, &list, err);
	if (r < 0)
		return r;
	if (asprintf(&folder, "%s.d", phase->link + strlen(RUN)) < 0) {
		folder = NULL;
		return error_no_memory(err);
	}
	run_dirfd = run_folder_open(options->root, err);
	if (run_dirfd < 0)
		return run_dirfd;
	folder_dirfd = folder_open(run_dirfd, folder, !options->root && geteuid() == 0, err);
	if (folder_dirfd < 0)
		return folder_dirfd;
	place = (struct generation_place){
		.dirfd = folder_dirfd,
		.link_dirfd = run_dirfd,
		.link_name = phase->link + strlen(RUN),
		.target = folder,
		.directory_gid = GENERATION_GROUP_OWN,
	};
	r = list_activate(&place, &list, result, err);
	if (r == 0 && result->changed)
		report_message(report, REPORT_INFO, "generation %u has %zu secrets of %s for %s",
			       result->generation, list.count, options->machine, phase->name);
	return r;
}

void activate_result_release(struct activate_result *result)
{
	config_texts_free(result->restart_units);
	config_texts_free(result->reload_units);
	for (size_t i = 0; i < ACTIVATE_CHANGES; i++)
		config_texts_free(result->changes[i]);
	*result = (struct activate_result){0};
}
