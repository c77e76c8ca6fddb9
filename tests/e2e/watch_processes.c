/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch_processes: looks for byte patterns in the command line and the environment of every
 * process, over and over again, as anyone on the machine could.
 *
 * Standard input: a line `NAME HEX` for each pattern, then an empty line; the watch lasts until it
 * ends. Standard output: `ready` after the first round; then, at the end, `rounds N`, `seen COMM`
 * for each process name that was looked at, and `found NAME FILE COMM` for each pattern and place
 * where it was seen, once. The patterns themselves are never printed.
 */
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATTERNS_MAX  256
#define LINES_MAX     4096
/* MAX_ARG_STRLEN is 128 KiB; a whole command line or environment can be as long as a quarter of the
 * stack. */
#define FILE_SIZE_MAX (8 * 1024 * 1024)

struct pattern {
	char name[64];
	unsigned char *bytes;
	size_t size;
};

/* Lines of the report, each once. */
struct lines {
	char *items[LINES_MAX];
	size_t count;
};

static struct pattern patterns[PATTERNS_MAX];
static size_t pattern_count;
static struct lines seen, found;
static unsigned char buffer[FILE_SIZE_MAX];

static void lines_add(struct lines *lines, const char *text)
{
	for (size_t i = 0; i < lines->count; i++) {
		if (strcmp(lines->items[i], text) == 0)
			return;
	}
	if (lines->count == LINES_MAX)
		errx(1, "too many different findings");
	lines->items[lines->count++] = strdup(text);
}

static void lines_print(const struct lines *lines, const char *prefix)
{
	for (size_t i = 0; i < lines->count; i++)
		printf("%s %s\n", prefix, lines->items[i]);
}

static void pattern_read(char *line)
{
	struct pattern *pattern = &patterns[pattern_count];
	char *hex = strchr(line, ' ');

	if (!hex || pattern_count == PATTERNS_MAX)
		errx(2, "bad or too many patterns");
	*hex++ = '\0';
	snprintf(pattern->name, sizeof(pattern->name), "%s", line);
	pattern->bytes = malloc(strlen(hex) / 2 + 1);
	for (; isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]); hex += 2) {
		const char digits[] = {hex[0], hex[1], '\0'};

		pattern->bytes[pattern->size++] = (unsigned char)strtoul(digits, NULL, 16);
	}
	/* A shorter one would be found by chance. */
	if (pattern->size < 8)
		errx(2, "pattern %s is too short", pattern->name);
	pattern_count++;
}

static void patterns_read(void)
{
	char *line = NULL;
	size_t room = 0;

	/* Unbuffered: what comes after the empty line is not read, only its end is waited for. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (getline(&line, &room, stdin) > 1) {
		line[strcspn(line, "\n")] = '\0';
		pattern_read(line);
	}
	free(line);
}

/* Returns the number of bytes read to `buffer`; 0 where the process has gone, or is not ours to
 * look at. */
static size_t file_read(int pid_dirfd, const char *name)
{
	int fd = openat(pid_dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while (size < sizeof(buffer) && (n = read(fd, buffer + size, sizeof(buffer) - size)) > 0)
		size += (size_t)n;
	close(fd);
	return size;
}

static void file_search(int pid_dirfd, const char *name, const char *comm)
{
	size_t size = file_read(pid_dirfd, name);
	char text[192];

	for (size_t i = 0; i < pattern_count; i++) {
		if (!memmem(buffer, size, patterns[i].bytes, patterns[i].size))
			continue;
		snprintf(text, sizeof(text), "%.63s %.15s %.63s", patterns[i].name, name, comm);
		lines_add(&found, text);
	}
}

static void process_search(int proc_dirfd, const char *pid)
{
	int dirfd = openat(proc_dirfd, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char comm[64] = "";
	size_t size;

	if (dirfd < 0)
		return;
	size = file_read(dirfd, "comm");
	if (size > 0 && size < sizeof(comm)) {
		memcpy(comm, buffer, size);
		comm[strcspn(comm, "\n")] = '\0';
		lines_add(&seen, comm);
		file_search(dirfd, "cmdline", comm);
		file_search(dirfd, "environ", comm);
	}
	close(dirfd);
}

static void processes_search(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		err(1, "opening /proc");
	while ((entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			process_search(dirfd(proc), entry->d_name);
	}
	closedir(proc);
}

/* True once the other end of standard input is closed; nothing more is expected from it. */
static bool input_ended(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) != 0;
}

int main(void)
{
	unsigned long rounds = 0;

	patterns_read();
	do {
		processes_search();
		if (rounds++ == 0) {
			printf("ready\n");
			fflush(stdout);
		}
	} while (!input_ended());
	printf("rounds %lu\n", rounds);
	lines_print(&seen, "seen");
	lines_print(&found, "found");
	return 0;
}
