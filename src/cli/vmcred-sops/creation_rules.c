/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/creation_rules.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/creation_rules_file.h"
#include "regex/regex.h"

#define FILE_NAME      ".sops.yaml"
#define FILE_NAME_NEAR ".sops.yml"

/* As in sops (config/config.go). */
#define DIRECTORIES_MAX 100

int sops_creation_rules_find(char **path, char **ignored, struct error *err)
{
	_cleanup_free_ char *here = getcwd(NULL, 0);
	char up[3 * DIRECTORIES_MAX + 1] = "";
	int count = here ? 1 : DIRECTORIES_MAX;

	for (const char *at = here; at && count < DIRECTORIES_MAX && *at; at++)
		count += at[0] == '/' && at[1] != '\0';
	*path = NULL;
	*ignored = NULL;
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *found = text_format("%s" FILE_NAME, up);
		_cleanup_free_ char *near = text_format("%s" FILE_NAME_NEAR, up);

		if (!found || !near)
			return error_no_memory(err);
		if (access(found, F_OK) == 0) {
			*path = pointer_release(&found);
			return 1;
		}
		if (!*ignored && access(near, F_OK) == 0)
			*ignored = pointer_release(&near);
		memcpy(up + 3 * (size_t)i, "../", sizeof("../"));
	}
	return 0;
}

const char *sops_creation_rules_path(const struct sops_creation_rules *rules)
{
	return rules->path;
}

/* Returns 1 if the rule matches the path, else 0. */
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
	size_t directory = strlen(rules->directory);
	/* Relative to the directory of .sops.yaml, if the path is below it. */
	const char *relative =
		strncmp(path, rules->directory, directory) == 0 ? path + directory : path;

	if (!rules->has_rules)
		return 0;
	for (size_t i = 0; i < rules->count; i++) {
		struct sops_creation_rule *rule = &rules->items[i];
		int r = rule_matches(rule, relative, err);

		if (r == 0)
			continue;
		if (r > 0 && rule->is_contradictory)
			r = error_set(err, VMCRED_USAGE,
				      "more than one of encrypted_suffix, unencrypted_suffix, "
				      "encrypted_regex, unencrypted_regex, encrypted_comment_regex "
				      "and unencrypted_comment_regex");
		if (r < 0)
			return error_wrap(err, "%s:%d: creation rule", rules->path, rule->line);
		*policy = &rule->policy;
		return 1;
	}
	error_set(err, VMCRED_MISSING, "%s: no creation rule matches %s", rules->path, relative);
	return error_hint(err, "add a rule that matches, or a last rule without path_regex");
}

struct sops_format sops_creation_rules_format(const struct sops_creation_rules *rules,
					      const struct sops_store *store)
{
	const char *name = store->name;
	/* For YAML, 0 columns is the default; for JSON it is line breaks without indentation. */
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
	free(gone->directory);
	free(gone->path);
	free(gone);
	*rules = NULL;
}
