/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/linger.h"

#include <signal.h>
#include <sys/time.h>

#define LINGER_US 5000

static void ignore(int signal)
{
	(void)signal;
}

/* Repeatedly: the first signal may arrive before the wait. */
static void timer_set(suseconds_t microseconds)
{
	const struct itimerval timer = {.it_interval.tv_usec = microseconds,
					.it_value.tv_usec = microseconds};

	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

bool linger_begin(void)
{
	/* Without SA_RESTART. SIG_IGN would not end a wait, and SIG_DFL would end the process. */
	static const struct sigaction action = {.sa_handler = ignore};

	if (sigaction(SIGALRM, &action, NULL) == 0)
		timer_set(LINGER_US);
	return true;
}

void linger_end(const bool *scope)
{
	(void)scope;
	timer_set(0);
}
