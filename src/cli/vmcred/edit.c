/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/editor.h"
#include "cli/vmcred/commands.h"

struct edit {
	struct cli *cli;
	struct cli_identity identity;
	struct config config;
	int store_dirfd; /* owned */
	struct vars_location location;
	bool allow_empty;
	bool is_new;
	struct secret before; /* the stored value */
	struct secret text;   /* the edited one */
	struct editor editor;
	bool is_kept; /* the text is worth keeping after a failure */
};

static void edit_destroy(struct edit *edit)
{
	age_identities_destroy(&edit->identity.identities);
	config_destroy(&edit->config);
	cleanup_close_fd(&edit->store_dirfd);
	secret_destroy(&edit->before);
	secret_destroy(&edit->text);
}

/* Reads the value. Returns 1, or 0 if it does not exist. */
static int value_read(struct edit *edit, struct secret *value, struct error *err)
{
	struct sops_keyring keyring = {0};
	int r = vars_store_has(edit->store_dirfd, &edit->location, err);

	if (r <= 0)
		return r;
	if (edit->location.file->secret)
		r = vars_keyring_load(edit->store_dirfd, &edit->location, cli_identity_get,
				      &edit->identity, &keyring, err);
	if (r >= 0)
		r = vars_store_read(edit->store_dirfd, &edit->location, &keyring, value, err);
	return r < 0 ? r : 1;
}

static bool ends_with_line(const struct secret *text)
{
	return text->size > 0 && text->data[text->size - 1] == '\n';
}

/* Editors end the last line. Of a value without that, such as a password, it must not become part;
 * nor of a new one of a single line. */
static void line_end_remove(struct edit *edit)
{
	struct secret *text = &edit->text;

	if (!ends_with_line(text) || ends_with_line(&edit->before))
		return;
	if (!edit->is_new || memchr(text->data, '\n', text->size) == text->data + text->size - 1)
		text->size--;
}

static int edit_until_valid(struct edit *edit, const char *name, struct error *err)
{
	for (;;) {
		int r = editor_run(&edit->editor, err);

		if (r < 0)
			return r;
		secret_destroy(&edit->text);
		r = editor_read(&edit->editor, VARS_SECRET_SIZE_MAX, &edit->text, err);
		if (r == 0)
			line_end_remove(edit);
		if (r == 0 && edit->text.size == 0 && edit->before.size > 0 && !edit->allow_empty)
			r = cli_value_empty(err);
		if (r == 0)
			return 0;
		r = editor_again(name, &edit->is_kept, err);
		if (r < 0)
			return r;
	}
}

/* Fails if another process stored a value meanwhile. */
static int untouched_check(struct edit *edit, const char *name, struct error *err)
{
	_cleanup_secret_ struct secret now = {0};
	int r = value_read(edit, &now, err);

	if (r < 0)
		return r;
	if (edit->is_new == (r == 0) && secret_equal(secret_span(&now), secret_span(&edit->before)))
		return 0;
	return error_set(err, VMCRED_FAILED, "%s was changed by another process during the edit",
			 name);
}

static int edit_store(struct edit *edit, const char *name, struct error *err)
{
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int r;

	if (secret_equal(secret_span(&edit->text), secret_span(&edit->before)) &&
	    !(edit->is_new && edit->allow_empty)) {
		printf("%s is unchanged\n", name);
		return 0;
	}
	edit->is_kept = true;
	r = vars_lock(&lock, edit->store_dirfd, &edit->cli->report, err);
	if (r == 0)
		r = untouched_check(edit, name, err);
	return r < 0 ? r
		     : cli_value_store(edit->cli, &edit->config, edit->store_dirfd, &edit->location,
				       &edit->identity, secret_span(&edit->text), err);
}

int command_edit(struct cli *cli, int argc, char **argv, struct error *err)
{
	__attribute__((cleanup(edit_destroy))) struct edit edit = {
		.cli = cli,
		.identity.report = &cli->report,
		.store_dirfd = -1,
		.editor = EDITOR_NONE,
	};
	const struct cli_option options[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &edit.identity.path},
		{"allow-empty", NULL, "store an empty value", &edit.allow_empty},
		{0},
	};
	const struct cli_usage usage = {
		.command = "edit",
		.examples = "  vmcred edit host1 github/token\n",
		.arguments = "MACHINE GENERATOR/FILE",
		.about = "Change a value in your editor ($SOPS_EDITOR, $EDITOR, vim, nano or vi), "
			 "in a private directory in memory. The rules are those of `vmcred set`.",
		.options = options,
		.arguments_min = 2,
		.arguments_max = 2,
	};
	_cleanup_free_ char *name = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &edit.config, &edit.store_dirfd, err);
	if (r == 0)
		r = cli_location_find(&edit.config, argv[first], argv[first + 1], &edit.location,
				      err);
	if (r < 0)
		return r;
	name = cli_location_text(&edit.location);
	if (!name)
		return error_no_memory(err);
	r = value_read(&edit, &edit.before, err);
	if (r < 0)
		return r;
	edit.is_new = r == 0;
	r = editor_begin(&edit.editor, edit.location.file->name, secret_span(&edit.before),
			 &cli->report, err);
	if (r == 0)
		r = edit_until_valid(&edit, name, err);
	if (r == 0)
		r = edit_store(&edit, name, err);
	if (r < 0 && edit.is_kept)
		(void)editor_keep(&edit.editor, err);
	return editor_end(&edit.editor, err);
}
