/* SPDX-License-Identifier: Apache-2.0 */
/* What the declaration says. */
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "channel/channel.h"
#include "graph/model.h"

/* Stands for any machine in a name: no machine is called that. */
#define ANY "*"

static size_t runtime_of(struct graph *graph, const char *machine)
{
	const size_t node = graph_add(graph, GRAPH_RUNTIME, strdup(machine ? machine : ANY),
				      machine ? machine : "any machine");

	graph_place(graph, node, machine, NULL, GRAPH_NONE);
	return node;
}

/* Where a machine has an activated file, or what the socket gives out. */
static size_t source_add(struct graph *graph, enum graph_kind kind, const char *machine,
			 const char *path)
{
	_cleanup_free_ char *label =
		text_format("%s%s", kind == GRAPH_SERVED ? "socket: " : "", path);
	const size_t node =
		graph_add(graph, kind, text_format("%s:%s", machine ? machine : ANY, path), label);

	graph_place(graph, node, machine, NULL, runtime_of(graph, machine));
	return node;
}

static size_t source_find(struct graph *graph, enum graph_kind kind, const char *machine,
			  const char *path)
{
	return graph_find(graph, kind, text_format("%s:%s", machine ? machine : ANY, path));
}

static size_t unit_add(struct graph *graph, const char *machine, const char *unit)
{
	const size_t node = graph_add(graph, GRAPH_UNIT,
				      text_format("%s:%s", machine ? machine : ANY, unit), unit);

	if (node != GRAPH_NONE && !graph->nodes[node].vm)
		graph_place(graph, node, machine, NULL, GRAPH_NONE);
	return node;
}

/* The machine of a VM, or NULL: any. */
static const char *machine_of(const struct config *config, const struct config_vm *vm)
{
	return vm->machine                  ? vm->machine
	       : config->machine_count == 1 ? config->machines[0].name
					    : NULL;
}

static void load_declare(struct graph *graph, const char *machine, const struct config_vm *vm,
			 const struct config_load *load, size_t credential)
{
	const bool is_served = vm->source == CONFIG_SOURCE_SOCKET && load->generator;
	_cleanup_free_ char *path = is_served ? strdup(load->source) : config_load_path(load);
	size_t source = GRAPH_NONE;

	if (path)
		source = source_add(graph, is_served ? GRAPH_SERVED : GRAPH_FILE, machine, path);
	if (is_served)
		graph_fact(graph, source, "socket", strdup(CONFIG_SOCKET_PATH));
	graph_relate(graph, source, credential, GRAPH_LOADS, GRAPH_DECLARED);
}

/* What a running guest can request has a node of its own, because it may be in a file, too. */
static char *requested_name(const char *machine, const char *name)
{
	return text_format("%s:channel:%s", machine ? machine : ANY, name);
}

static void channel_declare(struct graph *graph, const char *machine, const struct config_vm *vm,
			    const struct config_load *load, size_t guest)
{
	_cleanup_free_ char *label = text_format("channel: %s", load->source);
	const size_t source = graph_add(graph, GRAPH_SERVED, requested_name(machine, load->source),
					label ? label : "");
	const size_t received = graph_add(graph, GRAPH_RECEIVED,
					  text_format("%s:channel:%s", vm->name, load->credential),
					  load->credential);

	graph_place(graph, source, machine, NULL, runtime_of(graph, machine));
	graph_fact(graph, source, "socket", strdup(CHANNEL_SOCKET_PATH));
	graph_place(graph, received, machine, vm->name, guest);
	graph_relate(graph, source, received, GRAPH_RECEIVES, GRAPH_DECLARED);
}

static void vm_declare(struct graph *graph, const struct config *config, const struct config_vm *vm)
{
	const char *machine = machine_of(config, vm);
	const size_t unit = unit_add(graph, machine, vm->unit);
	const size_t hardware = graph_add(graph, GRAPH_VM, strdup(vm->name), vm->name);
	const size_t guest = graph_add(graph, GRAPH_SYSTEM, strdup(vm->name), vm->name);

	graph_place(graph, unit, machine, vm->name, GRAPH_NONE);
	graph_place(graph, hardware, machine, vm->name, GRAPH_NONE);
	graph_place(graph, guest, machine, vm->name, GRAPH_NONE);
	if (vm->command)
		graph_fact(graph, hardware, "hypervisor", strdup(vm->command[0]));
	if (vm->oem_string_count > 0)
		graph_fact(graph, hardware, "staticStrings",
			   text_format("%zu", vm->oem_string_count));
	if (vm->problem)
		graph_mark(graph, hardware, GRAPH_UNREADABLE, strdup(vm->problem), NULL);
	for (size_t i = 0; i < vm->load_count; i++) {
		const size_t node =
			graph_add(graph, GRAPH_CREDENTIAL,
				  text_format("%s:%s", vm->name, vm->loads[i].credential),
				  vm->loads[i].credential);

		graph_place(graph, node, machine, vm->name, unit);
		load_declare(graph, machine, vm, &vm->loads[i], node);
	}
	for (size_t i = 0; i < vm->credential_file_count; i++) {
		const struct config_credential_file *file = &vm->credential_files[i];
		const size_t credential = graph_add(
			graph, GRAPH_CREDENTIAL, text_format("%s:%s", vm->name, file->credential),
			file->credential);
		const size_t string =
			graph_add(graph, GRAPH_STRING,
				  text_format("%s:%s", vm->name, file->oem_name), file->oem_name);
		const size_t received =
			graph_add(graph, GRAPH_RECEIVED,
				  text_format("%s:%s", vm->name, file->oem_name), file->oem_name);

		graph_place(graph, credential, machine, vm->name, unit);
		graph_place(graph, string, machine, vm->name, hardware);
		graph_place(graph, received, machine, vm->name, guest);
		if (file->optional)
			graph_fact(graph, string, "optional", strdup("yes"));
		graph_relate(graph, credential, string, GRAPH_COMPOSES, GRAPH_DECLARED);
		graph_relate(graph, string, received, GRAPH_RECEIVES, GRAPH_DECLARED);
	}
	if (vm->channel_count > 0)
		graph_place(graph,
			    graph_add(graph, GRAPH_CREDENTIAL,
				      text_format("%s:" CHANNEL_CREDENTIAL, vm->name),
				      CHANNEL_CREDENTIAL),
			    machine, vm->name, unit);
	for (size_t i = 0; i < vm->channel_count; i++)
		channel_declare(graph, machine, vm, &vm->channel[i], guest);
}

static void units_declare(struct graph *graph, const char *machine, char *const *units, size_t file,
			  enum graph_relation relation)
{
	for (; units && *units; units++) {
		size_t unit = graph_find(graph, GRAPH_UNIT, text_format(ANY ":%s", *units));

		/* That of a VM which can run on any machine. */
		if (unit == GRAPH_NONE)
			unit = unit_add(graph, machine, *units);
		graph_relate(graph, file, unit, relation, GRAPH_DECLARED);
	}
}

/* What becomes of a secret on a machine. `name` is GENERATOR/FILE. */
static void activation_declare(struct graph *graph, const struct config_file *file,
			       const char *machine, const char *name, size_t secret)
{
	const struct config_phase *phase = config_phase_get(file->needed_for);
	_cleanup_free_ char *path = text_format("%s/%s%s", phase->link, phase->prefix, name);
	const char *const machines[] = {machine, NULL};
	size_t node;

	if (!path)
		return;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		graph_relate(graph, secret,
			     graph_find(graph, GRAPH_SERVED, requested_name(machines[i], name)),
			     GRAPH_ACTIVATES, GRAPH_DECLARED);
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		const size_t served = source_find(graph, GRAPH_SERVED, machines[i], name);

		graph_relate(graph, secret, served, GRAPH_ACTIVATES, GRAPH_DECLARED);
		/* What VMs get from the socket only, is in no file. */
		if (served != GRAPH_NONE &&
		    source_find(graph, GRAPH_FILE, machines[i], path) == GRAPH_NONE)
			return;
	}
	graph_relate(graph, secret, source_find(graph, GRAPH_FILE, NULL, path), GRAPH_ACTIVATES,
		     GRAPH_DECLARED);
	node = source_add(graph, GRAPH_FILE, machine, path);
	graph_fact(graph, node, "secret", strdup(name));
	graph_fact(graph, node, "neededFor", strdup(phase->name));
	graph_fact(graph, node, "owner", text_format("%s:%s", file->owner, file->group));
	graph_fact(graph, node, "mode", text_format("%04o", (unsigned int)file->mode));
	graph_relate(graph, secret, node, GRAPH_ACTIVATES, GRAPH_DECLARED);
	units_declare(graph, machine, file->restart_units, node, GRAPH_RESTARTS);
	units_declare(graph, machine, file->reload_units, node, GRAPH_RELOADS);
}

size_t graph_secret(struct graph *graph, const struct config *config,
		    const struct vars_location *location)
{
	const bool is_public = location->generator && !location->file->secret;
	const enum graph_kind kind = is_public ? GRAPH_PUBLIC : GRAPH_SECRET;
	_cleanup_free_ char *path = vars_location_path(location);
	_cleanup_free_ char *label = NULL;
	size_t count = graph->node_count, node;

	if (location->generator)
		label = text_format("%s/%s", location->generator->name, location->file->name);
	else
		label = location->machine ? text_format("%s's key", location->machine)
					  : strdup(location->file->name);
	if (!path || !label) {
		graph->no_memory = true;
		return GRAPH_NONE;
	}
	node = graph_add(graph, kind, strdup(path), label);
	if (graph->node_count == count)
		return node;
	graph_place(graph, node, location->machine, NULL, GRAPH_NONE);
	graph_fact(graph, node, "path", strdup(path));
	if (!location->generator)
		return node;
	if (location->generator->rotate_days > 0)
		graph_fact(graph, node, "rotateAfter",
			   text_format("%zu days", location->generator->rotate_days));
	graph_relate(graph, graph_find(graph, GRAPH_GENERATOR, strdup(location->generator->name)),
		     node, GRAPH_GENERATES, GRAPH_DECLARED);
	if (location->file->deploy && location->machine)
		activation_declare(graph, location->file, location->machine, label, node);
	else if (location->file->deploy)
		for (char *const *machine = config_generator_machines(config, location->generator);
		     machine && *machine; machine++)
			activation_declare(graph, location->file, *machine, label, node);
	return node;
}

struct declaring {
	struct graph *graph;
	const struct config *config;
};

static int location_declare(const struct vars_location *location, void *data, struct error *err)
{
	const struct declaring *declaring = data;

	(void)err;
	(void)graph_secret(declaring->graph, declaring->config, location);
	return 0;
}

static void generators_declare(struct graph *graph, const struct config *config)
{
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];
		const size_t node =
			graph_add(graph, GRAPH_GENERATOR, strdup(generator->name), generator->name);

		/* A machine's part does not say it. */
		if (!config->part)
			graph_fact(graph, node, "by",
				   strdup(generator->script             ? "script"
					  : generator->prompt_count > 0 ? "prompts"
									: "vmcred"));
		graph_fact(graph, node, "for",
			   strdup(generator->share ? "all its machines together"
						   : "each of its machines"));
	}
	for (size_t i = 0; i < config->generator_count; i++) {
		const struct config_generator *generator = &config->generators[i];
		const size_t node = graph_find(graph, GRAPH_GENERATOR, strdup(generator->name));

		for (char *const *name = generator->dependencies; name && *name; name++) {
			bool is_new = true;

			/* The variants of a generator have one node. */
			for (size_t j = 1; j <= generator->variant; j++)
				is_new &= !config_generator_depends_on(generator - j, *name);
			if (is_new)
				graph_relate(graph,
					     graph_find(graph, GRAPH_GENERATOR, strdup(*name)),
					     node, GRAPH_DEPENDS, GRAPH_DECLARED);
		}
	}
}

int graph_declare(struct graph *graph, const struct config *config, struct error *err)
{
	struct declaring declaring = {graph, config};

	generators_declare(graph, config);
	for (size_t i = 0; i < config->machine_count; i++) {
		const char *name = config->machines[i].name;
		const size_t node = graph_add(graph, GRAPH_MACHINE, strdup(name), name);

		graph_place(graph, node, name, NULL, GRAPH_NONE);
	}
	for (size_t i = 0; i < config->vm_count; i++)
		vm_declare(graph, config, &config->vms[i]);
	return vars_each(config, NULL, location_declare, &declaring, err);
}
