/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time, for deadlines and rate limits. */
#ifndef VMCRED_BASE_CLOCK_H
#define VMCRED_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds since an arbitrary moment. */
static inline int64_t clock_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A rate limit: a maximum at once, then so many a second. */
struct allowance {
	int left;
	int64_t at; /* when it was last updated: clock_now_ms() */
};

/* Adds what is due. */
static inline void allowance_update(struct allowance *allowance, int max, int per_second,
				    int64_t now)
{
	const int64_t thousandths = (now - allowance->at) * per_second, more = thousandths / 1000;

	if (more <= 0)
		return;
	/* What is less than one counts at the next update. */
	allowance->at = now - thousandths % 1000 / per_second;
	allowance->left = more + allowance->left < max ? allowance->left + (int)more : max;
}

#endif
