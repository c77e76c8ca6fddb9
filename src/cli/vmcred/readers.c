/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/text.h"
#include "cli/vmcred/commands.h"
#include "vars/access/access.h"

static const char *const states[] = {
	[ACCESS_CURRENT] = "current", [ACCESS_PARTIAL] = "partial",
	[ACCESS_MISSING] = "missing", [ACCESS_UNDECLARED] = "undeclared",
	[ACCESS_FORMER] = "former",
};

/* A reason in JSON and, before the group's name, in the table. */
static const struct {
	const char *name, *text;
} reasons[] = {
	[ACCESS_MACHINE] = {"machine", "deployed there"},
	[ACCESS_DEFAULT_GROUP] = {"default-group", "default group "},
	[ACCESS_ALL_USERS] = {"all-users", "all users"},
	[ACCESS_GROUP] = {"group", "group "},
	[ACCESS_LINK] = {"link", "link"},
};

struct query {
	const char *secret, *user, *machine; /* NULL: any */
	size_t found;                        /* readers */
};

/* GENERATOR/FILE is that of all machines; a path of the store is one secret. */
static bool is_wanted(const struct vars_location *location, void *data)
{
	const char *name = ((const struct query *)data)->secret;
	_cleanup_free_ char *path = vars_location_path(location), *text = NULL;
	const size_t size = name ? strlen(name) : 0;

	if (!name)
		return true;
	if (location->generator)
		text = text_format("%s/%s", location->generator->name, location->file->name);
	return (text && strcmp(text, name) == 0) ||
	       (path && strncmp(path, name, size) == 0 &&
		(!path[size] || strcmp(path + size, "/secret") == 0));
}

static bool is_asked(const struct query *query, const struct access_reader *reader)
{
	const bool is_user = reader->name && reader->type == VARS_USER;
	const bool is_machine = reader->name && reader->type == VARS_MACHINE;

	if (!query->user && !query->machine)
		return true;
	return (query->user && is_user && strcmp(reader->name, query->user) == 0) ||
	       (query->machine && is_machine && strcmp(reader->name, query->machine) == 0);
}

static json_t *reader_json(const struct access_reader *reader)
{
	json_t *keys = json_array(), *whys = json_array(), *object;
	char time[CLI_TIME_SIZE];

	for (size_t i = 0; i < reader->key_count; i++)
		json_array_append_new(keys, json_pack("{s:s, s:b}", "key", reader->keys[i].text,
						      "recipient", reader->keys[i].is_recipient));
	for (size_t i = 0; i < reader->why_count; i++)
		json_array_append_new(whys, json_pack("{s:s, s:s?}", "reason",
						      reasons[reader->whys[i].reason].name, "group",
						      reader->whys[i].group));
	object = json_pack("{s:s, s:s?, s:s, s:o, s:o}", "type",
			   reader->name ? vars_member_type_name(reader->type) : "key", "name",
			   reader->name, "state", states[reader->state], "keys", keys, "why", whys);
	if (reader->state == ACCESS_FORMER)
		json_object_set_new(object, "last",
				    json_pack("{s:s, s:s?, s:b}", "commit", reader->commit, "time",
					      cli_time_text(reader->commit_time, true, time),
					      "currentValue", reader->has_current_value));
	return object;
}

static json_t *secret_json(struct query *query, const struct access_secret *secret)
{
	const struct vars_location *location = secret->location;
	json_t *readers = json_array();
	char changed[CLI_TIME_SIZE];

	for (size_t i = 0; i < secret->reader_count; i++) {
		if (is_asked(query, &secret->readers[i])) {
			json_array_append_new(readers, reader_json(&secret->readers[i]));
			query->found++;
		}
	}
	return json_pack(
		"{s:s?, s:s?, s:s?, s:s, s:b, s:s?, s:i, s:i, s:o}", "machine", location->machine,
		"generator", location->generator ? location->generator->name : NULL, "file",
		location->file ? location->file->name : NULL, "path", secret->path, "there",
		secret->exists, "modified", cli_time_text(secret->changed, true, changed),
		"keyGroups", (int)secret->groups, "keyGroupsNeeded", (int)secret->groups_min,
		"readers", readers);
}

static void access_print_json(struct query *query, const struct access *access)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; i < access->count; i++) {
		const size_t before = query->found;
		json_t *object = secret_json(query, &access->secrets[i]);

		if (query->found > before || (!query->user && !query->machine))
			json_array_append_new(list, object);
		else
			json_decref(object);
	}
	cli_json_print(list);
}

/* "user ada", or the key; NULL without memory. */
static char *reader_text(const struct access_reader *reader)
{
	return reader->name
		       ? text_format("%s %s", vars_member_type_name(reader->type), reader->name)
		       : text_visible(span_of_text(reader->keys[0].text), false);
}

static void why_print(const struct access_secret *secret, const struct access_reader *reader)
{
	const char *separator = "";
	char time[CLI_TIME_SIZE];

	if (reader->state == ACCESS_FORMER)
		printf("%s in commit %.12s of %s",
		       reader->has_current_value ? "had the current value" : "had older values",
		       reader->commit, cli_time_text(reader->commit_time, false, time));
	for (size_t i = 0; i < reader->why_count; i++) {
		const struct access_why *why = &reader->whys[i];

		printf("%s%s%s", separator, reasons[why->reason].text,
		       why->group ? why->group : "");
		separator = ", ";
	}
	if (reader->state == ACCESS_UNDECLARED)
		printf("a recipient of the document");
	if (secret->groups > 1)
		printf(" (with %zu of %zu key groups)", secret->groups_min, secret->groups);
	printf("\n");
}

/* One row for each reader, so that grep(1) finds all that it needs. The columns are as wide as
 * their widest names; `print` is false to find that out. */
static void row_take(const struct access_secret *secret, const struct access_reader *reader,
		     int widths[2], bool print)
{
	_cleanup_free_ char *name = cli_location_text(secret->location);
	_cleanup_free_ char *text = reader ? reader_text(reader) : strdup("-");
	_cleanup_free_ char *age =
		secret->changed > 0 ? cli_age_text(secret->changed) : strdup("-");
	char changed[CLI_TIME_SIZE];

	if (!name || !text || !age)
		return;
	if (!print) {
		const int width[2] = {(int)strlen(name), (int)strlen(text)};

		widths[0] = width[0] > widths[0] ? width[0] : widths[0];
		/* A key may be as long as a line. */
		if (reader && reader->name && width[1] > widths[1])
			widths[1] = width[1];
		return;
	}
	printf("%-*s  %-19s  %-8s  %-*s  %-10s  ", widths[0], name,
	       cli_time_text(secret->changed, false, changed), age, widths[1], text,
	       reader ? states[reader->state] : "-");
	if (reader)
		why_print(secret, reader);
	else
		printf("%s\n", secret->exists ? "cannot be read" : "not generated yet");
}

static void rows_take(struct query *query, const struct access *access, int widths[2], bool print)
{
	for (size_t i = 0; i < access->count; i++) {
		const struct access_secret *secret = &access->secrets[i];

		if ((!secret->exists || secret->unreadable.text) && !query->user && !query->machine)
			row_take(secret, NULL, widths, print);
		for (size_t j = 0; j < secret->reader_count; j++) {
			if (!is_asked(query, &secret->readers[j]))
				continue;
			row_take(secret, &secret->readers[j], widths, print);
			query->found += print;
		}
	}
}

static void access_print(struct query *query, const struct access *access)
{
	int widths[2] = {(int)strlen("SECRET"), (int)strlen("READER")};

	rows_take(query, access, widths, false);
	printf("%-*s  %-19s  %-8s  %-*s  %-10s  WHY\n", widths[0], "SECRET", "CHANGED", "AGE",
	       widths[1], "READER", "STATE");
	rows_take(query, access, widths, true);
}

/* A name that nobody has must not look like a reader of nothing. */
static int query_check(const struct query *query, const struct config *config, int store_dirfd,
		       const struct access *access, struct error *err)
{
	if (query->secret && access->count == 0) {
		cli_secret_undeclared(config, query->secret, err);
		return err->hint ? -(int)err->code
				 : error_hint(err, "use GENERATOR/FILE, or the path of a secret in "
						   "the store");
	}
	for (size_t i = 0; i < access->count; i++) {
		for (size_t j = 0; j < access->secrets[i].reader_count; j++) {
			if (is_asked(query, &access->secrets[i].readers[j]))
				return 0;
		}
	}
	if (query->user && vars_member_check(store_dirfd, VARS_USER, query->user, err) < 0)
		return -(int)err->code;
	return query->machine ? vars_member_check(store_dirfd, VARS_MACHINE, query->machine, err)
			      : 0;
}

static int unreadable_report(const struct cli *cli, const struct access *access, struct error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < access->count; i++) {
		_cleanup_free_ char *line = NULL;

		if (!access->secrets[i].unreadable.text)
			continue;
		count++;
		line = error_line(&access->secrets[i].unreadable);
		report_message(&cli->report, REPORT_WARNING, "%s", line ? line : "");
	}
	return count > 0 ? error_set(err, VMCRED_FAILED, "%zu secret%s could not be read", count,
				     count == 1 ? "" : "s")
			 : 0;
}

static int history_read(const struct cli *cli, int store_dirfd, struct access *access,
			struct error *err)
{
	bool is_shallow = false;
	int r = access_read_history(access, store_dirfd, &is_shallow, err);

	if (r == 0 && is_shallow)
		report_message(&cli->report, REPORT_WARNING,
			       "this is a shallow clone: readers in older commits are not shown");
	return r;
}

int command_readers(struct cli *cli, int argc, char **argv, struct error *err)
{
	bool history = false;
	struct query query = {0};
	const struct cli_option options[] = {
		{"user", "USER", "only what this user can read", &query.user},
		{"machine", "MACHINE", "only what this machine can read", &query.machine},
		{"history", NULL, "also former readers, from the commits of the git repository",
		 &history},
		{0},
	};
	const struct cli_usage usage = {
		.command = "readers",
		.examples = "  vmcred readers github/token\n",
		.arguments = "[GENERATOR/FILE | PATH]",
		.about = "Show who can read each secret, and why: the recipients of its document, "
			 "compared with the declared readers. Decrypts nothing.",
		.options = options,
		.has_json = true,
		.arguments_max = 1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_access_ struct access access = {0};
	_cleanup_close_ int store_dirfd = -1;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	query.secret = first < argc ? argv[first] : NULL;
	cli->threads = pool_threads();
	cli->load = CONFIG_WHOLE;
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = access_read(&config, store_dirfd, is_wanted, &query, &cli->report, &access,
				err);
	if (r == 0 && history)
		r = history_read(cli, store_dirfd, &access, err);
	if (r == 0)
		r = query_check(&query, &config, store_dirfd, &access, err);
	if (r < 0)
		return r;
	if (cli->json)
		access_print_json(&query, &access);
	else
		access_print(&query, &access);
	return unreadable_report(cli, &access, err);
}
