/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sops_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/program.h"
#include "cli/cli.h"
#include "cli/terminal.h"

/* A list of a thousand keys takes less than 100 KiB. */
#define KEYS_SIZE_MAX ((size_t)1024 * 1024)

enum source_kind {
	SOURCE_VALUE,       /* a variable that contains keys */
	SOURCE_FILE_NAMED,  /* a variable with the path of a key file */
	SOURCE_CONFIG_FILE, /* a file below the user's configuration directory */
	SOURCE_HOME_FILE,   /* a file below the home directory */
	SOURCE_COMMAND,     /* a variable with a command that prints keys */
};

/* sops 3.13, age/keysource.go; the sources that cost a process are last. */
static const struct source {
	const char *name;
	enum source_kind type;
} sources[] = {
	{"SOPS_AGE_KEY", SOURCE_VALUE},
	{"SOPS_AGE_KEY_FILE", SOURCE_FILE_NAMED},
	{"sops/age/keys.txt", SOURCE_CONFIG_FILE},
	{"SOPS_AGE_SSH_PRIVATE_KEY_FILE", SOURCE_FILE_NAMED},
	{".ssh/id_ed25519", SOURCE_HOME_FILE},
	{".ssh/id_rsa", SOURCE_HOME_FILE},
	{"SOPS_AGE_KEY_CMD", SOURCE_COMMAND},
	{"SOPS_AGE_SSH_PRIVATE_KEY_CMD", SOURCE_COMMAND},
};

#define SOURCES (sizeof(sources) / sizeof(sources[0]))

void sops_keys_destroy(struct sops_keys *keys)
{
	age_identities_destroy(&keys->identities);
	strings_destroy(&keys->commands_asked);
	free(keys->missing);
	free(keys->failed);
	*keys = (struct sops_keys){0};
}

/* Without memory the list stays as it is: it is only explanation. */
static void list_append(char **list, const char *separator, const char *text)
{
	char *longer = *list ? text_format("%s%s%s", *list, separator, text) : strdup(text);

	if (longer) {
		free(*list);
		*list = longer;
	}
}

static void failure_note(struct sops_keys *keys, const char *name, struct error *reason)
{
	_cleanup_free_ char *text = text_format("%s: %s", name, reason->text ? reason->text : "?");

	if (text)
		list_append(&keys->failed, "; ", text);
	error_clear(reason);
}

/* Keys separated by white space; a line that begins with '#' is a comment. */
static void value_load(struct sops_keys *keys, const char *name, const char *value)
{
	_cleanup_error_ struct error reason = {0};

	while (*value) {
		size_t line = strcspn(value, "\n"), at = *value == '#' ? line : 0;

		while (at < line) {
			size_t size = strcspn(value + at, " \t\r\n");

			if (size > 0 && age_identities_add(&keys->identities,
							   span_of(value + at, size), &reason) < 0)
				failure_note(keys, name, &reason);
			at += size + 1;
		}
		value += line + (value[line] == '\n');
	}
}

/* `name` is the variable that named the file, or the path of a default file, which may be missing.
 */
static void file_load(struct sops_keys *keys, const struct report *report, const char *name,
		      const char *path)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0 && errno == ENOENT && strcmp(name, path) == 0) {
		list_append(&keys->missing, ", ", path);
		return;
	}
	if (fd < 0) {
		error_set_errno(&reason, errno, "opening %s", path);
		failure_note(keys, name, &reason);
		return;
	}
	r = age_identity_fd_check(fd, path, report, &reason);
	if (r == 0)
		r = secret_read(&text, fd, KEYS_SIZE_MAX, path, &reason);
	if (r == 0)
		r = age_identities_parse(secret_span(&text), path, &keys->identities, &reason);
	if (r < 0)
		failure_note(keys, name, &reason);
}

static void file_below_load(struct sops_keys *keys, const struct report *report,
			    const char *directory, const char *name)
{
	_cleanup_free_ char *path = directory ? path_join(directory, name) : NULL;

	if (path)
		file_load(keys, report, path, path);
}

static void source_load(struct sops_keys *keys, const struct report *report,
			const struct source *source)
{
	const char *value = getenv(source->name), *home = getenv("HOME"), *config;
	_cleanup_free_ char *below_home = NULL;

	switch (source->type) {
	case SOURCE_CONFIG_FILE:
		config = getenv("XDG_CONFIG_HOME");
		if (!config || *config != '/') {
			below_home = home ? path_join(home, ".config") : NULL;
			config = below_home;
		}
		file_below_load(keys, report, config, source->name);
		return;
	case SOURCE_HOME_FILE:
		file_below_load(keys, report, home, source->name);
		return;
	case SOURCE_VALUE:
		if (value)
			value_load(keys, source->name, value);
		break;
	case SOURCE_FILE_NAMED:
		if (value)
			file_load(keys, report, source->name, value);
		break;
	case SOURCE_COMMAND: /* run for one recipient at a time: recipient_ask() */
		break;
	}
	if (!value)
		list_append(&keys->missing, ", ", source->name);
}

/* Runs a command line without input and adds its output. `what` names it in errors. */
static int command_output(const char *command, const char *what, char *variable,
			  struct secret *output, struct error *err)
{
	_cleanup_free_ char **environment = program_environment_with(variable);
	_cleanup_strings_ struct strings argv = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_fclose_ FILE *stream = NULL;
	struct program program = {.environment = environment, .fds = {-1, -1, STDERR_FILENO}};
	pid_t pid = 0;
	int r;

	if (!environment)
		return error_no_memory(err);
	r = command_line_split(command, what, &argv, err);
	if (r < 0)
		return r;
	program.file = argv.items[0];
	program.argv = argv.items;
	r = program_start_reading(&program, &stream, &pid, err);
	if (r < 0)
		return error_wrap(err, "%s", what);
	r = secret_read(output, fileno(stream), KEYS_SIZE_MAX, what, err);
	if (r == 0)
		return program_end_reading(&stream, pid, what, err);
	(void)program_end_reading(&stream, pid, what, &ignored);
	return r;
}

/* Runs the commands for one recipient, once. */
static int recipient_ask(struct sops_keys *keys, const char *recipient, struct error *err)
{
	_cleanup_free_ char *variable = text_format("SOPS_AGE_RECIPIENT=%s", recipient);

	if (strings_contain(&keys->commands_asked, recipient))
		return 0;
	if (!variable)
		return error_no_memory(err);
	for (size_t i = 0; i < SOURCES; i++) {
		const char *name = sources[i].name, *command = getenv(name);
		_cleanup_error_ struct error reason = {0};
		_cleanup_secret_ struct secret output = {0};
		int r;

		if (sources[i].type != SOURCE_COMMAND || !command)
			continue;
		r = command_output(command, name, variable, &output, &reason);
		if (r == 0)
			r = age_identities_parse(secret_span(&output), name, &keys->identities,
						 &reason);
		if (r < 0)
			failure_note(keys, name, &reason);
	}
	return strings_add(&keys->commands_asked, recipient, err);
}

static bool has_identity_for(const struct sops_keys *keys, const char *recipient)
{
	for (size_t i = 0; i < keys->identities.count; i++) {
		if (strcmp(age_identity_recipient(keys->identities.items[i]), recipient) == 0)
			return true;
	}
	return false;
}

/* Whether an identity found so far is one of the recipients. */
static bool is_covered(const struct sops_keys *keys, const struct sops_document *document)
{
	const struct sops_policy *policy = document ? sops_document_policy(document) : NULL;

	/* Several groups may need several identities. */
	if (!policy || policy->group_count != 1)
		return false;
	for (size_t i = 0; i < policy->groups[0].count; i++) {
		const struct sops_key *key = &policy->groups[0].keys[i];

		if (key->type == SOPS_KEY_AGE && has_identity_for(keys, key->text))
			return true;
	}
	return false;
}

static int commands_load(struct sops_keys *keys, const struct sops_document *document,
			 struct error *err)
{
	const struct sops_policy *policy = sops_document_policy(document);
	int r = 0;

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; r == 0 && j < policy->groups[i].count; j++) {
			const struct sops_key *key = &policy->groups[i].keys[j];

			if (is_covered(keys, document))
				return 0;
			if (key->type == SOPS_KEY_AGE)
				r = recipient_ask(keys, key->text, err);
		}
	}
	return r;
}

bool sops_keys_ask_commands(void)
{
	for (size_t i = 0; i < SOURCES; i++) {
		if (sources[i].type == SOURCE_COMMAND && getenv(sources[i].name))
			return true;
	}
	return false;
}

void sops_keyring_prepare(struct sops_keys *keys)
{
	if (keys->keyring.gpg)
		return;
	keys->identities.prompt = &terminal_prompt;
	keys->identities.converts_ssh = true;
	keys->keyring.identities = &keys->identities;
	keys->keyring.prompt = &terminal_prompt;
	keys->keyring.gpg = sops_gpg();
}

int sops_keys_load(struct sops_keys *keys, const struct report *report,
		   const struct sops_document *document, struct error *err)
{
	sops_keyring_prepare(keys);
	while (keys->sources_tried < SOURCES && !is_covered(keys, document))
		source_load(keys, report, &sources[keys->sources_tried++]);
	if (document && sops_keys_ask_commands() && !is_covered(keys, document))
		return commands_load(keys, document, err);
	return 0;
}

void sops_keys_explain(const struct sops_keys *keys, struct error *err)
{
	if (keys->failed)
		error_wrap(err, "%s", keys->failed);
	if (keys->missing)
		error_hint(err, "found no keys in %s", keys->missing);
}
