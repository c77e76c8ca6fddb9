/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/vmcred-run/commands.h"
#include "vmm/vmm.h"

static const char *const encoding_names[] = {
	[OEM_PLAIN] = "plain",
	[OEM_TEXT] = "text",
	[OEM_BINARY] = "binary",
};

/* A total and its limit. */
struct total {
	const char *name, *about;
	size_t used;
	enum oem_limit limit;
};

#define TOTAL_COUNT 4

/* An initrd has none. */
static bool has_table(const struct vmm_launch *launch)
{
	return vmm_transport_find(launch) != VMM_TRANSPORT_INITRD;
}

static size_t totals_collect(const struct vmm_launch *launch, struct total totals[TOTAL_COUNT])
{
	const struct oem_list *list = &launch->list;
	size_t count = 0;

	if (has_table(launch)) {
		totals[count++] =
			(struct total){"strings", "strings", list->count, OEM_LIMIT_STRINGS};
		totals[count++] = (struct total){"table", "bytes of the SMBIOS table",
						 oem_list_table_size(list), OEM_LIMIT_TABLE};
	}
	totals[count++] = (struct total){"credentials", "bytes of credentials",
					 oem_list_values_size(list), OEM_LIMIT_CREDENTIALS};
	if (launch->body_size > 0)
		totals[count++] = (struct total){"apiBody", "bytes of the API request (up to v53)",
						 launch->body_size, OEM_LIMIT_API_BODY};
	return count;
}

static double percent(size_t part, size_t whole)
{
	return 100.0 * (double)part / (double)whole;
}

static double table_percent(const struct oem_string *string)
{
	return percent(string->text.size + 1, oem_limit_max(OEM_LIMIT_TABLE));
}

static void text_print(const struct vmm_launch *launch)
{
	const struct oem_list *list = &launch->list;
	struct total totals[TOTAL_COUNT];
	size_t count = totals_collect(launch, totals);

	printf("%-20s %-28s %-8s %8s %8s %7s\n", "ORIGIN", "CREDENTIAL", "ENCODING", "VALUE",
	       "STRING", "TABLE");
	for (size_t i = 0; i < list->count; i++) {
		const struct oem_string *string = &list->strings[i];

		printf("%-20s %-28s %-8s %8zu %8zu ", oem_origin_name(string->origin),
		       string->name ? string->name : "-", encoding_names[string->encoding],
		       string->value_size, string->text.size);
		if (has_table(launch))
			printf("%6.1f%%\n", table_percent(string));
		else
			printf("%7s\n", "-");
	}
	printf("\n");
	for (size_t i = 0; i < count; i++)
		printf("%8zu of %7zu %s, %.1f%%\n", totals[i].used, oem_limit_max(totals[i].limit),
		       totals[i].about, percent(totals[i].used, oem_limit_max(totals[i].limit)));
}

static json_t *string_json(const struct vmm_launch *launch, const struct oem_string *string)
{
	static const char *const origins[] = {
		[OEM_ARGUMENTS] = "arguments",
		[OEM_STATIC] = "static",
		[OEM_RUNTIME] = "runtime",
	};

	return json_pack("{s:s, s:s?, s:s, s:I, s:I, s:o?}", "origin", origins[string->origin],
			 "credential", string->name, "encoding", encoding_names[string->encoding],
			 "valueSize", (json_int_t)string->value_size, "stringSize",
			 (json_int_t)string->text.size, "tablePercent",
			 has_table(launch) ? json_real(table_percent(string)) : NULL);
}

static int json_print(const char *vm, const struct vmm_launch *launch, struct error *err)
{
	_cleanup_json_ json_t *strings = json_array();
	_cleanup_json_ json_t *sums = json_object();
	_cleanup_json_ json_t *document = NULL;
	struct total totals[TOTAL_COUNT];
	size_t count = totals_collect(launch, totals);

	for (size_t i = 0; i < launch->list.count; i++) {
		if (json_array_append_new(strings, string_json(launch, &launch->list.strings[i])) <
		    0)
			return error_no_memory(err);
	}
	for (size_t i = 0; i < count; i++) {
		const size_t limit = oem_limit_max(totals[i].limit);

		if (json_object_set_new(sums, totals[i].name,
					json_pack("{s:I, s:I, s:f, s:s}", "used",
						  (json_int_t)totals[i].used, "limit",
						  (json_int_t)limit, "percent",
						  percent(totals[i].used, limit), "limitOf",
						  oem_limit_owner(totals[i].limit))) < 0)
			return error_no_memory(err);
	}
	document = json_pack("{s:s, s:O, s:O}", "vm", vm, "strings", strings, "totals", sums);
	if (!document || json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4)) < 0)
		return error_no_memory(err);
	printf("\n");
	return 0;
}

int command_compose(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	const struct cli_option options[] = {
		{"credentials", "DIRECTORY",
		 "directory of the credentials (default: $CREDENTIALS_DIRECTORY)", &credentials},
		{0},
	};
	const struct cli_usage usage = {
		.command = "compose",
		.examples = "  vmcred compose web-vm\n",
		.arguments = "VM [-- PROGRAM ARGUMENT...]",
		.about = "Show the OEM strings that `vmcred run` would pass on: names, sizes and "
			 "their share of the limits, never values. Nothing is started.",
		.options = options,
		.has_json = true,
		.arguments_min = 1,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_vmm_launch_ struct vmm_launch launch = {.report = &cli->report};
	_cleanup_error_ struct error refusal = {0};
	const struct config_vm *vm;
	int first, refused, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r == CLI_HELPED ? 0 : r;
	r = launch_declaration_load(cli, &config, err);
	if (r < 0)
		return r;
	vm = config_vm_get(&config, argv[first], err);
	if (!vm)
		return -(int)err->code;
	/* With a command line, given or declared, it shows what `run` would do with that. */
	launch.argv = argv[first + 1] ? argv + first + 1 : vm->command;
	if (launch.argv && launch.argv[0]) {
		launch.program = launch.name = launch.argv[0];
		r = launch_options_apply(&launch, vm, NULL, err);
		if (r == 0)
			r = vmm_prepare(&launch, err);
	}
	if (r == 0)
		r = oem_list_compose(&launch.list, vm, credentials, &cli->report, err);
	if (r == 0)
		r = vmm_preview_add(&launch, vm, err);
	if (r < 0)
		return r;
	/* Printed first: the table shows best why something does not fit. */
	refused = vmm_check(&launch, &refusal);
	if (cli->json)
		r = json_print(vm->name, &launch, err);
	else
		text_print(&launch);
	if (r == 0)
		r = vmm_list_check(&launch.list, vmm_transport_find(&launch), err);
	if (r < 0 || refused == 0)
		return r;
	*err = refusal;
	refusal = (struct error){0};
	return refused;
}
