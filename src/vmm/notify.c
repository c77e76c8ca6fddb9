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

int notify_open(struct notify *notify, const char *socket_name, const struct report *report,
		struct error *err)
{
	size_t size = strlen(socket_name);

	*notify = NOTIFY_NONE;
	notify->report = report;
	if ((socket_name[0] != '/' && socket_name[0] != '@') || size < 2 ||
	    size >= sizeof(notify->manager.sun_path)) {
		error_set(err, VMCRED_USAGE, "$NOTIFY_SOCKET is no unix socket: %s", socket_name);
		return error_hint(err,
				  "it is a path, or starts with '@', and has at most %zu bytes",
				  sizeof(notify->manager.sun_path) - 1);
	}
	notify->manager.sun_family = AF_UNIX;
	memcpy(notify->manager.sun_path, socket_name, size);
	notify->manager_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	if (socket_name[0] == '@')
		notify->manager.sun_path[0] = '\0';
	else
		notify->manager_size++;
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return notify->fd < 0 ? error_set_errno(err, errno, "making a socket") : 0;
}

static void message_send(const struct notify *notify, struct span message)
{
	if (notify->fd < 0 || message.size == 0)
		return;
	if (sendto(notify->fd, message.data, message.size, MSG_NOSIGNAL,
		   (const struct sockaddr *)&notify->manager, notify->manager_size) < 0)
		report_message(notify->report, REPORT_WARNING,
			       "a message for the service manager is lost: %s",
			       strerrordesc_np(errno));
}

void notify_send(const struct notify *notify, const char *message)
{
	message_send(notify, span_of_text(message));
}

void notify_booted(const struct notify *notify)
{
	notify_send(notify, notify->guest_reports
				    ? "STATUS=The VM is booted; its guest is starting."
				    : "READY=1\nSTATUS=The VM is booted.");
}

/* What a guest may say; a row that ends with '=' takes any value, one with '*' any such name. */
static const char *const allowed[] = {"READY=1", "STATUS=", "X_SYSTEMD_*"};

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

/* UTF-8 without control characters, those above 0x7f too: it is shown on terminals. */
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

void notify_destroy(struct notify *notify)
{
	for (size_t i = 0; notify->connections && i < NOTIFY_CONNECTIONS_MAX; i++)
		cleanup_close_fd(&notify->connections[i].fd);
	free(notify->connections);
	cleanup_close_fd(&notify->listener);
	cleanup_close_fd(&notify->fd);
	if (notify->path)
		unlink(notify->path);
	free(notify->path);
	*notify = NOTIFY_NONE;
}
