/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define QUIET_MS    500 /* shorter work shows no progress */
#define INTERVAL_MS 100 /* between two drawings */

/* Carriage return and Erase in Line (ECMA-48). */
#define CLEAR "\r\033[K"

/* For a terminal that does not report its width. */
#define COLUMNS_DEFAULT 80

static bool terminal_is_ours(void)
{
	const char *type = getenv("TERM");
	pid_t foreground;

	if (!isatty(STDERR_FILENO) || (type && strcmp(type, "dumb") == 0))
		return false;
	/* Fails where it is not the controlling terminal: then no other job draws there. */
	foreground = tcgetpgrp(STDERR_FILENO);
	return foreground < 0 || foreground == getpgrp();
}

/* A longer line would wrap and could not be erased. */
static size_t columns_count(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return COLUMNS_DEFAULT;
	return size.ws_col;
}

/* "90 s", "2 min", "3 h" */
static void duration_format(uint64_t seconds, char *text, size_t size)
{
	if (seconds < 120)
		snprintf(text, size, "%llu s", (unsigned long long)seconds);
	else if (seconds < (uint64_t)120 * 60)
		snprintf(text, size, "%llu min", (unsigned long long)seconds / 60);
	else
		snprintf(text, size, "%llu h", (unsigned long long)seconds / 3600);
}

static void line_draw(size_t done, size_t total, uint64_t taken_ms)
{
	char text[128] = CLEAR, left[32];
	const size_t start = strlen(text), columns = columns_count();
	size_t length;

	snprintf(text + start, sizeof(text) - start, "%zu/%zu (%zu %%)", done, total,
		 (size_t)((double)done / (double)total * 100));
	length = strlen(text);
	if (done > 0) {
		duration_format(
			(uint64_t)((double)taken_ms / (double)done * (double)(total - done) / 1000 +
				   0.999),
			left, sizeof(left));
		snprintf(text + length, sizeof(text) - length, ", %s left", left);
	}
	length = strlen(text);
	if (length - start >= columns)
		length = start + columns - 1;
	/* One call, so that no other output comes in between. */
	(void)!write(STDERR_FILENO, text, length);
}

void progress_show(const struct report *report, size_t done, size_t total)
{
	struct progress *progress = report->data;
	const int64_t now = clock_now_ms();

	if (!progress->running)
		*progress = (struct progress){.running = true, .started_ms = now, .drawn_ms = now};
	if (done >= total) {
		progress_clear(progress);
		progress->running = false;
		return;
	}
	if (now - progress->started_ms < QUIET_MS || now - progress->drawn_ms < INTERVAL_MS)
		return;
	progress->drawn_ms = now;
	if (!terminal_is_ours())
		return;
	line_draw(done, total, (uint64_t)(now - progress->started_ms));
	progress->drawn = true;
}

void progress_clear(struct progress *progress)
{
	if (progress->drawn)
		(void)!write(STDERR_FILENO, CLEAR, strlen(CLEAR));
	progress->drawn = false;
}
