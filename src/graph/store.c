/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the store, who can read it, and what is wrong with it. */
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "graph/model.h"
#include "vars/access/access.h"

struct storing {
	struct graph *graph;
	const struct config *config;
	const struct graph_options *options;
};

static const enum graph_state fault_states[] = {
	[VARS_FAULT_NONE] = GRAPH_CURRENT,   [VARS_FAULT_MISSING] = GRAPH_MISSING,
	[VARS_FAULT_OUTDATED] = GRAPH_STALE, [VARS_FAULT_READERS] = GRAPH_STALE,
	[VARS_FAULT_EXPIRED] = GRAPH_STALE,  [VARS_FAULT_OVERDUE] = GRAPH_STALE,
	[VARS_FAULT_NO_KEY] = GRAPH_MISSING, [VARS_FAULT_NO_NAME] = GRAPH_CURRENT,
};

static const struct {
	enum graph_state state;
	const char *text;
} reader_states[] = {
	[ACCESS_CURRENT] = {GRAPH_CURRENT, NULL}, [ACCESS_PARTIAL] = {GRAPH_STALE, NULL},
	[ACCESS_MISSING] = {GRAPH_MISSING, NULL}, [ACCESS_UNDECLARED] = {GRAPH_ORPHANED, NULL},
	[ACCESS_FORMER] = {GRAPH_ORPHANED, NULL},
};

static size_t member_add(struct graph *graph, enum vars_member_type type, const char *name)
{
	static const enum graph_kind kinds[VARS_MEMBER_TYPES] = {
		[VARS_MACHINE] = GRAPH_MACHINE,
		[VARS_USER] = GRAPH_USER,
		[VARS_GROUP] = GRAPH_GROUP,
	};
	const size_t node = graph_add(graph, kinds[type], strdup(name), name);

	if (type == VARS_MACHINE)
		graph_place(graph, node, name, NULL, GRAPH_NONE);
	return node;
}

static void file_checked(const struct vars_location *location, const struct vars_finding *finding,
			 void *data)
{
	const struct storing *storing = data;
	struct graph *graph = storing->graph;
	const bool is_key = finding->fault == VARS_FAULT_NO_KEY;
	const size_t node = is_key ? member_add(graph, VARS_MACHINE, location->machine)
				   : graph_secret(graph, storing->config, location);
	_cleanup_free_ char *fix = NULL;

	if (finding->failure) {
		graph_mark(graph, node, GRAPH_UNREADABLE, error_line(finding->failure), NULL);
		return;
	}
	/* What is wrong with a machine's part is fixed where it was exported. */
	if (graph_is_marked(fault_states[finding->fault]) && !storing->config->part)
		fix = text_format("%s%s%s", storing->options->fault_command(finding->fault),
				  is_key ? " " : "", is_key ? location->machine : "");
	graph_mark(graph, node, fault_states[finding->fault],
		   graph_is_marked(fault_states[finding->fault])
			   ? storing->options->fault_line(location, finding->fault, finding->detail)
			   : NULL,
		   fix);
	graph_fact(graph, node, "changed", graph_time(finding->modified));
}

/* A reader through a group is the group's member; what is wrong is shown for the reader itself. */
static void reader_relate(struct graph *graph, size_t secret, const struct access_reader *reader)
{
	const enum graph_state state = reader_states[reader->state].state;
	bool is_direct = reader->why_count == 0 || reader->state != ACCESS_CURRENT;
	const char *key = reader->key_count > 0 ? reader->keys[0].text : NULL;
	size_t node;

	if (reader->name)
		node = member_add(graph, reader->type, reader->name);
	else
		node = key ? graph_add(graph, GRAPH_KEY, strdup(key), key) : GRAPH_NONE;
	if (!reader->name)
		graph_mark(graph, node, GRAPH_ORPHANED, strdup("nobody in the store has this key"),
			   "vmcred fix");
	for (size_t i = 0; i < reader->why_count; i++)
		is_direct |= !reader->whys[i].group;
	if (is_direct)
		graph_relate(graph, secret, node, GRAPH_READS, state);
}

/* The groups through which a secret is read, each once. */
static void groups_relate(struct graph *graph, size_t secret, const struct access *access,
			  const struct access_secret *one)
{
	for (size_t i = 0; i < access->group_count; i++) {
		const char *name = access->groups[i].name;
		bool is_reader = false;

		for (size_t j = 0; j < one->reader_count; j++) {
			const struct access_reader *reader = &one->readers[j];

			/* The names are those of struct access. */
			for (size_t k = 0; k < reader->why_count; k++)
				is_reader |= reader->whys[k].group == name &&
					     reader->state == ACCESS_CURRENT;
		}
		if (is_reader)
			graph_relate(graph, secret, member_add(graph, VARS_GROUP, name),
				     GRAPH_READS, GRAPH_CURRENT);
	}
}

static void access_relate(const struct storing *storing, const struct access *access)
{
	static const enum vars_member_type types[] = {VARS_MACHINE, VARS_USER};
	struct graph *graph = storing->graph;

	for (size_t i = 0; i < access->group_count; i++) {
		const struct access_group *group = &access->groups[i];
		const size_t node = member_add(graph, VARS_GROUP, group->name);

		for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++) {
			const struct strings *names = &group->members[types[j]];

			for (size_t k = 0; k < names->count; k++)
				graph_relate(graph, node,
					     member_add(graph, types[j], names->items[k]),
					     GRAPH_HAS_MEMBER, GRAPH_CURRENT);
		}
	}
	for (size_t i = 0; i < access->count; i++) {
		const struct access_secret *secret = &access->secrets[i];
		const size_t node = graph_secret(graph, storing->config, secret->location);

		groups_relate(graph, node, access, secret);
		for (size_t j = 0; j < secret->reader_count; j++)
			reader_relate(graph, node, &secret->readers[j]);
		if (secret->unreadable.text)
			graph_mark(graph, node, GRAPH_UNREADABLE, error_line(&secret->unreadable),
				   NULL);
		if (secret->groups > 1)
			graph_fact(graph, node, "keyGroupsNeeded",
				   text_format("%zu of %zu", secret->groups_min, secret->groups));
	}
}

static int members_add(struct graph *graph, int store_dirfd, struct error *err)
{
	for (int type = VARS_USER; type < VARS_MEMBER_TYPES; type++) {
		_cleanup_strings_ struct strings names = {0};

		if (vars_members_list(store_dirfd, (enum vars_member_type)type, &names, err) < 0)
			return -(int)err->code;
		for (size_t i = 0; i < names.count; i++)
			graph_mark(graph,
				   member_add(graph, (enum vars_member_type)type, names.items[i]),
				   GRAPH_CURRENT, NULL, NULL);
	}
	return 0;
}

static int orphans_add(const struct storing *storing, int store_dirfd, struct error *err)
{
	_cleanup_vars_orphans_ struct vars_orphans orphans = {0};
	int r = vars_orphans_find(storing->config, store_dirfd, &orphans, err);

	if (r == 0)
		r = strings_add_all(&orphans.paths, orphans.members.items, err);
	for (size_t i = 0; r == 0 && i < orphans.paths.count; i++) {
		const char *path = orphans.paths.items[i];
		const size_t node = graph_add(storing->graph, GRAPH_ORPHAN, strdup(path), path);

		graph_mark(storing->graph, node, GRAPH_ORPHANED, strdup("no longer declared"),
			   "vmcred prune");
	}
	return r;
}

int graph_store(struct graph *graph, const struct config *config, int store_dirfd,
		const struct graph_options *options, struct error *err)
{
	struct storing storing = {graph, config, options};
	const struct vars_check_options check = {.checked = file_checked, .data = &storing};
	_cleanup_access_ struct access access = {0};
	int r;

	if (!vars_store_exists(store_dirfd))
		return 0;
	r = members_add(graph, store_dirfd, err);
	if (r == 0)
		r = vars_check(config, store_dirfd, &check, options->report, err);
	/* A machine's part says neither who else reads a secret, nor what others have. */
	if (r < 0 || config->part)
		return r;
	r = access_read(config, store_dirfd, NULL, NULL, options->report, &access, err);
	if (r == 0)
		access_relate(&storing, &access);
	if (r == 0)
		r = orphans_add(&storing, store_dirfd, err);
	/* Those without a key were marked. */
	for (size_t i = 0; r == 0 && i < config->machine_count; i++)
		graph_mark(graph, member_add(graph, VARS_MACHINE, config->machines[i].name),
			   GRAPH_CURRENT, NULL, NULL);
	return r;
}
