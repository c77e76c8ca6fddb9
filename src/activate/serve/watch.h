/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a file that was read is still the same: asked before each request, since a look at a file
 * costs a microsecond and reading it a hundred.
 */
#ifndef VMCRED_ACTIVATE_SERVE_WATCH_H
#define VMCRED_ACTIVATE_SERVE_WATCH_H

#include <stdbool.h>
#include <sys/stat.h>

/* Starts as {0}: nothing was seen, so that whatever comes is a change. */
struct serve_watch {
	struct stat seen;
	bool is_settled; /* a change after it was seen would show in its times */
};

enum serve_change {
	SERVE_SAME,
	SERVE_DOUBT, /* it was seen so soon after a change that one more would not show */
	SERVE_CHANGED,
};

/* Whether it is another file than was seen; from now on it is the one that was seen. */
enum serve_change serve_watch_look(struct serve_watch *watch, const struct stat *now);

/* Whether both are of one file that was not touched in between. */
bool serve_watch_is_same(const struct stat *a, const struct stat *b);

#endif
