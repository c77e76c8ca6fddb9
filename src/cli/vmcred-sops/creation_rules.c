/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/creation_rules.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/creation_rules_file.h"
#include "regex/regex.h"

#define FILE_NAME      ".sops.yaml"
#define FILE_NAME_NEAR ".sops.yml"

/* sops gives up there too (config/config.go). */
#define FOLDERS_MAX 100

/* How many folders there are from the current one up to the root, both counted. */
static int folders_count(void)
{
	_cleanup_free_ char *here = getcwd(NULL, 0);
	int count = 1;

	if (!here)
		return FOLDERS_MAX;
	for (const char *at = here; count < FOLDERS_MAX && *at; at++)
		count += at[0] == '/' && at[1] != '\0';
	return count;
}

int sops_creation_rules_find(char **path, char **ignored, struct error *err)
{
	char folder[3 * FOLDERS_MAX + 1] = "";
	int count = folders_count();

	*path = NULL;
	*ignored = NULL;
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *near = NULL;

		if (asprintf(path, "%s" FILE_NAME, folder) < 0) {
			*path = NULL;
			return error_no_memory(err);
		}
		if (access(*path, F_OK) == 0)
			return 1;
		free(pointer_release(path));
		if (asprintf(&near, "%s" FILE_NAME_NEAR, folder) < 0) {
			near = NULL;
			return error_no_memory(err);
		}
		if (!*ignored && access(near, F_OK) == 0)
			*ignored = pointer_release(&near);
		memcpy(folder + 3 * (size_t)i, "../", sizeof("../"));
	}
	return 0;
}

const char *sops_creation_rules_path(const struct sops_creation_rules *rules)
{
	return rules->path;
}

/* Behind the folder of the file, if the path is below it. */
static const char *path_relative(const struct sops_creation_rules *rules, const char *path)
{
	size_t size = strlen(rules->folder);

	/* The folder ends with '/'. */
	return strncmp(path, rules->folder, size) == 0 ? path + size : path;
}

/* Returns 1 if the rule is for the path, else 0. */
static int rule_matches(struct sops_creation_rule *rule, const char *path, struct error *err)
{
	int r = 0;

	if (!rule->path_regex || !*rule->path_regex)
		return 1;
	if (!rule->compiled)
		r = regex_compile(span_of_text(rule->path_regex), &rule->compiled, err);
	if (r < 0)
		return error_wrap(err, "path_regex");
	return regex_match(rule->compiled, span_of_text(path), err);
}

int sops_creation_rules_match(struct sops_creation_rules *rules, const char *path,
			      const struct sops_policy **policy, struct error *err)
{
	const char *relative = path_relative(rules, path);

	if (!rules->has_rules)
		return 0;
	for (size_t i = 0; i < rules->count; i++) {
		struct sops_creation_rule *rule = &rules->items[i];
		int r = rule_matches(rule, relative, err);

		if (r == 0)
			continue;
		if (r > 0 && rule->is_contradictory)
			r = error_set(err, VMCRED_USAGE,
				      "has more than one of encrypted_suffix, unencrypted_suffix, "
				      "encrypted_regex, unencrypted_regex, encrypted_comment_regex "
				      "and unencrypted_comment_regex");
		if (r < 0)
			return error_wrap(err, "%s:%d: this creation rule", rules->path,
					  rule->line);
		*policy = &rule->policy;
		return 1;
	}
	error_set(err, VMCRED_MISSING, "%s has no creation rule for %s", rules->path, relative);
	return error_hint(err, "add one whose path_regex matches, or one without path_regex as the "
			       "last");
}

struct sops_format sops_creation_rules_format(const struct sops_creation_rules *rules,
					      const struct sops_store *store)
{
	const char *name = sops_store_name(store);
	/* To YAML, 0 columns are the same as nothing said; to JSON they are line breaks alone. */
	long none = strcmp(name, "yaml") == 0 ? 0 : -1;

	for (size_t i = 0; i < SOPS_STORES_LAID_OUT; i++) {
		if (strcmp(sops_stores_laid_out[i].store, name) == 0 && rules->indents[i] > none)
			return (struct sops_format){.indent = (unsigned int)rules->indents[i],
						    .indent_given = true};
	}
	return (struct sops_format){0};
}

void sops_creation_rules_destroy(struct sops_creation_rules **rules)
{
	struct sops_creation_rules *gone = *rules;

	if (!gone)
		return;
	for (size_t i = 0; i < gone->count; i++) {
		free(gone->items[i].path_regex);
		regex_destroy(&gone->items[i].compiled);
		sops_policy_destroy(&gone->items[i].policy);
	}
	free(gone->items);
	free(gone->folder);
	free(gone->path);
	free(gone);
	*rules = NULL;
}
