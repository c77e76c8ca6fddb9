/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/activate.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "activate/generation.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "vars/vars.h"

struct active_list {
	struct active_secret *items;
	size_t count;
};

static void active_list_release(struct active_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		secret_destroy(&list->items[i].plaintext);
	free(list->items);
}

static size_t files_declared(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->generator_count; i++)
		count += config->generators[i].file_count;
	return count;
}

/* Only root can give files away; for others everything is their own, as in a test's --root. */
static int owner_find(struct active_secret *secret, struct error *err)
{
	const struct config_file *file = secret->file;
	const struct passwd *user;
	const struct group *group;

	secret->uid = geteuid();
	secret->gid = getegid();
	if (geteuid() != 0)
		return 0;
	user = getpwnam(file->owner);
	if (!user)
		return error_set(err, VMCRED_MISSING, "there is no user \"%s\" to own %s/%s",
				 file->owner, secret->generator->name, file->name);
	group = getgrnam(file->group);
	if (!group)
		return error_set(err, VMCRED_MISSING, "there is no group \"%s\" for %s/%s",
				 file->group, secret->generator->name, file->name);
	secret->uid = user->pw_uid;
	secret->gid = group->gr_gid;
	return 0;
}

static int secrets_decrypt(const struct config *config, int store_dirfd,
			   const struct age_identities *identities, const char *machine,
			   struct active_list *list, struct error *err)
{
	int r = 0;

	list->items = calloc(files_declared(config) + 1, sizeof(*list->items));
	if (!list->items)
		return error_no_memory(err);
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		if (!config_generator_is_for(generator, machine))
			continue;
		for (size_t j = 0; r == 0 && j < generator->file_count; j++) {
			const struct config_file *file = &generator->files[j];
			const struct vars_location location = {generator->share ? NULL : machine,
							       generator, file};
			struct active_secret *secret = &list->items[list->count];

			if (!file->deploy)
				continue;
			secret->generator = generator;
			secret->file = file;
			list->count++;
			r = owner_find(secret, err);
			if (r == 0)
				r = vars_store_read(store_dirfd, &location, identities,
						    &secret->plaintext, err);
		}
	}
	return r;
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
		r = units_add(&result->restart_units, list->items[i].file->restart_units, err);
		if (r == 0)
			r = units_add(&result->reload_units, list->items[i].file->reload_units,
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

int activate_machine(const struct config *config, int store_dirfd,
		     const struct age_identities *identities,
		     const struct activate_options *options, const struct report *report,
		     struct activate_result *result, struct error *err)
{
	__attribute__((cleanup(active_list_release))) struct active_list list = {0};
	_cleanup_close_ int run_dirfd = -1, folder_dirfd = -1;
	int r;

	*result = (struct activate_result){0};
	if (!config_machine_get(config, options->machine, err))
		return -(int)err->code;
	r = secrets_decrypt(config, store_dirfd, identities, options->machine, &list, err);
	if (r < 0)
		return r;
	run_dirfd = run_folder_open(options->root, err);
	if (run_dirfd < 0)
		return run_dirfd;
	folder_dirfd = generation_folder_open(run_dirfd, !options->root && geteuid() == 0, err);
	if (folder_dirfd < 0)
		return folder_dirfd;
	/* Two runs at once would write the same generation; released when the folder is closed. */
	while (flock(folder_dirfd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, errno, "locking secrets.d");
	}
	result->secret_count = list.count;
	result->generation = generation_current(run_dirfd);
	r = generation_compare(run_dirfd, list.items, list.count, err);
	if (r < 0)
		return r;
	if (r == 0)
		return generation_clean(folder_dirfd, result->generation, err);
	result->changed = true;
	result->generation++;
	r = generation_write(folder_dirfd, result->generation, list.items, list.count, err);
	if (r == 0)
		r = generation_switch(run_dirfd, result->generation, err);
	if (r == 0)
		r = generation_clean(folder_dirfd, result->generation, err);
	if (r == 0)
		r = units_collect(&list, result, err);
	if (r == 0)
		report_message(report, REPORT_INFO, "generation %u has %zu secrets of %s",
			       result->generation, list.count, options->machine);
	return r;
}

void activate_result_release(struct activate_result *result)
{
	config_texts_free(result->restart_units);
	config_texts_free(result->reload_units);
	*result = (struct activate_result){0};
}
