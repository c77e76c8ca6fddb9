/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/requests.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/api_client.h"
#include "vmm/cloud_hypervisor/descriptors.h"
#include "vmm/cloud_hypervisor/version.h"
#include "vmm/quotation.h"

/* Starting and reading a configuration take milliseconds; touching all of a large guest's memory
 * takes minutes. */
#define CREATE_TIMEOUT_MS (60 * 1000)
#define BOOT_TIMEOUT_MS   (10 * 60 * 1000)

/* An answer that is an error: a JSON list of messages, from the outermost to the cause. */
static int reply_reject(const struct api_reply *reply, const struct oem_list *list,
			struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_json_ json_t *messages = NULL;
	size_t count;

	error_set(err, VMCRED_FAILED, "its API refused it with status %d", reply->status);
	if (quotation_found(secret_span(&reply->body), list))
		return error_hint(err, "its answer repeats an OEM string and is not shown");
	if (json_parse(secret_span(&reply->body), "the answer", &messages, &ignored) < 0)
		return error_hint(err, "it gave no reason");
	/* The cause first: error_wrap() puts each outer message in front. */
	count = json_array_size(messages);
	for (size_t i = count; i > 0; i--) {
		const char *text = json_string_value(json_array_get(messages, i - 1));

		if (text && i == count)
			error_set(err, VMCRED_FAILED, "%s", text);
		else if (text)
			error_wrap(err, "%s", text);
	}
	return -(int)err->code;
}

/* One request; anything but success is an error. */
static int request(const struct cloud_hypervisor_api *api, struct api_call call,
		   struct api_reply *reply, struct error *err)
{
	int r;

	call.fd = api->fd;
	call.interrupts[0] = api->interrupts[0];
	call.interrupts[1] = api->interrupts[1];
	call.words = api->words;
	r = api_call(&call, reply, err);
	if (r == 0 && reply->status / 100 != 2)
		r = reply_reject(reply, api->list, err);
	if (r == 0)
		report_message(api->report, REPORT_DEBUG, "%s: status %d", call.resource,
			       reply->status);
	return r;
}

/* What its version has to know. */
static int needs_check(const struct cloud_hypervisor_api *api,
		       const struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.method = "GET", .resource = "/api/v1/vmm.ping", .timeout_ms = CREATE_TIMEOUT_MS};
	int r = request(api, call, &reply, err);

	if (r < 0)
		return error_wrap(err, "asking for its version");
	return cloud_hypervisor_needs_check(config, secret_span(&reply.body), err);
}

static int vm_create(const struct cloud_hypervisor_api *api,
		     const struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	_cleanup_secret_ struct secret body = {0};
	struct api_call call = {.resource = "/api/v1/vm.create", .timeout_ms = CREATE_TIMEOUT_MS};
	int r = cloud_hypervisor_config_body(config, api->list, &body, err);

	call.body = secret_span(&body);
	if (r == 0)
		r = request(api, call, &reply, err);
	return r < 0 ? error_wrap(err, "creating the VM") : 0;
}

/* The interfaces that vm.create did not make, in their order. */
static int interfaces_add(const struct cloud_hypervisor_api *api,
			  const struct cloud_hypervisor_config *config, struct error *err)
{
	const json_t *net = json_object_get(config->vm, "net");
	int r = 0;

	for (size_t i = cloud_hypervisor_interfaces_at_once(config);
	     i < json_array_size(net) && r == 0; i++) {
		_cleanup_api_reply_ struct api_reply reply = {0};
		_cleanup_secret_ struct secret body = {0};
		int fds[API_DESCRIPTORS_MAX];
		struct api_call call = {.resource = "/api/v1/vm.add-net",
					.timeout_ms = CREATE_TIMEOUT_MS,
					.fds = fds};

		r = cloud_hypervisor_interface_body(json_array_get(net, i), &body, fds,
						    &call.fd_count, err);
		call.body = secret_span(&body);
		if (r == 0)
			r = request(api, call, &reply, err);
		if (r < 0)
			error_wrap(err, "adding interface %zu", i + 1);
	}
	return r;
}

static int vm_boot(const struct cloud_hypervisor_api *api, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {.resource = "/api/v1/vm.boot", .timeout_ms = BOOT_TIMEOUT_MS};
	int r = request(api, call, &reply, err);

	return r < 0 ? error_wrap(err, "booting the VM") : 0;
}

int cloud_hypervisor_vm_start(const struct cloud_hypervisor_api *api,
			      const struct cloud_hypervisor_config *config, struct error *err)
{
	int r = config->need_count > 0 ? needs_check(api, config, err) : 0;

	if (r == 0)
		r = vm_create(api, config, err);
	if (r == 0)
		r = interfaces_add(api, config, err);
	cloud_hypervisor_descriptors_close(config);
	return r == 0 ? vm_boot(api, err) : r;
}
