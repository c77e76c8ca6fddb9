/* SPDX-License-Identifier: Apache-2.0 */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

#define LINES_MAX 4096

/* The lines of the report, without duplicates. */
struct lines {
	char *items[LINES_MAX];
	size_t count;
};

struct place {
	const char *kind, *where;
};

struct counts counts;
static struct lines seen, found;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void lines_add(struct lines *lines, const char *text)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < lines->count; i++) {
		if (strcmp(lines->items[i], text) == 0) {
			pthread_mutex_unlock(&lock);
			return;
		}
	}
	if (lines->count == LINES_MAX)
		errx(1, "too many different findings");
	lines->items[lines->count] = strdup(text);
	if (!lines->items[lines->count++])
		err(1, "a finding");
	pthread_mutex_unlock(&lock);
}

static void finding_add(const char *name, void *context)
{
	const struct place *place = context;
	char text[512];

	snprintf(text, sizeof(text), "%.63s %.15s %.400s", name, place->kind, place->where);
	lines_add(&found, text);
}

void search(const void *data, size_t size, const char *kind, const char *where)
{
	struct place place = {kind, where};

	patterns_search(data, size, finding_add, &place);
}

void seen_add(const char *comm)
{
	lines_add(&seen, comm);
}

void report_print(void)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < found.count; i++) {
		printf("found %s\n", found.items[i]);
		free(found.items[i]);
	}
	found.count = 0;
	for (size_t i = 0; i < seen.count; i++)
		printf("seen %s\n", seen.items[i]);
	printf("counts rounds=%lu samples=%lu files=%lu lost=%lu\nend\n", counts.rounds,
	       counts.samples, counts.files, counts.lost);
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}
