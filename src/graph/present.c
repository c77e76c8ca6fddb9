/* SPDX-License-Identifier: Apache-2.0 */
/* The present state of this host. */
#include <string.h>

#include "activate/record/record.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "graph/model.h"
#include "inspect/inspect.h"

static const enum graph_state loaded_states[INSPECT_LOADED_STATES] = {
	[INSPECT_LOADED_CURRENT] = GRAPH_CURRENT, [INSPECT_LOADED_READY] = GRAPH_CURRENT,
	[INSPECT_LOADED_ABSENT] = GRAPH_CURRENT,  [INSPECT_LOADED_ELSEWHERE] = GRAPH_DECLARED,
	[INSPECT_LOADED_UNKNOWN] = GRAPH_UNKNOWN, [INSPECT_LOADED_MISSING] = GRAPH_MISSING,
	[INSPECT_LOADED_STALE] = GRAPH_STALE,
};

/* The machine that this host is: the one that was activated, or the one of its name. */
static int machine_find(struct graph *graph, const struct config *config, const char *root,
			struct error *err)
{
	for (int phase = 0; phase < CONFIG_PHASES && !graph->machine; phase++) {
		_cleanup_activation_record_ struct activation_record record = {0};
		int r = activation_record_read(root, (enum config_needed_for)phase, &record, err);

		if (r < 0 && r != -(int)VMCRED_MISSING)
			return r;
		error_clear(err);
		graph->machine = pointer_release(&record.machine);
	}
	for (size_t i = 0; !root && !graph->machine && i < config->machine_count; i++) {
		_cleanup_free_ char *here = NULL;

		if (config_machine_is_here(&config->machines[i], NULL, &here))
			graph->machine = strdup(config->machines[i].name);
	}
	return 0;
}

/* Of this machine, or of any. */
static bool is_here(const struct graph *graph, const char *machine)
{
	return !machine || strcmp(machine, graph->machine) == 0;
}

static void credential_mark(struct graph *graph, const struct inspect_host_vm *vm,
			    const struct inspect_credential *credential)
{
	const struct config_load *load = credential->load;
	const char *unit = vm->vm->unit;
	const size_t node = graph_find(graph, GRAPH_CREDENTIAL,
				       text_format("%s:%s", vm->vm->name, load->credential));
	_cleanup_free_ char *restart = text_format("systemctl restart %s", unit);
	const bool is_inactive =
		credential->state == INSPECT_LOADED_MISSING && !credential->is_activated;
	char *problem = NULL;

	if (is_inactive)
		problem = text_format(load->generator ? "%s is not activated" : "%s does not exist",
				      load->source);
	else if (credential->state == INSPECT_LOADED_MISSING)
		problem = text_format("%s was started without it", unit);
	else if (credential->state == INSPECT_LOADED_STALE)
		problem = text_format("%s runs with an old value", unit);
	graph_mark(graph, node, loaded_states[credential->state], problem,
		   !problem      ? NULL
		   : is_inactive ? (load->generator ? "vmcred activate" : NULL)
				 : restart);
	graph_fact(graph, node, "loaded", strdup(inspect_loaded_name(credential->state)));
	if (credential->secret)
		graph_fact(graph, node, "changed",
			   graph_time(credential->secret->changed.realtime));
}

static size_t unit_find(struct graph *graph, const char *unit)
{
	const size_t node =
		graph_find(graph, GRAPH_UNIT, text_format("%s:%s", graph->machine, unit));

	return node != GRAPH_NONE ? node : graph_find(graph, GRAPH_UNIT, text_format("*:%s", unit));
}

static void delivery_show(struct graph *graph, size_t node, enum delivery_state state)
{
	if (state == DELIVERY_DELIVERED)
		graph_mark(graph, node, GRAPH_CURRENT, NULL, NULL);
	graph_fact(graph, node, "delivery", strdup(delivery_state_name(state)));
}

/* What the guest reported. */
static void delivery_mark(struct graph *graph, const struct inspect_host_vm *vm)
{
	const size_t guest = graph_find(graph, GRAPH_SYSTEM, strdup(vm->vm->name));
	const enum delivery_state state = delivery_report_state(&vm->delivery, NULL);
	_cleanup_free_ char *restart = text_format("systemctl restart %s", vm->vm->unit);
	_cleanup_free_ char *text = delivery_report_text(&vm->delivery);

	if (!vm->is_delivering)
		return;
	delivery_show(graph, guest, state);
	if (state == DELIVERY_REJECTED)
		graph_mark(graph, guest, GRAPH_MISSING,
			   text_format("the guest found %s", text ? text : "out of memory"),
			   restart);
	for (size_t i = 0; i < vm->vm->credential_file_count; i++) {
		const char *name = vm->vm->credential_files[i].oem_name;
		const size_t node =
			graph_find(graph, GRAPH_RECEIVED, text_format("%s:%s", vm->vm->name, name));
		const enum delivery_state one = delivery_report_state(&vm->delivery, name);

		delivery_show(graph, node, one);
		if (one == DELIVERY_REJECTED)
			graph_mark(graph, node, GRAPH_MISSING,
				   strdup("it did not arrive whole in the guest"), restart);
	}
}

static void vm_mark(struct graph *graph, const struct inspect_host_vm *vm)
{
	const size_t unit = unit_find(graph, vm->vm->unit);
	const struct inspect_unit *state = vm->unit;

	if (strcmp(state->load, "not-found") == 0)
		graph_mark(graph, unit, GRAPH_MISSING, strdup("systemd does not know this unit"),
			   NULL);
	else
		graph_mark(graph, unit, state->active[0] ? GRAPH_CURRENT : GRAPH_UNKNOWN, NULL,
			   NULL);
	if (state->active[0])
		graph_fact(graph, unit, "active",
			   text_format("%s (%s)", state->active, state->sub));
	if (inspect_unit_is_running(state) && state->started_us > 0)
		graph_fact(graph, unit, "since", graph_time(inspect_realtime(state->started_us)));
	for (size_t i = 0; i < vm->credential_count; i++)
		credential_mark(graph, vm, &vm->credentials[i]);
	delivery_mark(graph, vm);
}

/* The file of a secret of the phase; `name` is GENERATOR/FILE. */
static char *file_name(const struct graph *graph, const struct config_phase *phase,
		       const char *name)
{
	return text_format("%s:%s/%s%s", graph->machine, phase->link, phase->prefix, name);
}

static const char *fact_of(const struct graph_node *node, const char *name)
{
	return json_string_value(json_object_get(node->facts, name));
}

static void record_mark(struct graph *graph, const struct activation_record *record)
{
	const struct config_phase *phase = config_phase_get(record->phase);
	const size_t declared_count = graph->node_count;

	for (size_t i = 0; i < record->failure_count; i++)
		graph_mark(graph,
			   graph_find(graph, GRAPH_FILE,
				      file_name(graph, phase, record->failures[i].name)),
			   GRAPH_UNREADABLE, strdup(record->failures[i].reason), NULL);
	for (size_t i = 0; i < record->secret_count; i++) {
		const struct activation_secret *secret = &record->secrets[i];
		_cleanup_free_ char *name = file_name(graph, phase, secret->name);
		const char *path = name ? name + strlen(graph->machine) + 1 : "";
		const bool is_declared =
			name && graph_find(graph, GRAPH_FILE, strdup(name)) != GRAPH_NONE;
		const size_t node =
			name ? graph_add(graph, GRAPH_FILE, strdup(name), path) : GRAPH_NONE;

		graph->no_memory |= !name;
		graph_mark(graph, node, is_declared ? GRAPH_CURRENT : GRAPH_ORPHANED,
			   is_declared ? NULL : strdup("no longer declared"),
			   is_declared ? NULL : "vmcred activate");
		graph_fact(graph, node, "changed", graph_time(secret->changed.realtime));
		if (!is_declared)
			graph_place(graph, node, graph->machine, NULL,
				    graph_find(graph, GRAPH_RUNTIME, strdup(graph->machine)));
	}
	for (size_t i = 0; i < declared_count; i++) {
		const struct graph_node *node = &graph->nodes[i];
		const char *needed_for = fact_of(node, "neededFor");

		if (node->kind == GRAPH_FILE && node->state == GRAPH_DECLARED && node->machine &&
		    is_here(graph, node->machine) && needed_for &&
		    strcmp(needed_for, phase->name) == 0)
			graph_mark(graph, i, GRAPH_MISSING, strdup("not activated"),
				   "vmcred activate");
	}
}

/* Marks files whose secret has a new value in the store since the last activation. */
static void old_files_mark(struct graph *graph, const struct inspect_host *host)
{
	for (size_t i = 0; i < graph->edge_count; i++) {
		const struct graph_edge *edge = &graph->edges[i];
		const struct graph_node *file = &graph->nodes[edge->to];
		const char *changed = fact_of(&graph->nodes[edge->from], "changed");
		const char *needed_for = fact_of(file, "neededFor");

		if (edge->relation != GRAPH_ACTIVATES || !changed || !needed_for ||
		    !is_here(graph, file->machine))
			continue;
		for (size_t j = 0; j < CONFIG_PHASES; j++) {
			const struct activation_record *record = &host->records[j];
			_cleanup_free_ char *activated = graph_time(record->activated.realtime);

			/* Times in UTC are ordered like texts. */
			if (record->machine && activated && strcmp(changed, activated) > 0 &&
			    strcmp(needed_for, config_phase_get(record->phase)->name) == 0)
				graph_mark(graph, edge->to, GRAPH_STALE,
					   strdup("the store has a newer value"),
					   "vmcred activate");
		}
	}
}

static void pending_mark(struct graph *graph, const struct inspect_pending *pending)
{
	const char *unit = pending->pending->unit;
	const char *action = activation_action_name(pending->pending->action);
	_cleanup_free_ char *fix = text_format("systemctl %s %s", action, unit);

	graph_mark(graph, unit_find(graph, unit), GRAPH_STALE,
		   strdup("it uses old values of its secrets"), fix);
}

/* The VM and its guest have what the unit had when it started. */
static void strings_mark(struct graph *graph)
{
	for (size_t i = 0; i < graph->edge_count; i++) {
		const struct graph_edge *edge = &graph->edges[i];
		const struct graph_node *from = &graph->nodes[edge->from];

		if ((edge->relation == GRAPH_COMPOSES || edge->relation == GRAPH_RECEIVES) &&
		    (from->state == GRAPH_STALE || from->state == GRAPH_MISSING))
			graph_mark(graph, edge->to, from->state,
				   from->problem ? strdup(from->problem) : NULL, from->fix);
	}
}

int graph_host(struct graph *graph, const struct config *config,
	       const struct graph_options *options, struct error *err)
{
	__attribute__((cleanup(inspect_host_release))) struct inspect_host host = {0};
	int r = inspect_root_check(options->root, err);

	if (r == 0)
		r = machine_find(graph, config, options->root, err);
	if (r < 0 || !graph->machine)
		return r;
	r = inspect_host(config, NULL, options->root, options->report, &host, err);
	if (r < 0)
		return r;
	if (host.units_error.text) {
		_cleanup_free_ char *line = error_line(&host.units_error);

		report_message(options->report, REPORT_WARNING,
			       "the state of the units is unknown: %s", line ? line : "");
	}
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		if (host.records[i].machine)
			record_mark(graph, &host.records[i]);
	}
	old_files_mark(graph, &host);
	for (size_t i = 0; i < host.vm_count; i++) {
		if (is_here(graph, host.vms[i].vm->machine))
			vm_mark(graph, &host.vms[i]);
	}
	for (size_t i = 0; i < host.pending_count; i++)
		pending_mark(graph, &host.pending[i]);
	strings_mark(graph);
	return 0;
}
