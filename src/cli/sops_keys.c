/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sops_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/child.h"
#include "cli/terminal.h"

/* A list of a thousand keys takes less than 100 KiB. */
#define KEY_FILE_SIZE_MAX ((size_t)1024 * 1024)

/* sops tells a command of SOPS_AGE_KEY_CMD so which recipient's key is wanted. */
#define RECIPIENT_VARIABLE "SOPS_AGE_RECIPIENT"

enum source_kind {
	SOURCE_VALUE,       /* a variable with the keys in it */
	SOURCE_FILE_NAMED,  /* a variable with a file's name */
	SOURCE_CONFIG_FILE, /* a file in the user's configuration */
	SOURCE_HOME_FILE,   /* a file in the user's home */
	SOURCE_COMMAND,     /* a variable with a command that prints them */
};

/* sops 3.13, age/keysource.go, with what costs a process last. */
static const struct source {
	const char *name;
	enum source_kind kind;
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
	for (size_t i = 0; i < keys->commands_asked_count; i++)
		free(keys->commands_asked[i]);
	free(keys->commands_asked);
	free(keys->missing);
	free(keys->failed);
	*keys = (struct sops_keys){0};
}

/* Appends to a list in words; without memory the list stays shorter, which is for reading only. */
static void list_append(char **list, const char *separator, const char *text)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? separator : "", text) < 0)
		return;
	free(*list);
	*list = longer;
}

/* Keeps the reason why a source gave nothing. */
static void failure_note(struct sops_keys *keys, const char *name, struct error *reason)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s: %s", name, reason->text ? reason->text : "?") >= 0)
		list_append(&keys->failed, "; ", text);
	else
		text = NULL;
	error_clear(reason);
}

/* The keys in a variable, separated by any white space; a line that begins with '#' is a comment.
 */
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

/* sops takes a key file of any mode; we take it too, and say what is wrong with it. */
static void mode_warn(const struct report *report, int fd, const char *path)
{
	struct stat status;

	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	    (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		report_message(report, REPORT_WARNING,
			       "the key file %s is not private: chmod 600 %s", path, path);
}

static void file_load(struct sops_keys *keys, const struct report *report, const char *name,
		      const char *path)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_close_ int fd = -1;
	int r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT && strcmp(name, path) == 0) {
		list_append(&keys->missing, ", ", path);
		return;
	}
	if (fd < 0) {
		error_set_errno(&reason, errno, "opening %s", path);
		failure_note(keys, name, &reason);
		return;
	}
	mode_warn(report, fd, path);
	r = secret_read(&text, fd, KEY_FILE_SIZE_MAX, path, &reason);
	if (r == 0)
		r = age_identities_parse(secret_span(&text), path, &keys->identities, &reason);
	if (r < 0)
		failure_note(keys, name, &reason);
}

static void folder_file_load(struct sops_keys *keys, const struct report *report,
			     const char *folder, const char *below, const char *name)
{
	_cleanup_free_ char *parent = folder ? path_join(folder, below) : NULL;
	_cleanup_free_ char *path = parent ? path_join(parent, name) : NULL;

	if (path)
		file_load(keys, report, path, path);
}

static bool is_asked(const struct sops_keys *keys, const char *recipient)
{
	for (size_t i = 0; i < keys->commands_asked_count; i++) {
		if (strcmp(keys->commands_asked[i], recipient) == 0)
			return true;
	}
	return false;
}

static void command_load(struct sops_keys *keys, const char *name, const char *recipient)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret output = {0};
	_cleanup_free_ char *variable = NULL;
	const char *command = getenv(name);
	int r;

	if (!command)
		return;
	if (asprintf(&variable, RECIPIENT_VARIABLE "=%s", recipient) < 0) {
		variable = NULL;
		return;
	}
	r = child_output(command, name, variable, KEY_FILE_SIZE_MAX, &output, &reason);
	if (r == 0)
		r = age_identities_parse(secret_span(&output), name, &keys->identities, &reason);
	if (r < 0)
		failure_note(keys, name, &reason);
}

static void source_load(struct sops_keys *keys, const struct report *report,
			const struct source *source)
{
	const char *value = getenv(source->name);

	switch (source->kind) {
	case SOURCE_VALUE:
		if (value)
			value_load(keys, source->name, value);
		break;
	case SOURCE_FILE_NAMED:
		if (value)
			file_load(keys, report, source->name, value);
		break;
	case SOURCE_CONFIG_FILE:
		value = getenv("XDG_CONFIG_HOME");
		if (value && *value == '/')
			folder_file_load(keys, report, value, "", source->name);
		else
			folder_file_load(keys, report, getenv("HOME"), ".config", source->name);
		return;
	case SOURCE_HOME_FILE:
		folder_file_load(keys, report, getenv("HOME"), "", source->name);
		return;
	case SOURCE_COMMAND:
		break;
	}
	if (!value)
		list_append(&keys->missing, ", ", source->name);
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

static int asked_add(struct sops_keys *keys, const char *recipient, struct error *err)
{
	char **larger =
		reallocarray(keys->commands_asked, keys->commands_asked_count + 1, sizeof(char *));

	if (!larger)
		return error_no_memory(err);
	keys->commands_asked = larger;
	larger[keys->commands_asked_count] = strdup(recipient);
	if (!larger[keys->commands_asked_count])
		return error_no_memory(err);
	keys->commands_asked_count++;
	return 0;
}

/* Asks the commands for one recipient's key, once. */
static int recipient_ask(struct sops_keys *keys, const char *recipient, struct error *err)
{
	if (is_asked(keys, recipient))
		return 0;
	for (size_t i = 0; i < SOURCES; i++) {
		if (sources[i].kind == SOURCE_COMMAND)
			command_load(keys, sources[i].name, recipient);
	}
	return asked_add(keys, recipient, err);
}

static int commands_load(struct sops_keys *keys, const struct sops_document *document,
			 struct error *err)
{
	const struct sops_policy *policy = sops_document_policy(document);

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			const struct sops_key *key = &policy->groups[i].keys[j];
			int r = 0;

			if (is_covered(keys, document))
				return 0;
			if (key->type == SOPS_KEY_AGE)
				r = recipient_ask(keys, key->text, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

bool sops_keys_ask_commands(void)
{
	for (size_t i = 0; i < SOURCES; i++) {
		if (sources[i].kind == SOURCE_COMMAND && getenv(sources[i].name))
			return true;
	}
	return false;
}

void sops_keyring_prepare(struct sops_keys *keys)
{
	if (keys->keyring.gpg)
		return;
	keys->identities.prompt = &terminal_prompt;
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
