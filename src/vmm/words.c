/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/quotation.h"

/* A pipe, a terminal or a socket that is ready takes this much without waiting: PIPE_BUF of
 * pipe(7). */
#define PIECE_SIZE 4096

/* How long a standard error that is full may hold up our end. */
#define FINISH_TIMEOUT_MS 1000

/* A line that is not finished by then is left out: it cannot be looked at as a whole. */
#define LINE_SIZE_MAX ((size_t)256 * 1024)

int words_create(struct words *words, const struct oem_list *list, const struct report *report,
		 int *child_end, struct error *err)
{
	int ends[2];

	*words = WORDS_NONE;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	words->from = ends[0];
	words->to = STDERR_FILENO;
	words->list = list;
	words->report = report;
	*child_end = ends[1];
	if (fcntl(words->from, F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "making a pipe");
	return 0;
}

struct pollfd words_poll(const struct words *words)
{
	if (words->checked > 0)
		return (struct pollfd){.fd = words->to, .events = POLLOUT};
	return (struct pollfd){.fd = words->from, .events = POLLIN};
}

/* Keeps the end of a text that is public, as one line. */
static void quoted_add(struct words *words, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		uint8_t byte = text.data[i];
		bool blank = byte == '\n' || byte == '\t' || byte == ' ';
		size_t used = words->quoted_size;

		if (blank && (used == 0 || words->quoted[used - 1] == ' '))
			continue;
		if (used == sizeof(words->quoted)) {
			memmove(words->quoted, words->quoted + used / 4, used - used / 4);
			used -= used / 4;
		}
		/* What could move the cursor does not go into an error. */
		if (blank)
			byte = ' ';
		words->quoted[used] = (char)(byte < ' ' || byte > '~' ? '?' : byte);
		words->quoted_size = used + 1;
	}
}

static void held_drop(struct words *words, size_t at, size_t size)
{
	memmove(words->held.data + at, words->held.data + at + size, words->held.size - at - size);
	words->held.size -= size;
}

/* Writes as much of what is checked as is taken. */
static void words_write(struct words *words)
{
	while (words->checked > 0) {
		struct pollfd ready = {.fd = words->to, .events = POLLOUT};
		size_t size = words->checked < PIECE_SIZE ? words->checked : PIECE_SIZE;
		ssize_t written;

		if (poll(&ready, 1, 0) <= 0)
			return;
		written = write(words->to, words->held.data, size);
		if (written < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		/* Nobody reads it any more: the VMM goes on, as it would without us. */
		if (written < 0)
			written = (ssize_t)size;
		held_drop(words, 0, (size_t)written);
		words->checked -= (size_t)written;
	}
}

/* Looks at a line, which follows what is checked already. */
static void line_check(struct words *words, size_t size)
{
	struct span line = span_of(words->held.data + words->checked, size);

	if (words->list && quotation_found(line, words->list)) {
		/* In its place, if there is room for what comes before it. */
		words_write(words);
		report_message(words->report, REPORT_WARNING,
			       "a line of the VMM's repeats an OEM string and is not shown");
		held_drop(words, words->checked, size);
		return;
	}
	if (words->list)
		quoted_add(words, line);
	words->checked += size;
}

/* The end of the first line that is not looked at yet; NULL: it is still to come. */
static const uint8_t *line_end(const struct words *words)
{
	const uint8_t *newline = NULL;

	if (words->checked < words->held.size)
		newline = memchr(words->held.data + words->checked, '\n',
				 words->held.size - words->checked);
	return newline ? newline + 1 : NULL;
}

/* What belongs to a line that is left out. */
static void line_skip(struct words *words)
{
	const uint8_t *end = line_end(words);

	held_drop(words, words->checked,
		  (end ? (size_t)(end - words->held.data) : words->held.size) - words->checked);
	words->skipping = !end;
}

static void held_check(struct words *words)
{
	const uint8_t *end;

	if (words->skipping)
		line_skip(words);
	if (!words->list)
		words->checked = words->held.size;
	while ((end = line_end(words)))
		line_check(words, (size_t)(end - words->held.data) - words->checked);
	if (words->held.size - words->checked <= LINE_SIZE_MAX)
		return;
	report_message(words->report, REPORT_WARNING,
		       "a line of the VMM's is too long to be looked at and is not shown");
	line_skip(words);
}

/* Whether there may be more to read at once. */
static bool words_read(struct words *words)
{
	_cleanup_error_ struct error ignored = {0};
	ssize_t got;

	if (words->from < 0 ||
	    secret_reserve(&words->held, words->held.size + PIECE_SIZE, &ignored))
		return false;
	got = read(words->from, words->held.data + words->held.size, PIECE_SIZE);
	if (got < 0)
		return errno == EINTR;
	if (got == 0) {
		close(fd_release(&words->from));
		return false;
	}
	words->held.size += (size_t)got;
	held_check(words);
	return true;
}

void words_pass(struct words *words)
{
	words_write(words);
	while (words->checked == 0 && words_read(words))
		words_write(words);
	if (!words->list && words->held.size == 0)
		secret_destroy(&words->held);
}

static void rest_check(struct words *words)
{
	if (words->checked < words->held.size)
		line_check(words, words->held.size - words->checked);
}

void words_trust(struct words *words)
{
	if (!words->list)
		return;
	rest_check(words);
	words->list = NULL;
	words->quoted_size = 0;
	words_pass(words);
}

void words_finish(struct words *words)
{
	struct pollfd ready = {.fd = words->to, .events = POLLOUT};

	do {
		words_pass(words);
		if (words->checked == 0)
			rest_check(words);
		words_write(words);
	} while (words->checked > 0 && poll(&ready, 1, FINISH_TIMEOUT_MS) > 0);
}

void words_quote(const struct words *words, struct error *err)
{
	size_t size = words->quoted_size;

	while (size > 0 && words->quoted[size - 1] == ' ')
		size--;
	if (size > 0)
		error_hint(err, "it said: %.*s", (int)size, words->quoted);
}

void words_destroy(struct words *words)
{
	cleanup_close_fd(&words->from);
	secret_destroy(&words->held);
	*words = WORDS_NONE;
}
