/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the watchers: byte patterns, what was found of them, and the places where it looks.
 * A finding holds a pattern's name and a place, never a pattern.
 */
#ifndef VMCRED_TESTS_WATCH_H
#define VMCRED_TESTS_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/* One byte pattern is at most as long as this; what is searched in pieces overlaps by as much. */
#define PATTERN_SIZE_MAX 4096

/* Reads lines `NAME HEX` from standard input, up to an empty one. */
void patterns_read(void);

/* Calls `found` for each pattern in the data, once for each place where it stands. */
void patterns_search(const unsigned char *data, size_t size,
		     void (*found)(const char *name, void *context), void *context);

/* What is counted, since the start. Each is written by one thread. */
struct counts {
	unsigned long rounds;  /* over all processes */
	unsigned long samples; /* a process, looked at once */
	unsigned long files;   /* files that were written and closed, and new names */
	unsigned long lost;    /* events of files that the kernel could not keep */
};
extern struct counts counts;

/* Adds the patterns in the data to the findings, each combination once. */
void search(const void *data, size_t size, const char *kind, const char *where);

/* Notes that a process of this name was looked at. */
void seen_add(const char *comm);

/* Prints the findings, the names seen, the counts, `end`; forgets the findings. */
void report_print(void);

/* One look at a process. */
void process_search(const char *pid);

/* One look at every process. */
void processes_search(void);

/* Watches the file systems of these paths from now on. */
void files_watch(char *const *paths);

/* Searches the files that were written and closed up to now. */
void files_drain(void);

/* Searches all readable memory of a process; returns the bytes, 0 where it cannot be read. */
size_t memory_search(int pid);

#endif
