/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

const char *const graph_kind_names[GRAPH_KINDS] = {
	[GRAPH_GENERATOR] = "generator",
	[GRAPH_SECRET] = "secret",
	[GRAPH_PUBLIC] = "public",
	[GRAPH_GROUP] = "group",
	[GRAPH_USER] = "user",
	[GRAPH_MACHINE] = "machine",
	[GRAPH_KEY] = "key",
	[GRAPH_ORPHAN] = "orphan",
	[GRAPH_RUNTIME] = "runtime",
	[GRAPH_FILE] = "file",
	[GRAPH_SERVED] = "served",
	[GRAPH_UNIT] = "unit",
	[GRAPH_CREDENTIAL] = "credential",
	[GRAPH_VM] = "vm",
	[GRAPH_STRING] = "string",
	[GRAPH_SYSTEM] = "guest",
	[GRAPH_RECEIVED] = "received",
};

const char *const graph_state_names[GRAPH_STATES] = {
	[GRAPH_DECLARED] = "declared",     [GRAPH_CURRENT] = "current",
	[GRAPH_UNKNOWN] = "unknown",       [GRAPH_STALE] = "stale",
	[GRAPH_ORPHANED] = "orphaned",     [GRAPH_MISSING] = "missing",
	[GRAPH_UNREADABLE] = "unreadable",
};

const char *const graph_relation_names[GRAPH_RELATIONS] = {
	[GRAPH_DEPENDS] = "depends",     [GRAPH_GENERATES] = "generates",
	[GRAPH_READS] = "reads",         [GRAPH_HAS_MEMBER] = "member",
	[GRAPH_ACTIVATES] = "activates", [GRAPH_RESTARTS] = "restarts",
	[GRAPH_RELOADS] = "reloads",     [GRAPH_LOADS] = "loads",
	[GRAPH_COMPOSES] = "composes",   [GRAPH_RECEIVES] = "receives",
};

const struct graph_zone_name graph_zones[GRAPH_ZONES] = {
	[GRAPH_STORAGE] = {"storage", "encrypted storage"},
	[GRAPH_HOST] = {"host", "host run time"},
	[GRAPH_PROCESS] = {"process", "process memory"},
	[GRAPH_HARDWARE] = {"hardware", "virtual hardware"},
	[GRAPH_GUEST] = {"guest", "guest run time"},
};

enum graph_zone graph_zone_of(enum graph_kind kind)
{
	return kind >= GRAPH_SYSTEM    ? GRAPH_GUEST
	       : kind >= GRAPH_VM      ? GRAPH_HARDWARE
	       : kind >= GRAPH_UNIT    ? GRAPH_PROCESS
	       : kind >= GRAPH_RUNTIME ? GRAPH_HOST
				       : GRAPH_STORAGE;
}

bool graph_is_container(enum graph_kind kind)
{
	return kind == GRAPH_RUNTIME || kind == GRAPH_UNIT || kind == GRAPH_VM ||
	       kind == GRAPH_SYSTEM;
}

bool graph_is_marked(enum graph_state state)
{
	return state >= GRAPH_STALE;
}

struct graph *graph_new(void)
{
	struct graph *graph = calloc(1, sizeof(*graph));

	if (!graph)
		return NULL;
	graph->ids = json_object();
	graph->no_memory = !graph->ids;
	return graph;
}

void graph_node_release(struct graph_node *node)
{
	free(node->id);
	free(node->label);
	free(node->machine);
	free(node->vm);
	free(node->problem);
	free(node->fix);
	json_decref(node->facts);
}

void graph_destroy(struct graph **graph)
{
	struct graph *old = pointer_release(graph);

	for (size_t i = 0; old && i < old->node_count; i++)
		graph_node_release(&old->nodes[i]);
	if (old) {
		free(old->nodes);
		free(old->edges);
		free(old->machine);
		json_decref(old->ids);
	}
	free(old);
}

/* Names may come from others, and must be UTF-8 for all formats. */
static char *visible(struct graph *graph, const char *text)
{
	char *copy = text ? text_visible(span_of_text(text), false) : NULL;

	graph->no_memory |= text && !copy;
	return copy;
}

size_t graph_find(struct graph *graph, enum graph_kind kind, char *name)
{
	_cleanup_free_ char *owned = name;
	_cleanup_free_ char *full =
		owned ? text_format("%s:%s", graph_kind_names[kind], owned) : NULL;
	_cleanup_free_ char *id = visible(graph, full);
	const json_t *index = id ? json_object_get(graph->ids, id) : NULL;

	return index ? (size_t)json_integer_value(index) : GRAPH_NONE;
}

size_t graph_add(struct graph *graph, enum graph_kind kind, char *name, const char *label)
{
	_cleanup_free_ char *owned = name;
	_cleanup_free_ char *full =
		owned ? text_format("%s:%s", graph_kind_names[kind], owned) : NULL;
	_cleanup_free_ char *id = visible(graph, full);
	_cleanup_error_ struct error ignored = {0};
	const json_t *index = id ? json_object_get(graph->ids, id) : NULL;
	struct graph_node *node;

	if (index)
		return (size_t)json_integer_value(index);
	if (!id || array_grow(&graph->nodes, graph->node_count, &graph->node_capacity,
			      sizeof(*graph->nodes), &ignored) < 0) {
		graph->no_memory = true;
		return GRAPH_NONE;
	}
	node = &graph->nodes[graph->node_count];
	*node = (struct graph_node){.kind = kind, .parent = GRAPH_NONE};
	node->label = visible(graph, label);
	if (json_object_set_new(graph->ids, id, json_integer((json_int_t)graph->node_count)) < 0)
		graph->no_memory = true;
	node->id = pointer_release(&id);
	return graph->node_count++;
}

void graph_relate(struct graph *graph, size_t from, size_t to, enum graph_relation relation,
		  enum graph_state state)
{
	_cleanup_error_ struct error ignored = {0};

	if (from == GRAPH_NONE || to == GRAPH_NONE)
		return;
	if (array_grow(&graph->edges, graph->edge_count, &graph->edge_capacity,
		       sizeof(*graph->edges), &ignored) < 0)
		graph->no_memory = true;
	else
		graph->edges[graph->edge_count++] = (struct graph_edge){from, to, relation, state};
}

void graph_place(struct graph *graph, size_t node, const char *machine, const char *vm,
		 size_t parent)
{
	struct graph_node *placed = node == GRAPH_NONE ? NULL : &graph->nodes[node];

	if (!placed)
		return;
	free(placed->machine);
	free(placed->vm);
	placed->machine = visible(graph, machine);
	placed->vm = visible(graph, vm);
	placed->parent = parent;
}

void graph_mark(struct graph *graph, size_t node, enum graph_state state, char *problem,
		const char *fix)
{
	_cleanup_free_ char *owned = problem;
	struct graph_node *marked = node == GRAPH_NONE ? NULL : &graph->nodes[node];

	if (!marked || marked->state >= state)
		return;
	free(marked->problem);
	free(marked->fix);
	marked->state = state;
	marked->problem = visible(graph, owned);
	marked->fix = visible(graph, fix);
}

void graph_fact(struct graph *graph, size_t node, const char *name, char *value)
{
	_cleanup_free_ char *owned = value;
	_cleanup_free_ char *text = visible(graph, owned);

	if (node == GRAPH_NONE || !text)
		return;
	if (!graph->nodes[node].facts)
		graph->nodes[node].facts = json_object();
	if (json_object_set_new(graph->nodes[node].facts, name, json_string(text)) < 0)
		graph->no_memory = true;
}

char *graph_time(int64_t realtime)
{
	char text[TEXT_TIME_SIZE];

	return realtime > 0 && text_time(realtime, text) ? strdup(text) : NULL;
}
