/* SPDX-License-Identifier: Apache-2.0 */
/* The body of vm.create: the public configuration, and the OEM strings in secret memory. */
#include "base/json.h"
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

/* Appends a public member, after a comma unless it is the first; without a value only its name. */
static int member_append(struct secret *body, bool *first, const char *name, const json_t *value,
			 struct error *err)
{
	int r = *first ? 0 : secret_append_text(body, ",", err);

	*first = false;
	if (r == 0)
		r = json_append_string(body, span_of_text(name), err);
	if (r == 0)
		r = secret_append_text(body, ":", err);
	return r == 0 && value ? json_append_value(body, value, JSON_COMPACT, err) : r;
}

/* Credentials in the initrd are not OEM strings, too. */
static bool is_in_body(const struct cloud_hypervisor_config *config,
		       const struct oem_string *string)
{
	return !config->uses_initrd || string->origin == OEM_ARGUMENTS;
}

static size_t strings_count(const struct cloud_hypervisor_config *config,
			    const struct oem_list *list)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		count += is_in_body(config, &list->strings[i]);
	return count;
}

/* `*count`: how many were appended. */
static int string_append(struct secret *body, const struct oem_string *string, size_t *count,
			 struct error *err)
{
	int r = secret_append_text(body, (*count)++ > 0 ? "," : "[", err);

	return r < 0 ? r : json_append_string(body, secret_span(&string->text), err);
}

static int platform_append(const struct cloud_hypervisor_config *config, struct secret *body,
			   bool *first, json_t *platform, const struct oem_list *list,
			   struct error *err)
{
	const size_t strings = strings_count(config, list);
	bool inner_first = true;
	size_t count = 0;
	const char *name;
	json_t *value;
	int r = member_append(body, first, "platform", NULL, err);

	if (r == 0)
		r = secret_append_text(body, "{", err);
	json_object_foreach(platform, name, value)
	{
		if (r == 0)
			r = member_append(body, &inner_first, name, value, err);
	}
	if (r == 0 && strings > 0)
		r = member_append(body, &inner_first, "oem_strings", NULL, err);
	for (size_t i = 0; i < list->count && r == 0; i++) {
		if (is_in_body(config, &list->strings[i]))
			r = string_append(body, &list->strings[i], &count, err);
	}
	return r == 0 ? secret_append_text(body, strings > 0 ? "]}" : "}", err) : r;
}

/* Appends the interfaces without descriptors. Even an empty list is sent: with --landlock the VM
 * may open /dev/net/tun only because of it. */
static int net_append(struct secret *body, bool *first, const json_t *net, size_t count,
		      struct error *err)
{
	_cleanup_json_ json_t *first_ones = json_array();
	int r = first_ones ? 0 : error_no_memory(err);

	for (size_t i = 0; i < count && r == 0; i++) {
		if (json_array_append(first_ones, json_array_get(net, i)) < 0)
			r = error_no_memory(err);
	}
	return r == 0 ? member_append(body, first, "net", first_ones, err) : r;
}

int cloud_hypervisor_config_body(const struct cloud_hypervisor_config *config,
				 const struct oem_list *list, struct secret *body,
				 struct error *err)
{
	json_t *platform = json_object_get(config->vm, "platform");
	const json_t *net = json_object_get(config->vm, "net");
	size_t at_once = cloud_hypervisor_interfaces_at_once(config);
	bool first = true;
	const char *name;
	json_t *value;
	int r = secret_append_text(body, "{", err);

	json_object_foreach(config->vm, name, value)
	{
		if (r < 0 || value == platform)
			continue;
		if (value == net && at_once < json_array_size(net))
			r = net_append(body, &first, net, at_once, err);
		else
			r = member_append(body, &first, name, value, err);
	}
	if (r == 0 && (platform || strings_count(config, list) > 0))
		r = platform_append(config, body, &first, platform, list, err);
	return r == 0 ? secret_append_text(body, "}", err) : r;
}
