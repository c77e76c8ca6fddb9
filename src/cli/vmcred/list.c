/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "cli/vmcred/commands.h"

#define COLUMNS 5

static const char *const titles[COLUMNS] = {"SECRET", "AGE", "VALID UNTIL", "VMS", "READERS"};

struct row {
	char *cells[COLUMNS]; /* owned */
};

struct listing {
	json_t *list; /* NULL: rows */
	const struct config *config;
	json_t *vms;      /* owned; "GENERATOR/FILE": the indices of the VMs that load it */
	struct row *rows; /* owned */
	size_t count, capacity;
	bool no_memory;
};

static void listing_destroy(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		for (size_t j = 0; j < COLUMNS; j++)
			free(listing->rows[i].cells[j]);
	}
	free(listing->rows);
	json_decref(listing->vms);
}

static void uses_add(json_t *vms, const struct config_load *loads, size_t count, size_t index)
{
	for (size_t i = 0; i < count; i++) {
		json_t *indices = json_object_get(vms, loads[i].source);

		if (!indices) {
			indices = json_array();
			json_object_set_new(vms, loads[i].source, indices);
		}
		json_array_append_new(indices, json_integer((json_int_t)index));
	}
}

static json_t *uses_find(const struct config *config)
{
	json_t *vms = json_object();

	for (size_t i = 0; vms && i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		uses_add(vms, vm->loads, vm->load_count, i);
		uses_add(vms, vm->channel, vm->channel_count, i);
	}
	return vms;
}

/* A new list of the names of the VMs that load the file. */
static json_t *uses_of(const struct listing *listing, const struct vars_location *location)
{
	_cleanup_free_ char *key =
		text_format("%s/%s", location->generator->name, location->file->name);
	const json_t *indices = key ? json_object_get(listing->vms, key) : NULL;
	json_t *names = json_array();
	json_int_t last = -1;

	for (size_t i = 0; i < json_array_size(indices); i++) {
		const json_int_t index = json_integer_value(json_array_get(indices, i));
		const struct config_vm *vm = &listing->config->vms[index];

		/* A VM may load a file under two names. */
		if (index != last && (!location->machine || !vm->machine ||
				      strcmp(vm->machine, location->machine) == 0))
			json_array_append_new(names, json_string(vm->name));
		last = index;
	}
	return names;
}

/* A new text, "ada, bob"; "-" for none. */
static char *names_join(const json_t *names)
{
	_cleanup_strings_ struct strings list = {0};
	_cleanup_error_ struct error ignored = {0};

	for (size_t i = 0; i < json_array_size(names); i++)
		(void)strings_add(&list, json_string_value(json_array_get(names, i)), &ignored);
	return list.count > 0 ? strings_join(&list, ", ") : strdup("-");
}

/* Whether the file is a certificate that only its readers can see. */
static bool is_encrypted_certificate(const struct vars_location *location)
{
	const struct config_generator *generator = location->generator;

	for (size_t i = 0; location->file->secret && i < generator->file_count; i++) {
		const struct config_builtin *kind = &generator->files[i].builtin;

		if (kind->type == CONFIG_BUILTIN_TLS && kind->public_file &&
		    strcmp(kind->public_file, location->file->name) == 0)
			return true;
	}
	return false;
}

static char *age_text(const struct vars_location *location, const struct vars_finding *finding)
{
	const bool is_overdue = finding->fault == VARS_FAULT_OVERDUE;
	_cleanup_free_ char *age = NULL;

	/* `vmcred check` says why. */
	if (finding->failure)
		return strdup("unreadable");
	if (!finding->exists)
		return strdup("missing");
	if (!location->file->secret)
		return strdup("-");
	age = cli_age_text(finding->modified);
	return age ? text_format("%s%s", age, is_overdue ? ", overdue" : "") : NULL;
}

static char *validity_text(const struct vars_location *location, const struct vars_finding *finding)
{
	char text[CLI_TIME_SIZE];

	if (cli_time_text(finding->not_after, true, text))
		return text_format("%.*s", (int)strlen("2006-01-02"), text);
	return strdup(finding->exists && is_encrypted_certificate(location) ? "(encrypted)" : "-");
}

static void row_add(struct listing *listing, const struct vars_location *location,
		    const struct vars_finding *finding)
{
	_cleanup_free_ char *name = cli_location_text(location);
	_cleanup_json_ json_t *vms = uses_of(listing, location);
	_cleanup_error_ struct error ignored = {0};
	struct row *row;

	if (array_grow(&listing->rows, listing->count, &listing->capacity, sizeof(*row), &ignored) <
	    0) {
		listing->no_memory = true;
		return;
	}
	row = &listing->rows[listing->count++];
	row->cells[0] =
		name ? text_format("%s%s", name, location->file->secret ? "" : " (public)") : NULL;
	row->cells[1] = age_text(location, finding);
	row->cells[2] = validity_text(location, finding);
	row->cells[3] = names_join(vms);
	row->cells[4] = finding->readers && finding->readers->count > 0
				? strings_join(finding->readers, ", ")
				: strdup("-");
	for (size_t i = 0; i < COLUMNS; i++)
		listing->no_memory |= !row->cells[i];
}

static void object_add(const struct listing *listing, const struct vars_location *location,
		       const struct vars_finding *finding)
{
	const struct config_file *file = location->file;
	_cleanup_free_ char *problem = finding->failure ? error_line(finding->failure) : NULL;
	char modified[CLI_TIME_SIZE], not_after[CLI_TIME_SIZE];

	json_array_append_new(
		listing->list,
		json_pack("{s:s?, s:s, s:s, s:b, s:b, s:s, s:b, s:s?, s:i, s:b, s:s?, s:b, s:s?, "
			  "s:o, s:o}",
			  "machine", location->machine, "generator", location->generator->name,
			  "file", file->name, "secret", file->secret, "deploy", file->deploy,
			  "neededFor", config_phase_get(file->needed_for)->name, "there",
			  finding->exists, "modified",
			  cli_time_text(finding->modified, true, modified), "rotateAfterDays",
			  (int)location->generator->rotate_days, "overdue",
			  finding->fault == VARS_FAULT_OVERDUE, "notAfter",
			  cli_time_text(finding->not_after, true, not_after),
			  "encryptedCertificate", is_encrypted_certificate(location), "problem",
			  problem, "vms", uses_of(listing, location), "readers",
			  cli_json_texts(finding->readers ? finding->readers->items : NULL)));
}

static void file_list(const struct vars_location *location, const struct vars_finding *finding,
		      void *data)
{
	struct listing *listing = data;

	/* Secrets that no generator declares, and machines without a key: `vmcred check`. */
	if (!location->generator)
		return;
	if (listing->list)
		object_add(listing, location, finding);
	else
		row_add(listing, location, finding);
}

static void rows_print(const struct listing *listing)
{
	int widths[COLUMNS] = {0};

	for (size_t i = 0; i < COLUMNS; i++) {
		widths[i] = (int)strlen(titles[i]);
		for (size_t j = 0; j < listing->count; j++) {
			const int width = (int)strlen(listing->rows[j].cells[i]);

			widths[i] = width > widths[i] ? width : widths[i];
		}
	}
	for (size_t j = 0; j <= listing->count; j++) {
		for (size_t i = 0; i < COLUMNS; i++) {
			const char *text = j == 0 ? titles[i] : listing->rows[j - 1].cells[i];

			/* The last column is as wide as it is. */
			if (i + 1 == COLUMNS)
				printf("%s\n", text);
			else
				printf("%-*s  ", widths[i], text);
		}
	}
}

static int listing_print(const struct listing *listing, struct error *err)
{
	if (listing->no_memory)
		return error_no_memory(err);
	if (listing->list)
		cli_json_print(listing->list);
	else
		rows_print(listing);
	return 0;
}

int command_list(struct cli *cli, int argc, char **argv, struct error *err)
{
	const struct cli_option options[] = {{0}};
	const struct cli_usage usage = {
		.command = "list",
		.examples = "  vmcred list host1\n",
		.arguments = "[MACHINE...]",
		.about = "List the declared secrets: their age, until when they are valid, the VMs "
			 "that load them, and who can read them. Decrypts nothing.",
		.options = options,
		.has_json = true,
		.arguments_max = -1,
	};
	__attribute__((cleanup(listing_destroy))) struct listing listing = {0};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_json_ json_t *list = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);
	struct vars_check_options check = {
		.describes = true, .checked = file_list, .data = &listing};

	if (r != 0)
		return r;
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r < 0)
		return r;
	list = cli->json ? json_array() : NULL;
	listing.list = list;
	listing.config = &config;
	listing.vms = uses_find(&config);
	check.machines = first < argc ? argv + first : NULL;
	r = vars_check(&config, store_dirfd, &check, &cli->report, err);
	progress_clear(&cli->progress);
	return r < 0 ? r : listing_print(&listing, err);
}
