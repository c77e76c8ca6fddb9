/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clan's generators have beyond what vmcred needs, so that what Nix prints of them can be the
 * declaration: keys that say what is known anyway, and keys that have no place in it. The names are
 * those of the options in clan-core's modules/clan/export-modules/generic-generator.nix and
 * modules/clan/vars/settings-opts.nix.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/schema.h"

#define DERIVED "clan derives it, and vmcred does so itself: leave it out"
#define NIXS    "it is Nix's own: leave it out"

const char *reader_foreign_hint(const char *name)
{
	static const struct {
		const char *name, *hint;
	} words[] = {
		{"exists", DERIVED},
		{"finalScript", "clan derives it from the script: give that"},
		{"flakePath", DERIVED},
		{"generatorName", DERIVED},
		{"migrateFact", "clan's facts are no part of the store: leave it out"},
		{"path", DERIVED},
		{"pkgs", NIXS},
		{"rel_dir", DERIVED},
		{"settings", NIXS},
		{"share", "its generator says it: leave it out"},
		{"sops", "it is what owner and group are: give those"},
		{"validationHash", "clan derives it from the validation: give that"},
		{"value", "the store has the value: leave it out"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].name, name) == 0)
			return words[i].hint;
	}
	return NULL;
}

int schema_same_name(struct reader *reader, struct fy_node *value, void *target)
{
	_cleanup_free_ char *name = NULL;
	const char *wanted = *(char **)target;
	int r = reader_string(reader, value, &name);

	if (r < 0 || strcmp(name, wanted) == 0)
		return r;
	return reader_reject(reader, value, "must be \"%s\", as its key has it, not \"%s\"", wanted,
			     name);
}

static int read_unused(struct reader *reader, struct fy_node *value, void *target)
{
	(void)reader;
	(void)value;
	(void)target;
	return 0;
}

int schema_display(struct reader *reader, struct fy_node *value, void *target)
{
	static const struct reader_key keys[] = {
		{"group", read_unused, 0},
		{"helperText", read_unused, 0},
		{"label", read_unused, 0},
		{"required", read_unused, 0},
		{0},
	};

	return reader_mapping(reader, value, keys, target);
}

/* They stand in a shell's assignment, where these need no quotes. */
int schema_runtime_inputs(struct reader *reader, struct fy_node *value, void *target)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789/._+-=?";
	char ***folders = target;
	int r = reader_strings(reader, value, folders);

	for (size_t i = 0; r == 0 && *folders && (*folders)[i]; i++) {
		const char *folder = (*folders)[i];

		if (folder[0] != '/' || folder[strspn(folder, letters)] != '\0')
			return reader_reject(reader, value,
					     "must be absolute paths of letters, digits and "
					     "/._+-=?, not \"%s\"",
					     folder);
	}
	return r;
}

/* On the script's first line, so that the shell counts its lines as they are. */
int schema_script_finish(struct config_generator *generator, struct error *err)
{
	_cleanup_free_ char *script = generator->script, *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	generator->script = NULL;
	if (!script || !*script)
		return 0;
	stream = open_memstream(&text, &size);
	if (!stream)
		return error_no_memory(err);
	for (char **folder = generator->runtime_inputs; folder && *folder; folder++)
		fprintf(stream, "%s%s/bin:", folder == generator->runtime_inputs ? "PATH=" : "",
			*folder);
	fprintf(stream, "%s%s", config_texts_count(generator->runtime_inputs) > 0 ? "$PATH; " : "",
		script);
	if (fflush(stream) != 0 || ferror(stream))
		return error_no_memory(err);
	fclose(stream);
	stream = NULL;
	generator->script = pointer_release(&text);
	return 0;
}
