/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A progress line for long work, on the terminal that stderr is: redrawn in place and erased before
 * any other output. It is not drawn where stderr is not a terminal, is a dumb one, or belongs to
 * another foreground job, nor for work that takes less than half a second.
 */
#ifndef VMCRED_CLI_PROGRESS_H
#define VMCRED_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/report.h"

/* Starts as {0}. */
struct progress {
	bool running;
	int64_t started_ms; /* base/clock.h */
	int64_t drawn_ms;   /* the last drawing, or attempt */
	bool drawn;         /* the line is visible */
};

/* `progress` of a struct report whose `data` is the struct progress. */
void progress_show(const struct report *report, size_t done, size_t total);

/* Erases the line before other output to stderr, or to a stdout that may be the same terminal. */
void progress_clear(struct progress *progress);

#endif
