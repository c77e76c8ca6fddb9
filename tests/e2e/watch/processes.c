/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every user, or the same user, can see of a process: its command line, its environment, the
 * names of its mappings, and the targets of its descriptors. Abstract sockets have names too.
 *
 * Each round searches the new processes, and every OLD_ROUNDS-th round the others as well:
 * otherwise hundreds of daemons would leave no time for processes that live for milliseconds.
 */
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "watch.h"

/* Command line and environment together may be as long as a quarter of the stack. */
#define FILE_SIZE_MAX (8 * 1024 * 1024)
#define YOUNG_SECONDS 10
#define OLD_ROUNDS    32
/* The kernel's PID_MAX_LIMIT. */
#define PIDS_MAX      4194304L

static const char *const process_files[] = {"cmdline", "environ", "maps"};

static unsigned char buffer[FILE_SIZE_MAX];
/* When a process was first seen, and the round in which it was last seen. */
static time_t first_seen[PIDS_MAX];
static unsigned int last_round[PIDS_MAX];

/* Returns the number of bytes read to `buffer`, or 0 if the process has ended or may not be read.
 */
static size_t file_read(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while (size < sizeof(buffer) && (n = read(fd, buffer + size, sizeof(buffer) - size)) > 0)
		size += (size_t)n;
	close(fd);
	return size;
}

static void descriptors_search(int pid_dirfd, const char *comm)
{
	int dirfd = openat(pid_dirfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = dirfd < 0 ? NULL : fdopendir(dirfd);
	struct dirent *entry;
	char target[PATTERN_SIZE_MAX];

	if (!directory) {
		if (dirfd >= 0)
			close(dirfd);
		return;
	}
	while ((entry = readdir(directory))) {
		ssize_t size = readlinkat(dirfd, entry->d_name, target, sizeof(target));

		if (size > 0)
			search(target, (size_t)size, "fd", comm);
	}
	closedir(directory);
}

void process_search(const char *pid)
{
	char path[64], comm[64] = "";
	int dirfd;
	size_t size;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return;
	size = file_read(dirfd, "comm");
	if (size > 0 && size < sizeof(comm)) {
		memcpy(comm, buffer, size);
		comm[strcspn(comm, "\n")] = '\0';
		seen_add(comm);
		for (size_t i = 0; i < sizeof(process_files) / sizeof(process_files[0]); i++)
			search(buffer, file_read(dirfd, process_files[i]), process_files[i], comm);
		descriptors_search(dirfd, comm);
		counts.samples++;
	}
	close(dirfd);
}

/* A process id that was unused in the previous round belongs to a new process. */
static bool is_due(long pid)
{
	unsigned int round = (unsigned int)counts.rounds;
	time_t now = time(NULL);

	if (pid <= 0 || pid >= PIDS_MAX)
		return true;
	if (first_seen[pid] == 0 || last_round[pid] != round - 1)
		first_seen[pid] = now;
	last_round[pid] = round;
	return now - first_seen[pid] < YOUNG_SECONDS ||
	       (round + (unsigned long)pid) % OLD_ROUNDS == 0;
}

void processes_search(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		err(1, "opening /proc");
	while ((entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    is_due(strtol(entry->d_name, NULL, 10)))
			process_search(entry->d_name);
	}
	search(buffer, file_read(dirfd(proc), "net/unix"), "unix", "/proc/net/unix");
	closedir(proc);
	counts.rounds++;
}
