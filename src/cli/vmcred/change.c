/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"

struct making {
	struct cli *cli;
	const struct config *config;
	int store_dirfd;
	const struct cli_change *change;
	struct cli_identity identity;
	json_t *list;      /* NULL: lines */
	char *last_detail; /* owned */
	size_t printed, failed;
};

static int identities_get(const struct age_identities **identities, void *data, struct error *err)
{
	struct making *making = data;

	return cli_identity_get(identities, &making->identity, err);
}

static void secret_print(const struct vars_fix_change *change, void *data)
{
	const struct vars_location *location = change->location;
	const char *generator = location->generator ? location->generator->name : NULL;
	const char *file = location->file ? location->file->name : NULL;
	struct making *making = data;
	_cleanup_free_ char *path = NULL, *detail = NULL;

	making->printed++;
	progress_clear(&making->cli->progress);
	if (making->list) {
		path = vars_location_path(location);
		json_array_append_new(making->list,
				      json_pack("{s:s?, s:s, s:s?, s:s?, s:s?, s:s, s:o, s:o}",
						"path", path, "change", "encrypt", "machine",
						location->machine, "generator", generator, "file",
						file, "detail", change->detail, "add",
						cli_json_texts(change->added->items), "remove",
						cli_json_texts(change->removed->items)));
		return;
	}
	cli_location_print(location);
	detail = cli_detail_text(change->detail, &making->last_detail);
	printf(": %s\n", detail ? detail : "");
	(void)fflush(stdout);
}

static void failure_print(const struct vars_location *location, const struct error *reason,
			  void *data)
{
	struct making *making = data;
	_cleanup_free_ char *line = error_line(reason);

	(void)location;
	making->failed++;
	report_message(&making->cli->report, REPORT_WARNING, "%s", line ? line : "out of memory");
}

static void paths_print(struct making *making, const struct strings *paths, const char *change)
{
	making->printed += paths->count;
	progress_clear(&making->cli->progress);
	for (size_t i = 0; i < paths->count; i++) {
		if (making->list)
			json_array_append_new(
				making->list,
				json_pack("{s:s, s:s}", "path", paths->items[i], "change", change));
		else
			printf("%s: to %s\n", paths->items[i], change);
	}
	(void)fflush(stdout);
}

static int paths_remove(const struct making *making, const struct strings *paths, struct error *err)
{
	int r = making->change->dry_run ? 1 : 0;

	for (size_t i = 0; r == 0 && i < paths->count; i++)
		r = vars_path_remove(making->store_dirfd, paths->items[i], err);
	return r < 0 ? r : 0;
}

static int confirm(const struct making *making, struct error *err)
{
	const struct terminal_question question = {.text = "Remove this? [y/N]"};
	_cleanup_secret_ struct secret answer = {0};
	int r;

	if (making->printed == 0 || making->change->dry_run || !making->change->confirm)
		return 0;
	r = terminal_ask(&question, &answer, err);
	if (r < 0)
		return error_hint(err, "confirm with --yes");
	return span_equal(secret_span(&answer), span_of_text("y")) ||
			       span_equal(secret_span(&answer), span_of_text("yes"))
		       ? 0
		       : error_set(err, VMCRED_FAILED, "nothing was changed: not confirmed");
}

static int commit(size_t linked, void *data, struct error *err)
{
	struct making *making = data;
	const struct cli_change *change = making->change;
	int r = change->commit ? change->commit(linked, change->data, err) : 0;

	if (r < 0)
		return r;
	/* What is removed is always printed, and before it is removed. */
	if (change->dry_run || making->list)
		paths_print(making, &change->added, "add");
	paths_print(making, &change->removed, "remove");
	paths_print(making, &change->removed_last, "remove");
	r = confirm(making, err);
	return r < 0 ? r : paths_remove(making, &change->removed, err);
}

static int change_make(struct making *making, const char *nothing, struct error *err)
{
	const struct cli_change *change = making->change;
	const struct vars_fix_options options = {
		.machines = change->machines,
		.members = change->members,
		.member_count = change->member_count,
		.bind = change->bind,
		.dry_run = change->dry_run,
		.identities = identities_get,
		.commit = commit,
		.fixing = secret_print,
		.failed = failure_print,
		.data = making,
	};
	int r = change->paths_only ? commit(0, making, err)
				   : vars_fix(making->config, making->store_dirfd, &options,
					      &making->cli->report, err);

	if (r < 0)
		return r;
	if (making->list)
		cli_json_print(making->list);
	if (making->failed > 0)
		return error_set(err, VMCRED_FAILED, "%zu secret%s could not be re-encrypted",
				 making->failed, making->failed == 1 ? "" : "s");
	if (making->printed == 0 && nothing && !making->list)
		printf("%s\n", nothing);
	return paths_remove(making, &change->removed_last, err);
}

int cli_change_make(struct cli *cli, const struct config *config, int store_dirfd,
		    const struct cli_change *change, const char *nothing, struct error *err)
{
	_cleanup_json_ json_t *list = cli->json ? json_array() : NULL;
	struct making making = {
		.cli = cli,
		.config = config,
		.store_dirfd = store_dirfd,
		.change = change,
		.identity = {.path = change->identity, .report = &cli->report},
		.list = list,
	};
	int r = change_make(&making, nothing, err);

	free(making.last_detail);
	age_identities_destroy(&making.identity.identities);
	return r;
}

void cli_change_destroy(struct cli_change *change)
{
	strings_destroy(&change->added);
	strings_destroy(&change->removed);
	strings_destroy(&change->removed_last);
}
