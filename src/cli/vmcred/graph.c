/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "base/trusted/output.h"
#include "cli/vmcred/commands.h"

struct drawing {
	const char *format, *output, *root;
};

static int format_choose(const struct cli *cli, const struct drawing *drawing,
			 enum graph_format *format, struct error *err)
{
	if (cli->json && drawing->format && strcmp(drawing->format, "json") != 0)
		return error_set(err, VMCRED_USAGE, "--json and --format %s exclude each other",
				 drawing->format);
	if (cli->json)
		*format = GRAPH_JSON;
	else if (drawing->format)
		return graph_format_find(drawing->format, format, err);
	else if (drawing->output)
		return graph_format_of_path(drawing->output, format, err);
	return 0;
}

int command_graph(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct drawing drawing = {0};
	const struct cli_option rows[] = {
		{"format", "mermaid|dot|svg|html|json",
		 "the format (default: the suffix of --output, or mermaid)", &drawing.format},
		{"output", "FILE", "write to the file in one step: .mmd, .dot, .svg, .html, .json",
		 &drawing.output},
		{"root", "DIRECTORY", "show the host whose files are below it", &drawing.root},
		{0},
	};
	const struct cli_usage usage = {
		.command = "graph",
		.examples = "  vmcred graph --output secrets.html\n  vmcred graph web-vm\n",
		.arguments = "[VM|MACHINE|GENERATOR...]",
		.about = "Draw the flow of secrets from their generators to the guests, who can "
			 "read them, and what is missing, stale, orphaned or unreadable. On a "
			 "host, also its present state. Decrypts nothing.",
		.options = rows,
		.has_json = true,
		.arguments_max = -1,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_graph_ struct graph *graph = NULL;
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_free_ char *text = NULL;
	enum graph_format format = GRAPH_MERMAID;
	size_t size = 0;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r == 0)
		r = format_choose(cli, &drawing, &format, err);
	if (r != 0)
		return r;
	cli->load = CONFIG_LENIENT;
	cli->threads = pool_threads();
	r = cli_start(cli, &config, &store_dirfd, err);
	if (r == 0)
		r = graph_create(&config, store_dirfd,
				 &(struct graph_options){.root = drawing.root,
							 .report = &cli->report,
							 .fault_line = cli_fault_line,
							 .fault_command = cli_fault_command},
				 &graph, err);
	progress_clear(&cli->progress);
	if (r == 0 && first < argc)
		r = graph_choose(graph, argv + first, err);
	if (r == 0)
		r = graph_write(graph, format, &cli->report, &text, &size, err);
	if (r < 0)
		return r;
	if (drawing.output)
		return output_write(drawing.output, OUTPUT_CIPHERTEXT, span_of(text, size), err);
	fwrite(text, 1, size, stdout);
	return 0;
}
