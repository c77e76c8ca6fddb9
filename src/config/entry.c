/* SPDX-License-Identifier: Apache-2.0 */
/* The declaration of a single VM on one line, for its unit. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "config/schema.h"

/* systemd reads lines of up to 1 MiB, and has as much for all credentials of a unit. */
#define ENTRY_SIZE_MAX ((size_t)256 * 1024)

static int text_print(FILE *stream, struct span text)
{
	_cleanup_json_ json_t *string = json_stringn((const char *)text.data, text.size);

	return string ? json_dumpf(string, stream, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : -1;
}

static bool is_string(const struct yaml_node *scalar)
{
	_cleanup_error_ struct error ignored = {0};
	struct yaml_scalar resolved;

	return yaml_resolve(scalar->tag, scalar->value, &resolved, &ignored) <= 0 ||
	       resolved.type == YAML_STRING;
}

/* What is plain stays plain: 0x10 may be a number or a text. */
static int scalar_print(FILE *stream, const struct yaml_node *scalar)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._+~";
	const struct span text = scalar->value;
	bool is_plain = !scalar->quoted;

	for (size_t i = 0; is_plain && i < text.size; i++)
		is_plain = strchr(plain, text.data[i]) || !is_string(scalar);
	if (!is_plain)
		return text_print(stream, text);
	return fwrite(text.data, 1, text.size, stream) == text.size ? 0 : -1;
}

static bool is_one_of(struct span key, const char *const *keys)
{
	while (*keys && !span_equal(key, span_of_text(*keys)))
		keys++;
	return *keys;
}

int schema_node_print(FILE *stream, const struct yaml_node *node, const char *const *without,
		      size_t size_max)
{
	const struct yaml_node *end;
	bool mapping, any = false;
	int r = 0;

	node = yaml_target(node);
	if (ftell(stream) > (long)size_max)
		return -1;
	if (node->kind == YAML_SCALAR)
		return scalar_print(stream, node);
	mapping = node->kind == YAML_MAPPING;
	end = yaml_end(node);
	fputc(mapping ? '{' : '[', stream);
	for (const struct yaml_node *child = node + 1; r == 0 && child < end;
	     child = yaml_end(child)) {
		const struct span key = yaml_target(child)->value;

		child = mapping ? yaml_end(child) : child;
		if (without && is_one_of(key, without))
			continue;
		fputs(any ? "," : "", stream);
		any = true;
		r = mapping ? text_print(stream, key) : 0;
		fputs(mapping ? ":" : "", stream);
		if (r == 0)
			r = schema_node_print(stream, child, NULL, size_max);
	}
	fputc(mapping ? '}' : ']', stream);
	return r;
}

/* Negative: too large, or out of memory. */
static int entry_print(FILE *stream, const struct yaml_node *hypervisors,
		       const struct yaml_node *name, const struct yaml_node *vm)
{
	/* They would need the generators and machines; credentials are lines of the unit anyway. */
	static const char *const elsewhere[] = {"loadCredentials", "channelCredentials", "machine",
						NULL};
	int r = 0;

	fputs("{", stream);
	if (hypervisors) {
		fputs("\"hypervisors\":", stream);
		r = schema_node_print(stream, hypervisors, NULL, ENTRY_SIZE_MAX);
		fputs(",", stream);
	}
	fputs("\"vms\":{", stream);
	if (r == 0)
		r = text_print(stream, yaml_target(name)->value);
	fputs(":", stream);
	if (r == 0)
		r = schema_node_print(stream, vm, elsewhere, ENTRY_SIZE_MAX);
	fputs("}}", stream);
	return r;
}

void schema_entries(const struct yaml_node *root, struct config *config)
{
	const struct yaml_node *hypervisors = yaml_member(root, "hypervisors");
	const struct yaml_node *vms = yaml_member(root, "vms"), *key = vms + 1;
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	/* One for all: its buffer is wiped when it is freed. */
	stream = open_memstream(&text, &size);
	for (size_t i = 0; stream && i < config->vm_count; i++, key = yaml_end(yaml_end(key))) {
		rewind(stream);
		if (entry_print(stream, hypervisors, key, yaml_end(key)) == 0 &&
		    fflush(stream) == 0 && !ferror(stream) && size <= ENTRY_SIZE_MAX)
			config->vms[i].entry = schema_text(config, text, size, &ignored);
	}
}

int config_load_entry(const char *credentials, struct config *config, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (!credentials)
		return 0;
	path = text_format("%s/%s", credentials, CONFIG_ENTRY_CREDENTIAL);
	if (!path)
		return error_no_memory(err);
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	r = config_load_file(path, config, err);
	return r < 0 ? r : 1;
}
