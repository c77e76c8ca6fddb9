/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/delivery_wait.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "vmm/driver.h"

#define READ_MS 200

static int key_parse(struct delivery_wait *wait, struct span text, struct error *err)
{
	struct channel_key key;
	int r = channel_key_parse(text, &key, err);

	if (r < 0)
		return error_wrap(err, "credential " CHANNEL_CREDENTIAL);
	memcpy(wait->unit, key.unit, sizeof(key.unit));
	delivery_id_write(span_of(key.key, sizeof(key.key)), wait->id);
	memory_wipe(&key, sizeof(key));
	return 0;
}

int vmm_manifest_add(struct oem_list *list, struct error *err)
{
	_cleanup_secret_ struct secret manifest = {0}, value = {0};
	int r = delivery_manifest_create(&manifest, err);
	bool is_needed = false;

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		const struct oem_string *string = &list->strings[i];

		if (!string->name)
			continue;
		secret_destroy(&value);
		r = string->text.data ? oem_string_value(string, &value, err) : 0;
		if (r == 0)
			r = delivery_manifest_add(&manifest, string->name,
						  span_of(value.data, string->value_size), err);
		is_needed = is_needed || string->origin != OEM_ARGUMENTS;
	}
	/* A VM without credentials, such as one that is restored, may have no way for it either. */
	return r < 0 || !is_needed ? r
				   : oem_list_add_credential(list, DELIVERY_MANIFEST,
							     secret_span(&manifest), err);
}

int delivery_wait_prepare(struct delivery_wait *wait, struct vmm_launch *launch, struct span key,
			  struct error *err)
{
	const size_t count = launch->list.count;
	int r;

	wait->report = launch->report;
	if (key.size == 0) {
		if (!launch->requires_delivery)
			return 0;
		error_set(err, VMCRED_USAGE, "%s: the VM has no channel",
			  vmm_option(launch, "--require-delivery", "requireDelivery"));
		return error_hint(err, "declare channelCredentials");
	}
	r = key_parse(wait, key, err);
	if (r == 0)
		r = vmm_manifest_add(&launch->list, err);
	if (r == 0 && launch->requires_delivery && launch->list.count > count)
		wait->state = DELIVERY_SENT;
	return r;
}

void delivery_wait_poll(const struct delivery_wait *wait, int64_t *deadline)
{
	if (delivery_is_awaited(wait) && wait->next < *deadline)
		*deadline = wait->next;
}

/* A file that cannot be read may be complete next time. */
static void failure_report(struct delivery_wait *wait, const struct error *problem)
{
	_cleanup_free_ char *line = error_line(problem);

	if (!wait->is_reported)
		report_message(wait->report, REPORT_WARNING,
			       "reading the guest's report of its credentials: %s",
			       line ? line : "out of memory");
	wait->is_reported = true;
}

void delivery_wait_run(struct delivery_wait *wait)
{
	_cleanup_delivery_report_ struct delivery_report report = {0};
	_cleanup_error_ struct error problem = {0};
	_cleanup_free_ char *text = NULL;
	const int64_t now = clock_now_ms();

	if (!delivery_is_awaited(wait) || now < wait->next)
		return;
	wait->next = now + READ_MS;
	if (delivery_report_read(NULL, wait->unit, &report, &problem) < 0) {
		failure_report(wait, &problem);
		return;
	}
	/* Another start's. */
	if (strcmp(report.id, wait->id) != 0)
		return;
	wait->state = delivery_report_state(&report, NULL);
	if (wait->state != DELIVERY_REJECTED)
		return;
	text = delivery_report_text(&report);
	error_set(&wait->rejection, VMCRED_INTEGRITY,
		  "the guest did not get its credentials whole: %s", text ? text : "out of memory");
}

void delivery_wait_destroy(struct delivery_wait *wait)
{
	error_clear(&wait->rejection);
}
