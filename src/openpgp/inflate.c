/* SPDX-License-Identifier: Apache-2.0 */
#define ZLIB_CONST /* what it reads is const */

#include "openpgp/packet.h"

#include <limits.h>
#include <stdalign.h>
#include <stddef.h>
#include <zlib.h>

/* No header around the stream, and the largest window. */
#define WINDOW_RAW (-15)

/* zlib's state and window, which hold plaintext, need about 40 KiB. */
#define ARENA_SIZE ((size_t)64 * 1024)

#define PIECE_SIZE ((size_t)4096)

static voidpf arena_take(voidpf opaque, uInt items, uInt size)
{
	struct secret *arena = opaque;
	const size_t unit = alignof(max_align_t);
	const size_t wanted = ((size_t)items * size + unit - 1) / unit * unit;
	uint8_t *taken = arena->data + arena->size;

	if (wanted > arena->capacity - arena->size)
		return Z_NULL;
	arena->size += wanted;
	return taken;
}

static void arena_keep(voidpf opaque, voidpf address)
{
	(void)opaque;
	(void)address;
}

static void stream_release(z_stream *stream)
{
	(void)inflateEnd(stream);
}

/* Appends at most `size_max` bytes. Returns 1 if there may be more. */
static int piece_read(z_stream *stream, size_t size_max, struct secret *out, struct error *err)
{
	const size_t room = size_max < PIECE_SIZE ? size_max : PIECE_SIZE;
	int code, r = secret_reserve(out, out->size + room + 1, err);

	if (r < 0)
		return r;
	stream->next_out = out->data + out->size;
	stream->avail_out = (uInt)room;
	code = inflate(stream, Z_NO_FLUSH);
	out->size += room - stream->avail_out;
	if (code == Z_OK && stream->avail_out == 0 && room > 0)
		return 1;
	if (code == Z_STREAM_END)
		return 0;
	if (code == Z_BUF_ERROR && room == 0)
		return error_set(err, VMCRED_FAILED, "decompresses to more than %lu bytes",
				 stream->total_out);
	return error_set(err, VMCRED_FAILED, "compressed data is damaged");
}

int pgp_inflate(struct span bytes, size_t size_max, struct secret *out, struct error *err)
{
	/* Released after the stream, whose memory it is. */
	_cleanup_secret_ struct secret arena = {0};
	__attribute__((cleanup(stream_release)))
	z_stream stream = {.zalloc = arena_take, .zfree = arena_keep, .opaque = &arena};
	const size_t before = out->size;
	int r;

	if (bytes.size > UINT_MAX)
		return error_set(err, VMCRED_FAILED, "compressed data is too large");
	r = secret_create(&arena, ARENA_SIZE, err);
	if (r < 0)
		return r;
	if (inflateInit2(&stream, WINDOW_RAW) != Z_OK)
		return error_no_memory(err);
	stream.next_in = bytes.data;
	stream.avail_in = (uInt)bytes.size;
	do {
		r = piece_read(&stream, size_max - (out->size - before), out, err);
	} while (r == 1);
	if (r < 0)
		out->size = before;
	return r;
}
