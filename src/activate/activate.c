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
#include "base/pool.h"
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

/* What is declared for the machine, without its content. */
static int secrets_find(const struct config *config, const char *machine, struct active_list *list,
			struct error *err)
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
			struct active_secret *secret = &list->items[list->count];

			if (!file->deploy)
				continue;
			secret->generator = generator;
			secret->file = file;
			list->count++;
			r = owner_find(secret, err);
		}
	}
	return r;
}

/* Of fewer, the threads would cost more than they spare. */
#define TOGETHER_MIN 16

struct decryption {
	struct active_list *list;
	int store_dirfd;
	const struct age_identities *identities;
	const char *machine;
	struct error *failures; /* owned; one a secret */
};

static void failures_release(struct decryption *decryption)
{
	for (size_t i = 0; decryption->failures && i < decryption->list->count; i++)
		error_clear(&decryption->failures[i]);
	free(decryption->failures);
}

static void secret_decrypt(void *context, size_t index)
{
	const struct decryption *decryption = context;
	struct active_secret *secret = &decryption->list->items[index];
	const struct vars_location location = {
		secret->generator->share ? NULL : decryption->machine,
		secret->generator,
		secret->file,
	};

	(void)vars_store_read(decryption->store_dirfd, &location, decryption->identities,
			      &secret->plaintext, &decryption->failures[index]);
}

/* Of several that fail, the first is told, whatever the threads did. */
static int secrets_decrypt(int store_dirfd, const struct age_identities *identities,
			   const char *machine, struct active_list *list, struct error *err)
{
	__attribute__((cleanup(failures_release))) struct decryption decryption = {
		.list = list,
		.store_dirfd = store_dirfd,
		.identities = identities,
		.machine = machine,
		.failures = calloc(list->count + 1, sizeof(*decryption.failures)),
	};
	size_t failed = 0;

	if (!decryption.failures)
		return error_no_memory(err);
	if (list->count >= TOGETHER_MIN)
		pool_run(list->count, secret_decrypt, &decryption);
	for (size_t i = 0; list->count < TOGETHER_MIN && i < list->count; i++)
		secret_decrypt(&decryption, i);
	while (failed < list->count && decryption.failures[failed].code == 0)
		failed++;
	if (failed == list->count)
		return 0;
	*err = decryption.failures[failed];
	decryption.failures[failed] = (struct error){0};
	return -(int)err->code;
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
	r = secrets_find(config, options->machine, &list, err);
	if (r == 0)
		r = secrets_decrypt(store_dirfd, identities, options->machine, &list, err);
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
