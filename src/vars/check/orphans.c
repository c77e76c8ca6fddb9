/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the declaration no longer has. Another tool may use the same store, for machines and
 * generators of its own, so only what vmcred stored is an orphan: a generator with a document that
 * is bound to its name, and what belongs to a machine with one. A link to a member that does not
 * exist is an orphan, too.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

struct search {
	const struct config *config;
	int store_dirfd;
	struct vars_orphans *orphans;
};

void vars_orphans_destroy(struct vars_orphans *orphans)
{
	strings_destroy(&orphans->machines);
	strings_destroy(&orphans->members);
	strings_destroy(&orphans->paths);
}

/* The names in a directory. A link or a file instead of it is left alone. */
static int names_list(const struct search *search, const char *directory, struct strings *names,
		      struct error *err)
{
	struct stat status;

	return fstatat(search->store_dirfd, directory, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
			       !S_ISDIR(status.st_mode)
		       ? 0
		       : store_names_list(search->store_dirfd, directory, names, err);
}

/* A document that cannot be read is left alone. */
static bool is_bound(const struct search *search, const char *directory)
{
	_cleanup_free_ char *path = text_format("%s/secret", directory);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error ignored = {0};

	return path &&
	       file_read_secret(search->store_dirfd, path, VARS_DOCUMENT_SIZE_MAX, &text,
				&ignored) == 0 &&
	       sops_document_read(sops_store_named("binary"), &text, path, &document, &ignored) ==
		       0 &&
	       sops_binary_has_name(document);
}

static bool has_bound(const struct search *search, const char *directory,
		      const struct strings *files)
{
	for (size_t i = 0; i < files->count; i++) {
		_cleanup_free_ char *path = text_format("%s/%s", directory, files->items[i]);

		if (path && is_bound(search, path))
			return true;
	}
	return false;
}

/* Whether it is a directory with a secret or a public value: not, say, a person's notes. */
static bool is_file(const struct search *search, const char *path)
{
	_cleanup_free_ char *secret = text_format("%s/secret", path);
	_cleanup_free_ char *value = text_format("%s/value", path);

	return secret && value &&
	       (faccessat(search->store_dirfd, secret, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		faccessat(search->store_dirfd, value, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

/* `generator` is NULL if it is not declared for the machine, or as shared. Returns 1 if it is an
 * orphan, 0, or a negative code. */
static int generator_search(const struct search *search, const char *directory,
			    const struct config_generator *generator, struct error *err)
{
	struct strings *paths = &search->orphans->paths;
	_cleanup_strings_ struct strings files = {0}, undeclared = {0};
	int r = names_list(search, directory, &files, err);

	for (size_t i = 0; r == 0 && i < files.count; i++) {
		_cleanup_free_ char *path = NULL;

		if (generator && config_file_find(generator, files.items[i]))
			continue;
		path = text_format("%s/%s", directory, files.items[i]);
		if (!path)
			return error_no_memory(err);
		r = is_file(search, path) ? strings_take(&undeclared, pointer_release(&path), err)
					  : 0;
	}
	if (r < 0 || undeclared.count == 0 || !has_bound(search, directory, &files))
		return r;
	r = generator || undeclared.count < files.count
		    ? strings_add_all(paths, undeclared.items, err)
		    : strings_add(paths, directory, err);
	return r < 0 ? r : !generator;
}

/* The generators of a machine, or the shared ones. Returns 1 if one of them is an orphan. */
static int generators_search(const struct search *search, const char *machine, struct error *err)
{
	_cleanup_free_ char *directory = store_generators_path(machine);
	_cleanup_strings_ struct strings names = {0};
	const bool declared = !machine || config_machine_find(search->config, machine);
	bool found = false;
	int r = directory ? names_list(search, directory, &names, err) : error_no_memory(err);

	for (size_t i = 0; r >= 0 && i < names.count; i++) {
		const struct config_generator *generator =
			config_generator_find(search->config, names.items[i], machine);
		_cleanup_free_ char *path = text_format("%s/%s", directory, names.items[i]);

		if (!declared ||
		    (generator && (generator->share != !machine ||
				   (machine && !config_generator_is_for(generator, machine)))))
			generator = NULL;
		r = path ? generator_search(search, path, generator, err) : error_no_memory(err);
		found |= r > 0;
	}
	return r < 0 ? r : found;
}

/* Its generators and, if it is no longer declared, its key and its registration. */
static int machine_search(const struct search *search, const char *machine, struct error *err)
{
	_cleanup_free_ char *key = text_format("sops/secrets/%s" STORE_MACHINE_KEY_SUFFIX, machine);
	_cleanup_free_ char *registered = text_format("sops/machines/%s", machine);
	bool key_found;
	int r;

	if (!key || !registered)
		return error_no_memory(err);
	r = generators_search(search, machine, err);
	if (r < 0 || config_machine_find(search->config, machine))
		return r < 0 ? r : 0;
	key_found = is_bound(search, key);
	if (r == 0 && !key_found)
		return 0;
	r = strings_add(&search->orphans->machines, machine, err);
	if (r == 0 && key_found)
		r = strings_add(&search->orphans->paths, key, err);
	if (r == 0 && faccessat(search->store_dirfd, registered, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = strings_add(&search->orphans->members, registered, err);
	return r;
}

/* All machines that the store mentions: registered ones, and those with secrets or a key. */
static int machines_list(const struct search *search, struct readers *machines, struct error *err)
{
	const size_t suffix = strlen(STORE_MACHINE_KEY_SUFFIX);
	_cleanup_strings_ struct strings names = {0}, secrets = {0};
	int r = vars_members_list(search->store_dirfd, VARS_MACHINE, &names, err);

	if (r == 0)
		r = names_list(search, "vars/per-machine", &names, err);
	if (r == 0)
		r = names_list(search, "sops/secrets", &secrets, err);
	for (size_t i = 0; r == 0 && i < secrets.count; i++) {
		char *name = secrets.items[i];
		const size_t length = strlen(name);

		if (length <= suffix ||
		    strcmp(name + length - suffix, STORE_MACHINE_KEY_SUFFIX) != 0)
			continue;
		name[length - suffix] = '\0';
		r = strings_add(&names, name, err);
	}
	return r < 0 ? r : readers_add(machines, VARS_MACHINE, names.items, err);
}

/* The links of a group to members that do not exist, or are orphans. */
static int group_search(const struct search *search, const char *group, struct error *err)
{
	static const enum vars_member_type types[] = {VARS_MACHINE, VARS_USER};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++) {
		_cleanup_strings_ struct strings names = {0};

		r = vars_group_members(search->store_dirfd, group, types[i], &names, err);
		for (size_t j = 0; r == 0 && j < names.count; j++) {
			const char *name = names.items[j], *directory = members_directory(types[i]);
			_cleanup_free_ char *member = text_format("sops/%s/%s", directory, name);

			if (!member)
				return error_no_memory(err);
			if (faccessat(search->store_dirfd, member, F_OK, 0) < 0 ||
			    (types[i] == VARS_MACHINE &&
			     strings_contain(&search->orphans->machines, name)))
				r = strings_add_format(&search->orphans->paths, err,
						       "sops/groups/%s/%s/%s", group, directory,
						       name);
		}
	}
	return r;
}

int vars_orphans_find(const struct config *config, int store_dirfd, struct vars_orphans *orphans,
		      struct error *err)
{
	const struct search search = {config, store_dirfd, orphans};
	_cleanup_readers_ struct readers machines = {0};
	_cleanup_strings_ struct strings groups = {0};
	const struct strings *names = &machines.names[VARS_MACHINE];
	int r = machines_list(&search, &machines, err);

	if (r == 0)
		r = generators_search(&search, NULL, err);
	for (size_t i = 0; r >= 0 && i < names->count; i++)
		r = machine_search(&search, names->items[i], err);
	if (r >= 0)
		r = vars_members_list(store_dirfd, VARS_GROUP, &groups, err);
	for (size_t i = 0; r == 0 && i < groups.count; i++)
		r = group_search(&search, groups.items[i], err);
	return r;
}
