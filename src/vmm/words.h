/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: what a VMM says on its standard error, on its way to ours.
 *
 * Until the VM is booted each line is looked at: one that repeats an OEM string is left out with a
 * warning, and the last ones are kept for the error of a launch that fails. What a program writes
 * to cannot be changed under it, so its words go on through our pipe afterwards; from then on bytes
 * are passed on as they come, and nothing is kept. Where our own standard error does not take more,
 * the VMM waits as it would without us, and we do not.
 */
#ifndef VMCRED_VMM_WORDS_H
#define VMCRED_VMM_WORDS_H

#include <poll.h>

#include "base/report.h"
#include "oem/oem.h"

/* What an error quotes. */
#define WORDS_QUOTED_MAX 1000

struct words {
	int from;                    /* non-blocking; -1: none, or its end was read */
	int to;                      /* not owned */
	const struct oem_list *list; /* not to be repeated; NULL: not looked at any more */
	const struct report *report;
	struct secret held;            /* read and not passed on yet */
	bool skipping;                 /* the rest of a line that is left out */
	size_t checked;                /* of `held`: whole lines that may be passed on */
	char quoted[WORDS_QUOTED_MAX]; /* the end of what was passed on, on one line */
	size_t quoted_size;
};

#define WORDS_NONE                   \
	(struct words)               \
	{                            \
		.from = -1, .to = -1 \
	}

#define _cleanup_words_ __attribute__((cleanup(words_destroy)))

/* `*child_end` is for the VMM, and the caller's to close. The list outlives words_trust(). */
int words_create(struct words *words, const struct oem_list *list, const struct report *report,
		 int *child_end, struct error *err);

/* What to wait for next: a row for poll(2), with fd -1 where there is nothing. */
struct pollfd words_poll(const struct words *words);

/* Passes on what is there, as far as it is taken. Does not wait. */
void words_pass(struct words *words);

/* The VM is booted: the list is not looked at any more. */
void words_trust(struct words *words);

/* The VMM has ended: passes on what is left, an unfinished line too. */
void words_finish(struct words *words);

/* Adds "it said: …" to an error, if it said anything. */
void words_quote(const struct words *words, struct error *err);

void words_destroy(struct words *words);

#endif
