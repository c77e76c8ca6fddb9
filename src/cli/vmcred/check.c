/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/json_print.h"
#include "cli/vmcred/location.h"

/* What a fault is called, and how it is mended. */
static const struct {
	const char *word, *text, *command;
} faults[] = {
	[VARS_FAULT_NONE] = {"fine", "fine", ""},
	[VARS_FAULT_MISSING] = {"missing", "is missing", "vmcred generate"},
	[VARS_FAULT_OUTDATED] = {"outdated", "is outdated: its validation has changed",
				 "vmcred generate"},
	[VARS_FAULT_READERS] = {"readers", "is not encrypted to those who may read it",
				"vmcred fix"},
	[VARS_FAULT_EXPIRED] = {"expired", "must be made anew", "vmcred generate"},
	[VARS_FAULT_NO_KEY] = {"no-key", "is missing", "vmcred machine add"},
};

struct checking {
	json_t *list; /* NULL: lines */
	size_t checked, found;
	enum vars_fault first; /* the first one found */
	const char *machine;   /* whose key that is; NULL: it is a file */
};

/* What is kept in sops/secrets is of no generator, and a machine's own key not a file's either. */
static void fault_add(const struct checking *checking, const struct vars_location *location,
		      enum vars_fault fault, const char *detail)
{
	const char *generator = location->generator ? location->generator->name : NULL;
	const char *file = location->file ? location->file->name : NULL;

	json_array_append_new(checking->list,
			      json_pack("{s:s?, s:s?, s:s?, s:s, s:s?}", "machine",
					location->machine, "generator", generator, "file", file,
					"fault", faults[fault].word, "detail", detail));
}

static void fault_tell(const struct vars_location *location, enum vars_fault fault,
		       const char *detail, void *data)
{
	struct checking *checking = data;

	checking->checked++;
	if (fault == VARS_FAULT_NONE)
		return;
	if (checking->found++ == 0) {
		checking->first = fault;
		checking->machine = fault == VARS_FAULT_NO_KEY ? location->machine : NULL;
	}
	if (checking->list) {
		fault_add(checking, location, fault, detail);
		return;
	}
	cli_location_print(location);
	printf(" %s%s%s%s\n", faults[fault].text, detail ? " (" : "", detail ? detail : "",
	       detail ? ")" : "");
}

int command_check(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct cli_option rows[] = {{0}};
	const struct cli_usage usage = {
		.command = "check",
		.words = "[MACHINE...]",
		.about = "Check that everything that is declared is in the store, as the "
			 "declaration has it,\n"
			 "and encrypted to those who may read it. Decrypts nothing. Exit code 3: "
			 "something is not.",
		.options = rows,
		.has_json = true,
		.words_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = NULL;
	struct checking checking;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	list = cli->json ? json_array() : NULL;
	checking = (struct checking){.list = list};
	r = vars_check(&config, store_dirfd, first < argc ? argv + first : NULL, fault_tell,
		       &checking, &cli->report, err);
	if (r < 0)
		return r;
	if (list)
		cli_json_print(list);
	if (checking.found == 0) {
		if (!list)
			printf("all %zu files are as declared\n", checking.checked);
		return 0;
	}
	error_set(err, VMCRED_MISSING, "%zu of %zu files %s not as declared", checking.found,
		  checking.checked, checking.found == 1 ? "is" : "are");
	return error_hint(err, "`%s%s%s` mends the first", faults[checking.first].command,
			  checking.machine ? " " : "", checking.machine ? checking.machine : "");
}
