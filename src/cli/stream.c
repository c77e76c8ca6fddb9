/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

struct stream {
	int fd;
	uint8_t held[UTF8_SIZE_MAX]; /* the start of a character whose rest comes later */
	size_t held_size;
};

/* vmcred's own colours. */
static const char *const colours[] = {"\033[31m", "\033[32m", "\033[0m"};

/* How many bytes at the end may be the start of a character. */
static size_t unfinished_size(struct span text)
{
	for (size_t size = 1; size <= text.size && size < UTF8_SIZE_MAX; size++) {
		uint8_t byte = text.data[text.size - size];

		if (byte >= 0xc0)
			return size < (byte < 0xe0 ? 2U : byte < 0xf0 ? 3U : 4U) ? size : 0;
		if (byte < 0x80)
			break;
	}
	return 0;
}

static int visible_write(int fd, struct span text, struct error *err)
{
	_cleanup_free_ char *visible = text_visible(text, true);

	return visible ? fd_write(fd, span_of_text(visible), "a stream", err)
		       : error_no_memory(err);
}

/* The position of the first of our colours, or the end; sets its size. */
static size_t colour_find(struct span text, size_t *size)
{
	struct span rest = text;
	const uint8_t *escape;

	while ((escape = memchr(rest.data, '\033', rest.size))) {
		rest = span_skip(rest, (size_t)(escape - rest.data));
		for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++) {
			*size = strlen(colours[i]);
			if (span_starts_with(rest, span_of_text(colours[i])))
				return (size_t)(escape - text.data);
		}
		rest = span_skip(rest, 1);
	}
	*size = 0;
	return text.size;
}

static int text_write(int fd, struct span text, struct error *err)
{
	int r = 0;

	while (text.size > 0 && r == 0) {
		size_t colour, at = colour_find(text, &colour);

		r = visible_write(fd, span_of(text.data, at), err);
		if (r == 0 && colour > 0)
			r = fd_write(fd, span_of(text.data + at, colour), "a stream", err);
		text = span_skip(text, at + colour);
	}
	return r;
}

/* As cookie_write_function_t: fopencookie(3). */
static ssize_t stream_write(void *cookie, const char *bytes, size_t size)
{
	_cleanup_error_ struct error ignored = {0};
	struct stream *stream = cookie;
	_cleanup_free_ uint8_t *text = malloc(stream->held_size + size + 1);
	size_t all = stream->held_size + size;

	if (!text)
		return 0;
	memcpy(text, stream->held, stream->held_size);
	memcpy(text + stream->held_size, bytes, size);
	stream->held_size = unfinished_size(span_of(text, all));
	memcpy(stream->held, text + all - stream->held_size, stream->held_size);
	return text_write(stream->fd, span_of(text, all - stream->held_size), &ignored) < 0
		       ? 0
		       : (ssize_t)size;
}

static FILE *stream_open(struct stream *stream)
{
	FILE *file = fopencookie(stream, "w", (cookie_io_functions_t){.write = stream_write});

	if (file)
		setvbuf(file, NULL,
			stream->fd == STDERR_FILENO ? _IONBF
			: isatty(stream->fd) == 1   ? _IOLBF
						    : _IOFBF,
			BUFSIZ);
	return file;
}

int streams_protect(struct error *err)
{
	static struct stream out = {.fd = STDOUT_FILENO}, errors = {.fd = STDERR_FILENO};
	FILE *files[] = {stream_open(&out), stream_open(&errors)};

	if (!files[0] || !files[1])
		return error_no_memory(err);
	stdout = files[0];
	stderr = files[1];
	return 0;
}
