/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor_requests.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/api_client.h"
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
static int request(const struct cloud_hypervisor_api *api, const char *resource, struct span body,
		   int timeout_ms, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.fd = api->fd,
		.interrupts = {api->interrupts[0], api->interrupts[1]},
		.timeout_ms = timeout_ms,
		.resource = resource,
		.body = body,
		.words = api->words,
	};
	int r = api_call(&call, &reply, err);

	if (r == 0 && reply.status / 100 != 2)
		r = reply_reject(&reply, api->list, err);
	if (r == 0)
		report_message(api->report, REPORT_DEBUG, "%s: status %d", resource, reply.status);
	return r;
}

int cloud_hypervisor_vm_start(const struct cloud_hypervisor_api *api,
			      const struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_secret_ struct secret body = {0};
	int r = cloud_hypervisor_config_body(config, api->list, &body, err);

	if (r == 0)
		r = request(api, "/api/v1/vm.create", secret_span(&body), CREATE_TIMEOUT_MS, err);
	secret_destroy(&body);
	if (r < 0)
		return error_wrap(err, "creating the VM");
	r = request(api, "/api/v1/vm.boot", span_of(NULL, 0), BOOT_TIMEOUT_MS, err);
	return r < 0 ? error_wrap(err, "booting the VM") : 0;
}
