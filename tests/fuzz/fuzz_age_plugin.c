/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin's messages: the input is its standard output. The text for the user must be printable,
 * and the answers must be stanzas.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "age/plugin/plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void text_check(const char *text)
{
	for (; *text; text++) {
		if ((uint8_t)*text < ' ' || *text == 0x7f)
			abort();
	}
}

static int ask(void *context, const char *question, bool hidden, struct secret *answer,
	       struct error *err)
{
	(void)context;
	text_check(question);
	return hidden ? secret_append_text(answer, "secret", err)
		      : error_set(err, VMCRED_FAILED, "nobody is there");
}

static int confirm(void *context, const char *question, const char *yes, const char *no,
		   struct error *err)
{
	(void)context;
	(void)err;
	text_check(question);
	text_check(yes);
	if (no)
		text_check(no);
	return no != NULL;
}

static int show(void *context, const char *message, struct error *err)
{
	(void)context;
	(void)err;
	text_check(message);
	return 0;
}

static void sent_check(int fd)
{
	_cleanup_secret_ struct secret sent = {0};
	_cleanup_error_ struct error err = {0};
	struct span rest;

	if (lseek(fd, 0, SEEK_SET) < 0 || secret_read(&sent, fd, SIZE_MAX / 2, "fuzz", &err) < 0)
		abort();
	rest = secret_span(&sent);
	while (rest.size > 0) {
		size_t size = age_stanza_size(rest);

		if (size == 0 || !span_starts_with(rest, span_of_text("-> ")))
			abort();
		rest = span_of(rest.data + size, rest.size - size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct age_prompt prompt = {NULL, ask, confirm, show};
	struct plugin plugin = {
		.name = "fuzz",
		.prompt = &prompt,
		.in_fd = memfd_create("in", MFD_CLOEXEC),
		.out_fd = memfd_create("out", MFD_CLOEXEC),
		.error_fd = memfd_create("error", MFD_CLOEXEC),
		.pipe_pending = true,
	};
	_cleanup_error_ struct error err = {0};
	struct age_stanza stanza;

	sigemptyset(&plugin.signals);
	if (write(plugin.out_fd, data, size) != (ssize_t)size ||
	    write(plugin.error_fd, data, size) != (ssize_t)size ||
	    lseek(plugin.out_fd, 0, SEEK_SET) < 0)
		abort();
	while (plugin_receive(&plugin, &stanza, &err) == 0) {
		if (plugin_answer(&plugin, &stanza, &err) < 0)
			break;
	}
	sent_check(plugin.in_fd);
	plugin_stop(&plugin);
	return 0;
}
