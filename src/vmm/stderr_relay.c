/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/stderr_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A pipe, terminal or socket that is ready accepts this much without blocking: PIPE_BUF, pipe(7).
 */
#define PIECE_SIZE 4096

/* How long a full standard error may delay our end. */
#define FINISH_TIMEOUT_MS 1000

/* A longer line is hidden, because it cannot be checked as a whole. */
#define LINE_SIZE_MAX ((size_t)64 * 1024)

int stderr_relay_create(struct stderr_relay *relay, const struct oem_list *list,
			const char *expose_log, const struct report *report, int *child_end,
			struct error *err)
{
	int ends[2];

	*relay = STDERR_RELAY_NONE;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	relay->from = ends[0];
	relay->to = STDERR_FILENO;
	relay->list = list;
	relay->expose_log = expose_log;
	relay->report = report;
	*child_end = ends[1];
	if (fcntl(relay->from, F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	return 0;
}

struct pollfd stderr_relay_poll(const struct stderr_relay *relay)
{
	if (relay->checked > 0)
		return (struct pollfd){.fd = relay->to, .events = POLLOUT};
	return (struct pollfd){.fd = relay->from, .events = POLLIN};
}

/* Keeps the end of public text, as one line without control characters. */
static void quoted_add(struct stderr_relay *relay, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		uint8_t byte = text.data[i];
		bool blank = byte == '\n' || byte == '\t' || byte == ' ';
		size_t used = relay->quoted_size;

		if (blank && (used == 0 || relay->quoted[used - 1] == ' '))
			continue;
		if (used == sizeof(relay->quoted)) {
			memmove(relay->quoted, relay->quoted + used / 4, used - used / 4);
			used -= used / 4;
		}
		if (blank)
			byte = ' ';
		relay->quoted[used] = (char)(byte < ' ' || byte > '~' ? '?' : byte);
		relay->quoted_size = used + 1;
	}
}

static void pending_remove(struct stderr_relay *relay, size_t at, size_t size)
{
	memmove(relay->pending.data + at, relay->pending.data + at + size,
		relay->pending.size - at - size);
	relay->pending.size -= size;
}

/* Writes as many of the checked bytes as possible. */
static void pending_write(struct stderr_relay *relay)
{
	while (relay->checked > 0) {
		struct pollfd ready = {.fd = relay->to, .events = POLLOUT};
		size_t size = relay->checked < PIECE_SIZE ? relay->checked : PIECE_SIZE;
		ssize_t written;

		if (poll(&ready, 1, 0) <= 0)
			return;
		written = write(relay->to, relay->pending.data, size);
		if (written < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		/* Without a reader the VMM continues, as it would without us. */
		if (written < 0)
			written = (ssize_t)size;
		pending_remove(relay, 0, (size_t)written);
		relay->checked -= (size_t)written;
	}
}

/* Whether the line repeats a credential, of which the lines before it may have the start. */
static bool line_repeats(const struct stderr_relay *relay, struct span line)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret text = {0};

	return secret_copy(&text, span_of(relay->before, relay->before_size), &ignored) < 0 ||
	       secret_append(&text, line, &ignored) < 0 ||
	       oem_list_is_quoted(relay->list, secret_span(&text));
}

static void before_keep(struct stderr_relay *relay, struct span line)
{
	size_t size = line.size < STDERR_BEFORE_MAX ? line.size : STDERR_BEFORE_MAX;
	size_t kept = relay->before_size < STDERR_BEFORE_MAX - size ? relay->before_size
								    : STDERR_BEFORE_MAX - size;

	memmove(relay->before, relay->before + relay->before_size - kept, kept);
	memcpy(relay->before + kept, line.data + line.size - size, size);
	relay->before_size = kept + size;
}

static void line_accept(struct stderr_relay *relay, struct span line)
{
	before_keep(relay, line);
	quoted_add(relay, line);
	relay->checked += line.size;
}

/* Checks the line of that size after the checked bytes. */
static void line_check(struct stderr_relay *relay, size_t size)
{
	struct span line = span_of(relay->pending.data + relay->checked, size);

	if (relay->list && line_repeats(relay, line)) {
		/* Written first, so that the warning replaces the line. */
		pending_write(relay);
		report_message(relay->report, REPORT_WARNING,
			       "a line of the VMM's output is hidden because it repeats a "
			       "credential; %s shows it",
			       relay->expose_log);
		pending_remove(relay, relay->checked, size);
		return;
	}
	if (relay->list)
		line_accept(relay, line);
	else
		relay->checked += size;
}

/* Checks all complete lines together, which takes hardly longer than one of them. */
static void lines_check(struct stderr_relay *relay)
{
	const uint8_t *start = relay->pending.data + relay->checked;
	const uint8_t *newline = memrchr(start, '\n', relay->pending.size - relay->checked);
	const struct span lines = span_of(start, newline ? (size_t)(newline + 1 - start) : 0);

	if (relay->list && lines.size > 0 && !line_repeats(relay, lines))
		line_accept(relay, lines);
}

/* Size of the first unchecked line; 0: it is not complete. */
static size_t line_size(const struct stderr_relay *relay)
{
	const uint8_t *start, *newline;

	if (relay->checked == relay->pending.size)
		return 0;
	start = relay->pending.data + relay->checked;
	newline = memchr(start, '\n', relay->pending.size - relay->checked);
	return newline ? (size_t)(newline + 1 - start) : 0;
}

/* Removes the rest of a hidden line. */
static void line_skip(struct stderr_relay *relay)
{
	size_t size = line_size(relay);

	pending_remove(relay, relay->checked,
		       size > 0 ? size : relay->pending.size - relay->checked);
	relay->skipping = size == 0;
}

static void pending_check(struct stderr_relay *relay)
{
	size_t size;

	if (relay->skipping)
		line_skip(relay);
	if (!relay->list)
		relay->checked = relay->pending.size;
	lines_check(relay);
	while ((size = line_size(relay)) > 0)
		line_check(relay, size);
	if (relay->pending.size - relay->checked <= LINE_SIZE_MAX)
		return;
	report_message(relay->report, REPORT_WARNING,
		       "a line of the VMM's output is hidden because it is too long to check");
	line_skip(relay);
}

/* Whether more may be available at once. */
static bool pending_read(struct stderr_relay *relay)
{
	_cleanup_error_ struct error ignored = {0};
	ssize_t got;

	if (relay->from < 0 ||
	    secret_reserve(&relay->pending, relay->pending.size + PIECE_SIZE, &ignored))
		return false;
	got = read(relay->from, relay->pending.data + relay->pending.size, PIECE_SIZE);
	if (got < 0)
		return errno == EINTR;
	if (got == 0) {
		close(fd_release(&relay->from));
		return false;
	}
	relay->pending.size += (size_t)got;
	pending_check(relay);
	return true;
}

/* Returns how many of the pieces were not read. */
static size_t pieces_forward(struct stderr_relay *relay, size_t pieces)
{
	pending_write(relay);
	while (pieces > 0 && relay->checked == 0 && pending_read(relay)) {
		pending_write(relay);
		pieces--;
	}
	if (!relay->list && relay->pending.size == 0)
		secret_destroy(&relay->pending);
	return pieces;
}

void stderr_relay_forward(struct stderr_relay *relay)
{
	(void)pieces_forward(relay, 1);
}

/* An unfinished line counts as a whole one. */
static void rest_check(struct stderr_relay *relay)
{
	if (relay->checked < relay->pending.size)
		line_check(relay, relay->pending.size - relay->checked);
}

void stderr_relay_trust(struct stderr_relay *relay)
{
	if (!relay->list)
		return;
	rest_check(relay);
	relay->list = NULL;
	relay->quoted_size = 0;
	stderr_relay_forward(relay);
}

void stderr_relay_finish(struct stderr_relay *relay)
{
	struct pollfd ready = {.fd = relay->to, .events = POLLOUT};
	size_t pieces = 1; /* an unfinished one, or the end */
	int available;

	/* Only what the VMM wrote: a process that it started may go on writing. */
	if (relay->from >= 0 && ioctl(relay->from, FIONREAD, &available) == 0)
		pieces += (size_t)available / PIECE_SIZE;
	do {
		pieces = pieces_forward(relay, pieces);
		if (relay->checked == 0)
			rest_check(relay);
		pending_write(relay);
	} while (relay->checked > 0 && poll(&ready, 1, FINISH_TIMEOUT_MS) > 0);
}

void stderr_relay_quote(const struct stderr_relay *relay, struct error *err)
{
	size_t size = relay->quoted_size;

	while (size > 0 && relay->quoted[size - 1] == ' ')
		size--;
	if (size > 0)
		error_hint(err, "its output: %.*s", (int)size, relay->quoted);
}

void stderr_relay_destroy(struct stderr_relay *relay)
{
	cleanup_close_fd(&relay->from);
	secret_destroy(&relay->pending);
	*relay = STDERR_RELAY_NONE;
}
