/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/program.h"
#include "base/text.h"
#include "graph/model.h"

/* `page`: page.html, as a text. */
#include <graph/page.h>

#define PAGE_DATA "<script id=\"data\" type=\"application/json\">"

/* As many as a person looks at, and Mermaid draws: its limit is 500 edges. */
#define PICTURE_NODES_MAX 250
#define PICTURE_EDGES_MAX 400

static const struct {
	const char *name, *suffix;
} formats[] = {
	[GRAPH_MERMAID] = {"mermaid", ".mmd"}, [GRAPH_DOT] = {"dot", ".dot"},
	[GRAPH_SVG] = {"svg", ".svg"},         [GRAPH_HTML] = {"html", ".html"},
	[GRAPH_JSON] = {"json", ".json"},
};

#define FORMATS (sizeof(formats) / sizeof(formats[0]))

int graph_format_find(const char *name, enum graph_format *format, struct error *err)
{
	for (size_t i = 0; i < FORMATS; i++) {
		if (strcmp(name, formats[i].name) == 0) {
			*format = (enum graph_format)i;
			return 0;
		}
	}
	error_set(err, VMCRED_USAGE, "unknown format \"%s\"", name);
	return error_hint(err, "use mermaid, dot, svg, html or json");
}

int graph_format_of_path(const char *path, enum graph_format *format, struct error *err)
{
	const char *suffix = strrchr(path, '.');

	for (size_t i = 0; suffix && i < FORMATS; i++) {
		if (strcmp(suffix, formats[i].suffix) == 0) {
			*format = (enum graph_format)i;
			return 0;
		}
	}
	error_set(err, VMCRED_USAGE, "the name \"%s\" does not end with a format", path);
	return error_hint(err, "use .mmd, .dot, .svg, .html or .json, or --format");
}

/* Graphviz reads and writes memory files, so that neither program waits for the other. */
static int svg_draw(const char *dot, size_t size, char **text, size_t *text_size, struct error *err)
{
	char *const argv[] = {(char *)"dot", (char *)"-Tsvg", NULL};
	_cleanup_close_ int input = memfd_create("vmcred-graph", MFD_CLOEXEC);
	_cleanup_close_ int output = memfd_create("vmcred-graph", MFD_CLOEXEC);
	_cleanup_free_ char *path = NULL;
	_cleanup_error_ struct error missing = {0};
	struct program program = {.argv = argv, .fds = {input, output, STDERR_FILENO}};
	off_t end;
	int r;

	if (program_find("dot", &path, &missing) < 0) {
		error_set(err, VMCRED_FAILED, "the program dot is not installed");
		return error_hint(err, "install Graphviz, or use --format mermaid");
	}
	if (input < 0 || output < 0)
		return error_set(err, VMCRED_FAILED, "cannot create a memory file");
	program.file = path;
	r = fd_write(input, span_of(dot, size), "the input of dot", err);
	if (r == 0 && lseek(input, 0, SEEK_SET) < 0)
		r = error_set(err, VMCRED_FAILED, "cannot rewind a memory file");
	if (r == 0)
		r = program_run(&program, "dot", err);
	if (r < 0)
		return r;
	end = lseek(output, 0, SEEK_END);
	*text = end > 0 ? malloc((size_t)end) : NULL;
	if (!*text || pread(output, *text, (size_t)end, 0) != end)
		return error_set(err, VMCRED_FAILED, "dot wrote nothing");
	*text_size = (size_t)end;
	return 0;
}

/* In a script element nothing may look like markup; outside of its texts, JSON has no such
 * character. */
static int page_write(const char *json, FILE *file, struct error *err)
{
	const char *data = strstr(page, PAGE_DATA);

	if (!data)
		return error_set(err, VMCRED_FAILED, "the page has no place for its data");
	data += strlen(PAGE_DATA);
	fwrite(page, 1, (size_t)(data - page), file);
	for (; *json; json++) {
		if (strchr("<>&", *json))
			fprintf(file, "\\u%04x", (unsigned int)*json);
		else
			fputc(*json, file);
	}
	fputs(data, file);
	return 0;
}

static int json_write(const struct graph *graph, enum graph_format format, FILE *file,
		      struct error *err)
{
	const bool is_page = format == GRAPH_HTML;
	_cleanup_json_ json_t *json = graph_json(graph);
	_cleanup_free_ char *text =
		json ? json_dumps(json, is_page ? JSON_COMPACT | JSON_ENSURE_ASCII
						: (size_t)JSON_INDENT(2))
		     : NULL;

	if (!text)
		return error_no_memory(err);
	if (is_page)
		return page_write(text, file, err);
	fprintf(file, "%s\n", text);
	return 0;
}

static void picture_write(const struct graph *graph, enum graph_format format, FILE *file)
{
	if (format == GRAPH_MERMAID)
		graph_write_mermaid(graph, file);
	else
		graph_write_dot(graph, file);
}

static bool is_large(const struct graph *graph)
{
	return graph->node_count > PICTURE_NODES_MAX || graph->edge_count > PICTURE_EDGES_MAX;
}

int graph_write(const struct graph *graph, enum graph_format format, const struct report *report,
		char **text, size_t *size, struct error *err)
{
	const bool is_picture = format != GRAPH_HTML && format != GRAPH_JSON;
	_cleanup_graph_ struct graph *small = NULL;
	_cleanup_free_ char *written = NULL;
	FILE *file;
	int r = 0;

	if (is_picture && is_large(graph)) {
		small = graph_aggregate(graph);
		if (!small)
			return error_no_memory(err);
		graph = small;
		if (is_large(graph))
			report_message(report, REPORT_WARNING,
				       "%zu boxes and %zu lines may be too many for a picture: "
				       "name a VM, machine or generator, or use --format html",
				       graph->node_count, graph->edge_count);
	}
	file = open_memstream(&written, size);
	if (!file)
		return error_no_memory(err);
	if (is_picture)
		picture_write(graph, format, file);
	else
		r = json_write(graph, format, file, err);
	if (fclose(file) != 0 && r == 0)
		r = error_no_memory(err);
	if (r == 0 && format == GRAPH_SVG)
		return svg_draw(written, *size, text, size, err);
	if (r == 0)
		*text = pointer_release(&written);
	return r;
}
