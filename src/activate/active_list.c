/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/active_list.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void active_list_release(struct active_list *list)
{
	active_files_destroy(list->items, list->count + list->link_count);
	free(list->origins);
}

static size_t files_declared(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->generator_count; i++)
		count += config->generators[i].file_count;
	return count;
}

static int user_find(const char *name, const struct origin *origin, uid_t *uid, struct error *err)
{
	const struct passwd *user;

	/* Early in the boot there is nothing to look up in. */
	if (config_owner_number(name, uid))
		return 0;
	user = getpwnam(name);
	if (!user)
		return error_set(err, VMCRED_MISSING, "there is no user \"%s\" to own %s/%s", name,
				 origin->generator->name, origin->file->name);
	*uid = user->pw_uid;
	return 0;
}

static int group_find(const char *name, const struct origin *origin, gid_t *gid, struct error *err)
{
	const struct group *group;

	if (config_owner_number(name, gid))
		return 0;
	group = getgrnam(name);
	if (!group)
		return error_set(err, VMCRED_MISSING, "there is no group \"%s\" for %s/%s", name,
				 origin->generator->name, origin->file->name);
	*gid = group->gr_gid;
	return 0;
}

/* Only root can give files away; for others everything is their own, as in a test's --root. */
static int owner_find(struct active_file *secret, const struct origin *origin, struct error *err)
{
	int r;

	secret->uid = geteuid();
	secret->gid = getegid();
	if (geteuid() != 0)
		return 0;
	r = user_find(origin->file->owner, origin, &secret->uid, err);
	return r == 0 ? group_find(origin->file->group, origin, &secret->gid, err) : r;
}

static int secret_add(struct active_list *list, const struct origin *origin, struct error *err)
{
	struct active_file *secret = &list->items[list->count];

	list->origins[list->count++] = *origin;
	secret->mode = origin->file->mode;
	if (asprintf(&secret->path, "%s%s/%s", config_phase_get(origin->file->needed_for)->prefix,
		     origin->generator->name, origin->file->name) < 0) {
		secret->path = NULL;
		return error_no_memory(err);
	}
	return owner_find(secret, origin, err);
}

/*
 * clan's files are in the folders of the store, "shared/<generator>" and
 * "per-machine/<machine>/<generator>", which these links stand for. A generator that is called
 * like such a folder has its own files there.
 */
static int link_add(const struct config *config, const struct activate_options *options,
		    const struct config_generator *generator, struct active_list *list,
		    struct error *err)
{
	const char *prefix = config_phase_get(options->needed_for)->prefix;
	struct active_file *link = &list->items[list->count + list->link_count];
	int r;

	if (config_generator_find(config, generator->share ? "shared" : "per-machine"))
		return 0;
	list->link_count++;
	link->uid = geteuid();
	link->gid = getegid();
	if (generator->share)
		r = asprintf(&link->path, "%sshared/%s", prefix, generator->name);
	else
		r = asprintf(&link->path, "%sper-machine/%s/%s", prefix, options->machine,
			     generator->name);
	if (r < 0) {
		link->path = NULL;
		return error_no_memory(err);
	}
	if (asprintf(&link->target, "%s%s", generator->share ? "../" : "../../", generator->name) <
	    0) {
		link->target = NULL;
		return error_no_memory(err);
	}
	return 0;
}

/* One for each generator that has files in the list. */
static int links_add(const struct config *config, const struct activate_options *options,
		     struct active_list *list, struct error *err)
{
	size_t next = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];
		size_t before = next;

		while (next < list->count && list->origins[next].generator == generator)
			next++;
		if (next > before)
			r = link_add(config, options, generator, list, err);
	}
	return r;
}

int active_list_find(const struct config *config, const struct activate_options *options,
		     struct active_list *list, struct error *err)
{
	size_t count = files_declared(config);
	int r = 0;

	*list = (struct active_list){0};
	list->items = calloc(count + config->generator_count + 1, sizeof(*list->items));
	list->origins = calloc(count + 1, sizeof(*list->origins));
	if (!list->items || !list->origins)
		return error_no_memory(err);
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];

		if (!config_generator_is_for(generator, options->machine))
			continue;
		for (size_t j = 0; r == 0 && j < generator->file_count; j++) {
			const struct origin origin = {generator, &generator->files[j]};

			if (origin.file->deploy && origin.file->needed_for == options->needed_for)
				r = secret_add(list, &origin, err);
		}
	}
	return r == 0 ? links_add(config, options, list, err) : r;
}
