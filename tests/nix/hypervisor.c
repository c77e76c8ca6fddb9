/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for QEMU and others: prints its arguments and environment, "VALUE" or "$NAME=VALUE",
 * and for an argument with a descriptor also what can be read from that, "<CONTENT". Each ends with
 * a null byte; those of a content become 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	extern char **environ;

	for (int i = 0; i < argc; i++) {
		const char *path = strstr(argv[i], "/dev/fd/");
		FILE *file = path ? fopen(path, "r") : NULL;

		printf("%s%c", argv[i], 0);
		if (!file)
			continue;
		putchar('<');
		for (int c; (c = getc(file)) != EOF;)
			putchar(c ? c : 1);
		putchar(0);
	}
	for (char **variable = environ; *variable; variable++)
		printf("$%s%c", *variable, 0);
	return getenv("CODE") ? (int)strtol(getenv("CODE"), NULL, 10) : 0;
}
