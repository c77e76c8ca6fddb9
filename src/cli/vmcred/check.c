/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"

/* A fault in JSON and in text, and the command that fixes it. */
static const struct {
	const char *name, *text, *command;
} faults[] = {
	[VARS_FAULT_NONE] = {"fine", "fine", ""},
	[VARS_FAULT_MISSING] = {"missing", "is missing", "vmcred generate"},
	[VARS_FAULT_OUTDATED] = {"outdated", "is outdated: its validation changed",
				 "vmcred generate"},
	[VARS_FAULT_READERS] = {"readers", "does not have its declared recipients", "vmcred fix"},
	[VARS_FAULT_EXPIRED] = {"expired", "must be renewed", "vmcred generate"},
	[VARS_FAULT_NO_KEY] = {"no-key", "is missing", "vmcred machine add"},
	[VARS_FAULT_NO_NAME] = {"no-name", "", ""}, /* never fails the check */
};

struct checking {
	json_t *list; /* NULL: lines */
	size_t checked, found, unnamed;
	enum vars_fault first; /* the first one found */
	const char *machine;   /* of the first, if it is a missing key; else NULL */
};

static void fault_print(const struct vars_location *location, enum vars_fault fault,
			const char *detail, void *data)
{
	struct checking *checking = data;
	/* A secret in sops/secrets has no generator, and a machine's own key no file either. */
	const char *generator = location->generator ? location->generator->name : NULL;
	const char *file = location->file ? location->file->name : NULL;

	checking->checked++;
	if (fault == VARS_FAULT_NONE)
		return;
	if (fault == VARS_FAULT_NO_NAME) {
		checking->unnamed++;
		if (!checking->list)
			return;
	} else if (checking->found++ == 0) {
		checking->first = fault;
		checking->machine = fault == VARS_FAULT_NO_KEY ? location->machine : NULL;
	}
	if (checking->list) {
		json_array_append_new(checking->list,
				      json_pack("{s:s?, s:s?, s:s?, s:s, s:s?}", "machine",
						location->machine, "generator", generator, "file",
						file, "fault", faults[fault].name, "detail",
						detail));
		return;
	}
	cli_location_print(location);
	printf(" %s%s%s%s\n", faults[fault].text, detail ? " (" : "", detail ? detail : "",
	       detail ? ")" : "");
}

int command_check(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct cli_option options[] = {{0}};
	const struct cli_usage usage = {
		.command = "check",
		.arguments = "[MACHINE...]",
		.about = "Check that the store has every declared secret, up to date and encrypted "
			 "to its\n"
			 "declared recipients. Decrypts nothing. Exit code 3: a secret is not as "
			 "declared.",
		.options = options,
		.has_json = true,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = NULL;
	struct checking checking;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	list = cli->json ? json_array() : NULL;
	checking = (struct checking){.list = list};
	r = vars_check(&config, store_dirfd, first < argc ? argv + first : NULL, fault_print,
		       &checking, &cli->report, err);
	if (r < 0)
		return r;
	if (list)
		cli_json_print(list);
	if (checking.unnamed > 0)
		report_message(&cli->report, REPORT_WARNING,
			       "not bound to their names: %zu of %zu files: run `vmcred fix`",
			       checking.unnamed, checking.checked);
	if (checking.found == 0) {
		if (!list)
			printf("all %zu files are as declared\n", checking.checked);
		return 0;
	}
	error_set(err, VMCRED_MISSING, "%zu of %zu files %s not as declared", checking.found,
		  checking.checked, checking.found == 1 ? "is" : "are");
	return error_hint(err, "fix the first with `%s%s%s`", faults[checking.first].command,
			  checking.machine ? " " : "", checking.machine ? checking.machine : "");
}
