/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translation of Cloud Hypervisor's command line, for cloud_hypervisor_lines.py: without
 * arguments it prints every option and key of the tables, one a line; with a command line, its
 * translation.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

static void scope_print(const struct option_scope *scope)
{
	printf("\t%d\t%d\t%s\n", scope->since, scope->until, scope->feature ? scope->feature : "-");
}

static void keys_print(const char *option, const struct option_key *keys)
{
	for (; keys && keys->name; keys++) {
		printf("%s %s", option, keys->name);
		scope_print(&keys->scope);
		keys_print(option, keys->keys);
	}
}

static void tables_print(void)
{
	for (const struct option_row *row = cloud_hypervisor_options; row->name; row++) {
		printf("%s", row->name);
		scope_print(&row->scope);
		keys_print(row->name, row->keys);
	}
}

static int translation_print(char *const *argv)
{
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config config = {0};
	_cleanup_error_ struct error err = {0};
	_cleanup_json_ json_t *command = json_array();
	_cleanup_json_ json_t *document = NULL;

	if (cloud_hypervisor_config_read(argv, &config, &err) < 0) {
		_cleanup_free_ char *line = error_line(&err);

		fprintf(stderr, "%s\n", line);
		return err.code;
	}
	for (size_t i = 1; i < config.argv.count; i++)
		json_array_append_new(command, json_string(config.argv.items[i]));
	document = json_pack("{s:O, s:O}", "command", command, "vm", config.vm);
	json_dumpf(document, stdout, JSON_SORT_KEYS);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return translation_print(argv);
	tables_print();
	return EXIT_SUCCESS;
}
