/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's command line, one argument a line; the last one is the text of a file of -readconfig. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "vmm/qemu/qemu.h"

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line_read(char **argv)
{
	_cleanup_qemu_arguments_ struct qemu_arguments arguments = {0};
	_cleanup_oem_list_ struct oem_list list = {0};
	_cleanup_error_ struct error err = {0};
	struct qemu_machine machine;
	struct vmm_vsock vsock = {0};

	/* A file with a NUL byte is refused. */
	if (qemu_arguments_read(argv, &arguments, &err) < 0)
		return;
	for (size_t i = 0; i < arguments.count; i++) {
		if (arguments.options[i].keys.count != arguments.options[i].values.count)
			abort();
	}
	machine = qemu_machine_find(&arguments, argv[0]);
	if (!machine.type || !machine.why)
		abort();
	qemu_vsock_find(&arguments, NULL, &vsock);
	(void)qemu_strings_read(&arguments, &list, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 4] = {"qemu-system-aarch64"}, path[32];
	char *text = malloc(size + 1), *line = text;
	struct error err = {0};
	size_t count = 1;
	int fd;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *newline; count < WORDS_MAX && (newline = strchr(line, '\n'));
	     line = newline + 1) {
		*newline = '\0';
		/* Files of this host are not part of the input. */
		if (!strstr(line, "path=") && !strstr(line, "file=") && !strstr(line, "readconfig"))
			argv[count++] = line;
	}
	fd = memory_file_create("fuzz", span_of_text(line), &err);
	if (fd < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	argv[count++] = "-readconfig";
	argv[count++] = path;
	line_read(argv);
	close(fd);
	free(text);
	return 0;
}
