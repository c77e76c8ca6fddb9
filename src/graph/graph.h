/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow of secrets as a graph: generators, secrets, their readers, activated files, units with
 * their credentials, VMs with their OEM strings, and what the guests receive. It is built from the
 * declaration, the store (vars/access/, vars_check()) and, on a host, its present state
 * (inspect/). What is missing, stale, orphaned or unreadable is marked.
 *
 * Only reads, and decrypts nothing: a graph has names, times and public keys, never a value or a
 * digest of one. Names may come from others; the writers escape them for their format.
 */
#ifndef VMCRED_GRAPH_GRAPH_H
#define VMCRED_GRAPH_GRAPH_H

#include "base/error.h"
#include "base/report.h"
#include "config/config.h"
#include "vars/vars.h"

struct graph;

#define _cleanup_graph_ __attribute__((cleanup(graph_destroy)))

struct graph_options {
	const char *root; /* where the host's files are; NULL: "/" */
	const struct report *report;

	/* The words for what is wrong with a file, in new memory, and the command that fixes it. */
	char *(*fault_line)(const struct vars_location *location, enum vars_fault fault,
			    const char *detail);
	const char *(*fault_command)(enum vars_fault fault);
};

/* Builds the graph. `*graph` is set to NULL first. What cannot be read is marked in the graph, and
 * stops nothing. */
int graph_create(const struct config *config, int store_dirfd, const struct graph_options *options,
		 struct graph **graph, struct error *err);

/* Keeps what leads to or from the VMs, machines and generators of these names (NULL-terminated),
 * and its readers. VMCRED_USAGE: unknown name. */
int graph_choose(struct graph *graph, char *const *names, struct error *err);

enum graph_format {
	GRAPH_MERMAID, /* a flowchart; GitHub and others draw it */
	GRAPH_DOT,     /* Graphviz */
	GRAPH_SVG,     /* drawn by dot(1) */
	GRAPH_HTML,    /* a page that needs no other file */
	GRAPH_JSON,    /* the whole graph */
};

/* The format of that name, or with the suffix of that path. VMCRED_USAGE: unknown. */
int graph_format_find(const char *name, enum graph_format *format, struct error *err);
int graph_format_of_path(const char *path, enum graph_format *format, struct error *err);

/*
 * Writes the graph as text. In a picture, what is too much to look at is drawn once for all
 * machines and VMs, and a warning says that it is still too much; the page and JSON have
 * everything. The caller frees `*text`. VMCRED_FAILED: dot(1) is not installed.
 */
int graph_write(const struct graph *graph, enum graph_format format, const struct report *report,
		char **text, size_t *size, struct error *err);

/* Accepts a pointer to NULL. */
void graph_destroy(struct graph **graph);

#endif
