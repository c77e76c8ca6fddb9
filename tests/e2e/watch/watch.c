/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch [-p MILLISECONDS] [PATH...]: searches for byte patterns, continuously in everything /proc
 * shows of the machine's processes, and in all files written on the file systems of these paths.
 * With -p it pauses between two rounds over the processes.
 *
 * Standard input: a line `NAME HEX` for each pattern, an empty line, then commands. It prints
 * `ready` after the first round. Commands:
 *
 *	round		searches all processes again; prints `round`
 *	memory PID	searches the memory of a process; prints `memory` and the number of bytes
 *	report		prints `found NAME KIND WHERE` for each pattern and place since the last
 *			report, then `seen COMM` for each process name, `counts …` and `end`
 *
 * It reports again at the end of the input. It never prints the patterns themselves.
 */
#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "watch.h"

static bool files_watched;

static void report(void)
{
	if (files_watched)
		files_drain();
	report_print();
}

static void command_run(const char *line)
{
	if (strcmp(line, "round\n") == 0) {
		processes_search();
		printf("round\n");
	} else if (strncmp(line, "memory ", strlen("memory ")) == 0) {
		printf("memory %zu\n",
		       memory_search((int)strtol(line + strlen("memory "), NULL, 10)));
	} else if (strcmp(line, "report\n") == 0) {
		report();
	} else {
		errx(2, "bad command");
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];
	int pause_ms = 0;

	if (argc > 2 && strcmp(argv[1], "-p") == 0) {
		pause_ms = (int)strtol(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	/* Nothing is read ahead, so that poll() knows of every command. */
	setvbuf(stdin, NULL, _IONBF, 0);
	patterns_read();
	files_watched = argc > 1;
	if (files_watched)
		files_watch(argv + 1);
	processes_search();
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		processes_search();
		if (poll(&input, 1, pause_ms) == 0)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			break;
		command_run(line);
	}
	report();
	return 0;
}
