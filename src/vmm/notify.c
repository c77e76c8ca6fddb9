/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define DEFAULT_TARGET "multi-user.target"

#define WAITING "STATUS=Waiting for proof that the guest has its credentials."

/* Whether the manager took it; otherwise its queue is full, and it is polled for. */
static bool message_send(struct notify *notify, const char *message)
{
	const struct sockaddr *manager = (const struct sockaddr *)&notify->manager;

	if (sendto(notify->fd, message, strlen(message), MSG_NOSIGNAL, manager,
		   notify->manager_size) >= 0) {
		notify->failure = 0;
		return true;
	}
	/* Only the socket of a connection can be polled for room in the peer's queue: unix(7). */
	if (errno == EAGAIN && connect(notify->fd, manager, notify->manager_size) == 0)
		return false;
	/* Once, because a guest may send any number of messages. */
	if (errno != notify->failure) {
		notify->failure = errno;
		report_message(notify->report, REPORT_WARNING,
			       "sending a message to the service manager: %s",
			       strerrordesc_np(notify->failure));
	}
	return true;
}

void notify_flush(struct notify *notify, int timeout_ms)
{
	struct pollfd room = {.fd = notify->fd, .events = POLLOUT};

	while (notify->waiting) {
		int ready = poll(&room, 1, timeout_ms);

		if (ready == 0)
			return;
		if (ready > 0 && message_send(notify, notify->waiting)) {
			free(notify->waiting);
			notify->waiting = NULL;
		}
	}
}

bool notify_has_field(const char *message, const char *field)
{
	size_t size = strlen(field);

	while (message && (strncmp(message, field, size) != 0 ||
			   (message[size] != '\n' && message[size] != '\0'))) {
		message = strchr(message, '\n');
		message += message ? 1 : 0;
	}
	return message;
}

/* The latest message replaces one that still waits, but for its NOTIFY_READY=1. */
static void message_keep(struct notify *notify, const char *message)
{
	bool is_lost = notify->waiting && notify_has_field(notify->waiting, NOTIFY_READY) &&
		       !notify_has_field(message, NOTIFY_READY);
	char *kept = text_format("%s%s", is_lost ? NOTIFY_READY "\n" : "", message);

	if (!kept)
		return;
	free(notify->waiting);
	notify->waiting = kept;
}

static void message_pass(struct notify *notify, const char *message)
{
	if (notify->fd < 0)
		return;
	notify_flush(notify, 0);
	if (notify->waiting || !message_send(notify, message))
		message_keep(notify, message);
}

/* Sends the lines of a message but NOTIFY_READY, which waits, and its status. */
static void ready_hold(struct notify *notify, const char *message)
{
	_cleanup_strings_ struct strings lines = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *rest = NULL;
	struct span text = span_of_text(message), line;
	int r = strings_add(&lines, WAITING, &ignored);

	notify->delivery.is_held_back = true;
	while (r == 0 && span_take_line(&text, &line)) {
		/* systemd uses the first status. */
		if (!span_equal(line, span_of_text(NOTIFY_READY)) &&
		    !span_starts_with(line, span_of_text("STATUS=")))
			r = strings_add_format(&lines, &ignored, "%.*s", (int)line.size,
					       (const char *)line.data);
	}
	rest = r == 0 ? strings_join(&lines, "\n") : NULL;
	if (rest)
		message_pass(notify, rest);
}

void notify_send(struct notify *notify, const char *message)
{
	if (notify->delivery.state != DELIVERY_DELIVERED && notify_has_field(message, NOTIFY_READY))
		ready_hold(notify, message);
	else
		message_pass(notify, message);
}

void notify_delivered(struct notify *notify)
{
	if (notify->delivery.is_held_back)
		message_pass(notify, NOTIFY_READY "\nSTATUS=The guest has its credentials.");
	notify->delivery.is_held_back = false;
}

void notify_exec(struct notify *notify)
{
	notify_send(notify, NOTIFY_READY);
	notify_flush(notify, -1);
}

void notify_booted(struct notify *notify)
{
	notify_send(notify, notify->guest_reports
				    ? "STATUS=The VM is booted; its guest is starting."
				    : NOTIFY_READY "\nSTATUS=The VM is booted.");
}

/* Permitted fields: '=' at the end permits any value, '*' any name that starts so. */
static const char *const allowed[] = {NOTIFY_READY, "STATUS=", "X_SYSTEMD_*"};

static size_t name_size(struct span field)
{
	size_t size = 0;

	while (size < field.size &&
	       (field.data[size] == '_' || (field.data[size] >= 'A' && field.data[size] <= 'Z') ||
		(field.data[size] >= '0' && field.data[size] <= '9')))
		size++;
	return size < field.size && field.data[size] == '=' ? size : 0;
}

static bool field_allowed(struct span field)
{
	size_t name = name_size(field);

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		size_t size = strlen(allowed[i]);
		bool open = allowed[i][size - 1] == '*';

		if (open ? name >= size && memcmp(field.data, allowed[i], size - 1) == 0
			 : name > 0 && field.size >= size &&
				    memcmp(field.data, allowed[i], size) == 0 &&
				    (allowed[i][size - 1] == '=' || field.size == size))
			return true;
	}
	return false;
}

/* UTF-8 without control characters, including those above 0x7f: it is shown on terminals. */
static bool field_printable(struct span field)
{
	for (size_t i = 0; i < field.size; i++) {
		if (field.data[i] < ' ' || field.data[i] == 0x7f)
			return false;
		if (field.data[i] == 0xc2 && i + 1 < field.size && field.data[i + 1] < 0xa0)
			return false;
	}
	return utf8_valid(field);
}

size_t notify_filter(struct span message, char *out)
{
	size_t size = 0;

	while (message.size > 0) {
		const uint8_t *newline = memchr(message.data, '\n', message.size);
		size_t length = newline ? (size_t)(newline - message.data) : message.size;
		struct span field = span_of(message.data, length);

		if (field_allowed(field) && field_printable(field)) {
			if (size > 0)
				out[size++] = '\n';
			memcpy(out + size, field.data, field.size);
			size += field.size;
		}
		length += newline ? 1 : 0;
		message = span_of(message.data + length, message.size - length);
	}
	return size;
}

static int manager_open(struct notify *notify, const char *address, const struct report *report,
			struct error *err)
{
	size_t size = strlen(address);

	notify->report = report;
	if ((address[0] != '/' && address[0] != '@') || size < 2 ||
	    size >= sizeof(notify->manager.sun_path)) {
		error_set(err, VMCRED_USAGE, "$NOTIFY_SOCKET is not a unix socket: \"%s\"",
			  address);
		return error_hint(err, "it must start with '/' or '@' and have at most %zu bytes",
				  sizeof(notify->manager.sun_path) - 1);
	}
	notify->manager.sun_family = AF_UNIX;
	memcpy(notify->manager.sun_path, address, size);
	notify->manager_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	if (address[0] == '@')
		notify->manager.sun_path[0] = '\0';
	else
		notify->manager_size++;
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return notify->fd < 0 ? error_set_errno(err, errno, "creating a socket") : 0;
}

/* The port in a credential that the user gives the guest. */
static int credential_port(const struct oem_string *string, const char *option, uint32_t *port,
			   struct error *err)
{
	const struct span text = secret_span(&string->text);
	const uint8_t *equals = memchr(text.data, '=', text.size);
	char address[64] = "", *end = address;
	unsigned long number = 0;

	if (equals)
		snprintf(address, sizeof(address), "%.*s",
			 (int)(text.size - (size_t)(equals + 1 - text.data)),
			 (const char *)equals + 1);
	if (strncmp(address, NOTIFY_HOST_ADDRESS, strlen(NOTIFY_HOST_ADDRESS)) == 0)
		number = strtoul(address + strlen(NOTIFY_HOST_ADDRESS), &end, 10);
	*port = (uint32_t)number;
	if (string->encoding == OEM_TEXT && number > 0 && number < UINT32_MAX && *end == '\0')
		return 0;
	error_set(err, VMCRED_USAGE,
		  "%s: credential " NOTIFY_CREDENTIAL " must be " NOTIFY_HOST_ADDRESS "PORT",
		  option);
	return error_hint(err, "remove the credential or %s", option);
}

static int guest_listen(struct notify *notify, const struct vmm_launch *launch,
			const struct oem_string *given, struct oem_list *list, struct error *err)
{
	const struct vmm_vsock *vsock = &launch->vsock;
	const char *ready_target = launch->ready_target;
	const char *option = vmm_option(launch, "--notify", "notify");
	uint32_t port = vsock->socket ? NOTIFY_UNIX_PORT : 0;
	char value[64];
	int r = 0;

	if (vsock->socket_missing) {
		error_set(err, VMCRED_USAGE, "%s: the socket of the vsock daemon is not known",
			  option);
		return error_hint(err, "name it with %s",
				  vmm_option(launch, "--vsock-socket", "vsockSocket"));
	}
	if (given)
		r = credential_port(given, option, &port, err);
	if (r == 0 && vsock->cid == 0) {
		error_set(err, VMCRED_USAGE, "%s: the VM has no vsock device", option);
		return error_hint(err, "add one, or remove %s", option);
	}
	if (r == 0)
		r = notify_listen(notify, vsock, port, err);
	if (r < 0)
		return r;
	notify->ready_field = text_format("X_SYSTEMD_UNIT_ACTIVE=%s",
					  ready_target ? ready_target : DEFAULT_TARGET);
	if (!notify->ready_field)
		return error_no_memory(err);
	notify->guest_reports = true;
	if (given)
		return 0;
	snprintf(value, sizeof(value), NOTIFY_HOST_ADDRESS "%u", notify->port);
	return oem_list_add_credential(list, NOTIFY_CREDENTIAL, span_of_text(value), err);
}

int notify_prepare(struct notify *notify, struct vmm_launch *launch, struct error *err)
{
	const char *manager = getenv("NOTIFY_SOCKET");
	struct oem_list *list = &launch->list;
	const struct oem_string *given = NULL;
	int r;

	if (!manager)
		return 0;
	for (size_t i = 0; i < list->count && !given; i++) {
		if (list->strings[i].name && strcmp(list->strings[i].name, NOTIFY_CREDENTIAL) == 0)
			given = &list->strings[i];
	}
	if (!launch->guest_reports &&
	    (given || strings_contain(&list->elsewhere, NOTIFY_CREDENTIAL)))
		return 0;
	r = manager_open(notify, manager, launch->report, err);
	unsetenv("NOTIFY_SOCKET");
	if (r < 0 || !launch->guest_reports)
		return r;
	return guest_listen(notify, launch, given, list, err);
}

void notify_destroy(struct notify *notify)
{
	channel_relay_destroy(&notify->channel);
	delivery_wait_destroy(&notify->delivery);
	for (size_t i = 0; notify->connections && i < NOTIFY_CONNECTIONS_MAX; i++)
		cleanup_close_fd(&notify->connections[i].fd);
	free(notify->connections);
	free(notify->waiting);
	free(notify->ready_field);
	cleanup_close_fd(&notify->listener);
	cleanup_close_fd(&notify->fd);
	if (notify->path)
		unlink(notify->path);
	free(notify->path);
	*notify = NOTIFY_NONE;
}
