/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vmm/notify.h"

/* vsock(7): the host's address; and what systemd calls a stream there. */
#define HOST_ADDRESS "vsock-stream:2:"

/* Any will do where a unix socket stands for it: each VM has its own. */
#define UNIX_PORT 8888

static const struct oem_string *credential_find(const struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].name && strcmp(list->strings[i].name, NOTIFY_CREDENTIAL) == 0)
			return &list->strings[i];
	}
	return NULL;
}

static bool credential_elsewhere(const struct oem_list *list)
{
	for (size_t i = 0; i < list->elsewhere_count; i++) {
		if (strcmp(list->elsewhere[i], NOTIFY_CREDENTIAL) == 0)
			return true;
	}
	return false;
}

/* The port in a credential that the guest gets anyway. */
static int credential_port(const struct oem_string *string, uint32_t *port, struct error *err)
{
	const struct span text = secret_span(&string->text);
	const uint8_t *equals = memchr(text.data, '=', text.size);
	char address[64], *end = address;
	unsigned long number = 0;

	snprintf(address, sizeof(address), "%.*s",
		 equals ? (int)(text.size - (size_t)(equals + 1 - text.data)) : 0,
		 equals ? (const char *)equals + 1 : "");
	if (strncmp(address, HOST_ADDRESS, strlen(HOST_ADDRESS)) == 0)
		number = strtoul(address + strlen(HOST_ADDRESS), &end, 10);
	*port = (uint32_t)number;
	if (string->encoding == OEM_TEXT && number > 0 && number < UINT32_MAX && *end == '\0')
		return 0;
	error_set(err, VMCRED_USAGE,
		  "--notify: the credential " NOTIFY_CREDENTIAL " is no " HOST_ADDRESS "PORT");
	return error_hint(err, "leave it out, or --notify");
}

static int credential_add(struct oem_list *list, uint32_t port, struct error *err)
{
	char value[64];

	snprintf(value, sizeof(value), HOST_ADDRESS "%u", port);
	return oem_list_add_credential(list, NOTIFY_CREDENTIAL, span_of_text(value), err);
}

static int guest_listen(struct notify *notify, const struct vmm_vsock *vsock, struct oem_list *list,
			struct error *err)
{
	const struct oem_string *given = credential_find(list);
	uint32_t port = vsock->socket ? UNIX_PORT : 0;
	int r = given ? credential_port(given, &port, err) : 0;

	if (vsock->cid == 0) {
		error_set(err, VMCRED_USAGE, "--notify: the VM has no vsock device");
		return error_hint(err, "the guest's messages come through one: add it, or leave "
				       "--notify out");
	}
	if (r == 0)
		r = notify_listen(notify, vsock, port, err);
	if (r == 0 && !given)
		r = credential_add(list, notify->port, err);
	notify->guest_reports = true;
	return r;
}

int notify_prepare(struct notify *notify, const struct vmm_ops *ops,
		   const struct vmm_launch *launch, struct error *err)
{
	const char *manager = getenv("NOTIFY_SOCKET");
	struct vmm_vsock vsock = {0};
	int r;

	if (!manager)
		return 0;
	if (!launch->guest_reports &&
	    (credential_find(launch->list) || credential_elsewhere(launch->list)))
		return 0;
	r = notify_open(notify, manager, launch->report, err);
	unsetenv("NOTIFY_SOCKET");
	if (r < 0 || !launch->guest_reports)
		return r;
	r = ops->vsock_find(launch, &vsock, err);
	if (r == 0)
		r = guest_listen(notify, &vsock, launch->list, err);
	free(vsock.socket);
	return r;
}
