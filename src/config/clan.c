/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of clan's generators that vmcred does not need. Some are accepted, so that Nix can print
 * clan's generators as a declaration; others are rejected with a hint. The names are those of the
 * options in clan-core's modules/clan/export-modules/generic-generator.nix and
 * modules/clan/vars/settings-opts.nix.
 */
#include <stdio.h>

#include "base/cleanup.h"
#include "config/schema.h"

#define DERIVED "vmcred derives it: remove the key"
#define NIXS    "only Nix uses it: remove the key"

const char *schema_foreign_hint(const char *key)
{
	static const struct {
		const char *name, *hint;
	} words[] = {
		{"exists", DERIVED},
		{"finalScript", "clan derives it from the script: use \"script\""},
		{"flakePath", DERIVED},
		{"generatorName", DERIVED},
		{"migrateFact", "the store has no facts: remove the key"},
		{"path", DERIVED},
		{"pkgs", NIXS},
		{"rel_dir", DERIVED},
		{"settings", NIXS},
		{"share", "it belongs to the generator: remove the key"},
		{"sops", "use \"owner\" and \"group\""},
		{"validationHash", "clan derives it from the validation: use \"validation\""},
		{"value", "the store has the value: remove the key"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].name, key) == 0)
			return words[i].hint;
	}
	return NULL;
}

int schema_same_name(struct reader *reader, const struct yaml_node *value, void *target)
{
	char *name = NULL;
	const char *wanted = *(char **)target;
	int r = reader_string(reader, value, &name);

	if (r < 0 || strcmp(name, wanted) == 0)
		return r;
	return reader_reject(reader, value, "must be \"%s\" like its key, not \"%s\"", wanted,
			     name);
}

int schema_display(struct reader *reader, const struct yaml_node *value, void *target)
{
	static const struct reader_key keys[] = {
		{.name = "group", .read = reader_ignore},
		{.name = "helperText", .read = reader_ignore},
		{.name = "label", .read = reader_ignore},
		{.name = "required", .read = reader_ignore},
		{0},
	};

	return reader_mapping(reader, value, keys, target);
}

/* They are part of a shell assignment, in which these characters need no quotes. */
int schema_runtime_inputs(struct reader *reader, const struct yaml_node *value, void *target)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789/._+-=?";
	char ***directories = target;
	int r = reader_strings(reader, value, directories);

	for (size_t i = 0; r == 0 && *directories && (*directories)[i]; i++) {
		const char *directory = (*directories)[i];

		if (directory[0] != '/' || directory[strspn(directory, letters)] != '\0')
			return reader_reject(reader, value,
					     "must be absolute paths of letters, digits and "
					     "/._+-=?, not \"%s\"",
					     directory);
	}
	return r;
}

/* The assignment precedes the script on its first line, so that line numbers stay the same. */
int schema_script_finish(struct reader *reader, struct config_generator *generator)
{
	const char *script = generator->script;
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	if (script && *script && config_texts_count(generator->runtime_inputs) == 0)
		return 0;
	generator->script = NULL;
	if (!script || !*script)
		return 0;
	stream = open_memstream(&text, &size);
	if (!stream)
		return error_no_memory(reader->err);
	for (char **directory = generator->runtime_inputs; directory && *directory; directory++)
		fprintf(stream, "%s%s/bin:", directory == generator->runtime_inputs ? "PATH=" : "",
			*directory);
	fprintf(stream, "$PATH; %s", script);
	if (fflush(stream) != 0 || ferror(stream))
		return error_no_memory(reader->err);
	generator->script = schema_text(reader->config, text, size, reader->err);
	return generator->script ? 0 : -(int)reader->err->code;
}
