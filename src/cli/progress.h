/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far long work has come, for a person: one line at the end of the terminal that stderr is,
 * drawn over itself, and gone before anything else is printed there. It is not there where stderr
 * is no terminal, or one that cannot draw over a line, or another program's by now (a job in the
 * background), nor for work that is done within half a second. Nothing of it ever goes to stdout.
 */
#ifndef VMCRED_CLI_PROGRESS_H
#define VMCRED_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/report.h"

/* Starts as {0}. */
struct progress {
	bool running;      /* there is work, since `began_ms` */
	int64_t began_ms;  /* base/clock.h */
	int64_t looked_ms; /* when it was last drawn, or might have been */
	bool drawn;        /* the line is there */
};

/* `progress` of a struct report whose `data` is the struct progress. */
void progress_show(const struct report *report, size_t done, size_t total);

/* Takes the line away: before anything else is printed to stderr, or to a stdout that may be the
 * same terminal. With the next piece of work it comes back. */
void progress_clear(struct progress *progress);

#endif
