/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/watch.h"

#include <stdint.h>
#include <time.h>

/* File systems take their times from a clock that ticks a hundred times in a second or more. */
#define TICK_MS   50
/* Beyond it, the clock was set back: that file's time says nothing about when it changed. */
#define FUTURE_MS (-1000)

static bool time_is_same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The time of modification is not enough: a file can be given any, as Nix's store does. */
bool serve_watch_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       time_is_same(a->st_mtim, b->st_mtim) && time_is_same(a->st_ctim, b->st_ctim);
}

static bool is_settled(const struct stat *file)
{
	struct timespec now;
	int64_t age_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	age_ms = ((int64_t)now.tv_sec - file->st_ctim.tv_sec) * 1000 +
		 (now.tv_nsec - file->st_ctim.tv_nsec) / 1000000;
	return age_ms > TICK_MS || age_ms < FUTURE_MS;
}

enum serve_change serve_watch_look(struct serve_watch *watch, const struct stat *now)
{
	enum serve_change change = SERVE_SAME;

	if (!serve_watch_is_same(&watch->seen, now))
		change = SERVE_CHANGED;
	else if (!watch->is_settled)
		change = SERVE_DOUBT;
	watch->seen = *now;
	watch->is_settled = is_settled(now);
	return change;
}
