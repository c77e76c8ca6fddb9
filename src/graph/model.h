/* SPDX-License-Identifier: Apache-2.0 */
/* The graph in memory. Adding does not fail: without memory, `no_memory` is set. Inside graph/
 * only. */
#ifndef VMCRED_GRAPH_MODEL_H
#define VMCRED_GRAPH_MODEL_H

#include <jansson.h>

#include "graph/graph.h"

/* Who could read a secret there: each zone trusts the ones before it. */
enum graph_zone {
	GRAPH_STORAGE,  /* the repository */
	GRAPH_HOST,     /* files in memory, and the socket */
	GRAPH_PROCESS,  /* credentials of units */
	GRAPH_HARDWARE, /* what the hypervisor presents to the guest */
	GRAPH_GUEST,    /* the guest's systemd */
	GRAPH_ZONES,
};

enum graph_kind {
	GRAPH_GENERATOR,
	GRAPH_SECRET,
	GRAPH_PUBLIC, /* a generator's public file */
	GRAPH_GROUP,
	GRAPH_USER,
	GRAPH_MACHINE,
	GRAPH_KEY,     /* a recipient that nobody registered */
	GRAPH_ORPHAN,  /* a path in the store that is no longer declared */
	GRAPH_RUNTIME, /* a machine's run time: contains its files */
	GRAPH_FILE,
	GRAPH_SERVED, /* given out by the socket instead of a file */
	GRAPH_UNIT,   /* contains the credentials of a VM */
	GRAPH_CREDENTIAL,
	GRAPH_VM, /* contains its strings */
	GRAPH_STRING,
	GRAPH_SYSTEM, /* a guest's systemd: contains its credentials */
	GRAPH_RECEIVED,
	GRAPH_KINDS,
};

/* From the harmless to the worst. */
enum graph_state {
	GRAPH_DECLARED, /* known from the declaration only */
	GRAPH_CURRENT,
	GRAPH_UNKNOWN,
	GRAPH_STALE,    /* old, overdue, or not with its declared readers */
	GRAPH_ORPHANED, /* not declared */
	GRAPH_MISSING,
	GRAPH_UNREADABLE,
	GRAPH_STATES,
};

enum graph_relation {
	GRAPH_DEPENDS,   /* generator to the generator that needs its files */
	GRAPH_GENERATES, /* generator to secret */
	GRAPH_READS,     /* secret to reader */
	GRAPH_HAS_MEMBER,
	GRAPH_ACTIVATES, /* secret to file */
	GRAPH_RESTARTS,  /* file to unit */
	GRAPH_RELOADS,
	GRAPH_LOADS,    /* file to credential */
	GRAPH_COMPOSES, /* credential to string */
	GRAPH_RECEIVES, /* string to the guest's credential */
	GRAPH_RELATIONS,
};

#define GRAPH_NONE SIZE_MAX

struct graph_node {
	enum graph_kind kind;
	enum graph_state state;
	char *id;      /* owned, as are the others; unique: "secret:vars/shared/web/key" */
	char *label;   /* for people */
	char *machine; /* NULL: of none, or of any */
	char *vm;      /* NULL: of none */
	char *problem; /* why it is marked, or NULL */
	char *fix;     /* a command, or NULL */
	json_t *facts; /* an object of texts, or NULL */
	size_t parent; /* of a container, or GRAPH_NONE */
	size_t counts[GRAPH_STATES]; /* of those that it stands for: graph_aggregate() */
};

struct graph_edge {
	size_t from, to;
	enum graph_relation relation;
	enum graph_state state;
};

struct graph {
	struct graph_node *nodes; /* owned */
	size_t node_count, node_capacity;
	struct graph_edge *edges; /* owned */
	size_t edge_count, edge_capacity;
	json_t *ids;   /* owned; the index of each node */
	char *machine; /* owned; the host's own one; NULL: its state is not shown */
	bool no_memory;
};

/* Names in JSON. */
extern const char *const graph_kind_names[GRAPH_KINDS];
extern const char *const graph_state_names[GRAPH_STATES];
extern const char *const graph_relation_names[GRAPH_RELATIONS];
extern const struct graph_zone_name {
	const char *name, *title;
} graph_zones[GRAPH_ZONES];

enum graph_zone graph_zone_of(enum graph_kind kind);

/* Whether something is wrong. */
bool graph_is_marked(enum graph_state state);

struct graph *graph_new(void);

void graph_node_release(struct graph_node *node);

/* The node "KIND:NAME", or GRAPH_NONE. Frees the name, which may be NULL without memory. */
size_t graph_find(struct graph *graph, enum graph_kind kind, char *name);

/* The same; added with that label if it does not exist. */
size_t graph_add(struct graph *graph, enum graph_kind kind, char *name, const char *label);

/* Adds a relation between two nodes; nothing if one is GRAPH_NONE. */
void graph_relate(struct graph *graph, size_t from, size_t to, enum graph_relation relation,
		  enum graph_state state);

/* Sets what a node belongs to; NULL and GRAPH_NONE: nothing. */
void graph_place(struct graph *graph, size_t node, const char *machine, const char *vm,
		 size_t parent);

/* Sets the state unless the node has a worse one. Frees `problem`, which may be NULL. */
void graph_mark(struct graph *graph, size_t node, enum graph_state state, char *problem,
		const char *fix);

/* Frees `value`; NULL: no such fact. */
void graph_fact(struct graph *graph, size_t node, const char *name, char *value);

/* "2026-03-01T10:15:00Z" in new memory; NULL: never. */
char *graph_time(int64_t realtime);

/* Adds what is declared; on a machine, NULL stands for any. */
int graph_declare(struct graph *graph, const struct config *config, struct error *err);

/* The node of a file of the store, added with what the declaration says of it. */
size_t graph_secret(struct graph *graph, const struct config *config,
		    const struct vars_location *location);

/* Adds what is in the store, and marks what is wrong with it. */
int graph_store(struct graph *graph, const struct config *config, int store_dirfd,
		const struct graph_options *options, struct error *err);

/* Adds the present state if this is a host. */
int graph_host(struct graph *graph, const struct config *config,
	       const struct graph_options *options, struct error *err);

/* A new graph in which what is alike is one node for all machines and VMs. NULL without memory. */
struct graph *graph_aggregate(const struct graph *graph);

/* Whether it contains others. */
bool graph_is_container(enum graph_kind kind);

json_t *graph_json(const struct graph *graph);

/* Write a picture. */
void graph_write_mermaid(const struct graph *graph, FILE *file);
void graph_write_dot(const struct graph *graph, FILE *file);

#endif
