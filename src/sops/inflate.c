/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/inflate.h"

#define CODE_BITS_MAX   15  /* section 3.2.7 */
#define LITERALS_MAX    288 /* section 3.2.6 */
#define DISTANCES_MAX   32
#define CODE_CODES      19 /* section 3.2.7: codes of the lengths of codes */
#define END_OF_BLOCK    256
#define LENGTH_SYMBOLS  29
#define DISTANCE_VALUES 30

/* Bits of the stream, the lowest of each byte first (section 3.1.1). */
struct bit_reader {
	struct span rest;
	uint32_t held;
	unsigned held_count;
	bool ended; /* more was asked for than there is */
};

struct inflater {
	struct bit_reader bits;
	struct secret *out;
	size_t start; /* where the output begins in `out` */
	size_t size_max;
	struct error *err;
};

/* A canonical Huffman code (section 3.2.2): how many codes have each length, and their symbols in
 * order. */
struct code {
	uint16_t counts[CODE_BITS_MAX + 1];
	uint16_t symbols[LITERALS_MAX];
};

static int damaged(struct inflater *inflater)
{
	return error_set(inflater->err, VMCRED_FAILED, "its compressed data are damaged");
}

static unsigned bits_take(struct bit_reader *bits, unsigned count)
{
	unsigned value;

	while (bits->held_count < count) {
		if (bits->rest.size == 0) {
			bits->ended = true;
			return 0;
		}
		bits->held |= (uint32_t)bits->rest.data[0] << bits->held_count;
		bits->held_count += 8;
		bits->rest = span_of(bits->rest.data + 1, bits->rest.size - 1);
	}
	value = bits->held & ((1U << count) - 1);
	bits->held >>= count;
	bits->held_count -= count;
	return value;
}

/* Returns false if more codes are there than the lengths have room for. */
static bool code_make(struct code *code, const uint8_t *lengths, size_t count)
{
	uint16_t places[CODE_BITS_MAX + 2] = {0};
	int room = 1;

	*code = (struct code){0};
	for (size_t i = 0; i < count; i++)
		code->counts[lengths[i]]++;
	code->counts[0] = 0;
	for (unsigned bits = 1; bits <= CODE_BITS_MAX; bits++) {
		room = room * 2 - code->counts[bits];
		if (room < 0)
			return false;
		places[bits + 1] = (uint16_t)(places[bits] + code->counts[bits]);
	}
	for (size_t i = 0; i < count; i++) {
		if (lengths[i] != 0)
			code->symbols[places[lengths[i]]++] = (uint16_t)i;
	}
	return true;
}

/* The next symbol, -1 if no code is like the bits. The codes of a length are consecutive numbers;
 * `first` is the first of them, `before` the number of shorter codes. */
static int symbol_take(struct bit_reader *bits, const struct code *code)
{
	unsigned value = 0, first = 0, before = 0;

	for (unsigned size = 1; size <= CODE_BITS_MAX && !bits->ended; size++) {
		value = value << 1 | bits_take(bits, 1);
		first <<= 1;
		if (value - first < code->counts[size])
			return code->symbols[before + value - first];
		first += code->counts[size];
		before += code->counts[size];
	}
	return -1;
}

static int room_check(struct inflater *inflater, size_t more)
{
	struct secret *out = inflater->out;

	if (out->size - inflater->start + more > inflater->size_max)
		return error_set(inflater->err, VMCRED_FAILED,
				 "it decompresses to more than %zu bytes", inflater->size_max);
	return out->capacity - out->size >= more
		       ? 0
		       : secret_reserve(out, 2 * out->capacity + more, inflater->err);
}

/* Section 3.2.4. */
static int stored_copy(struct inflater *inflater)
{
	struct bit_reader *bits = &inflater->bits;
	unsigned size, inverted;
	int r;

	bits_take(bits, bits->held_count % 8);
	size = bits_take(bits, 16);
	inverted = bits_take(bits, 16);
	if (bits->ended || (size ^ inverted) != 0xffff || bits->rest.size < size)
		return damaged(inflater);
	r = room_check(inflater, size);
	if (r == 0)
		r = secret_append(inflater->out, span_of(bits->rest.data, size), inflater->err);
	bits->rest = span_of(bits->rest.data + size, bits->rest.size - size);
	return r;
}

/* Section 3.2.5: what a length or distance begins with, and how many bits are added to it. */
static int repeat_copy(struct inflater *inflater, unsigned symbol, const struct code *distances)
{
	static const uint16_t lengths[LENGTH_SYMBOLS] = {
		3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23,  27,
		31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	};
	static const uint16_t starts[DISTANCE_VALUES] = {
		1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
		33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
		1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
	};
	unsigned index = symbol - END_OF_BLOCK - 1, size, distance;
	struct secret *out = inflater->out;
	int start, r;

	if (index >= LENGTH_SYMBOLS)
		return damaged(inflater);
	size = lengths[index];
	if (index >= 8 && index < LENGTH_SYMBOLS - 1)
		size += bits_take(&inflater->bits, index / 4 - 1);
	start = symbol_take(&inflater->bits, distances);
	if (start < 0 || start >= DISTANCE_VALUES)
		return damaged(inflater);
	distance = starts[start];
	if (start >= 4)
		distance += bits_take(&inflater->bits, (unsigned)start / 2 - 1);
	if (inflater->bits.ended || distance > out->size - inflater->start)
		return damaged(inflater);
	r = room_check(inflater, size);
	/* One by one: the repeated bytes may overlap with what they are copied from. */
	for (; r == 0 && size > 0; size--, out->size++)
		out->data[out->size] = out->data[out->size - distance];
	return r;
}

static int block_decode(struct inflater *inflater, const struct code *literals,
			const struct code *distances)
{
	for (;;) {
		int symbol = symbol_take(&inflater->bits, literals), r;

		if (symbol < 0 || inflater->bits.ended)
			return damaged(inflater);
		if (symbol == END_OF_BLOCK)
			return 0;
		if (symbol > END_OF_BLOCK) {
			r = repeat_copy(inflater, (unsigned)symbol, distances);
		} else {
			r = room_check(inflater, 1);
			if (r == 0)
				inflater->out->data[inflater->out->size++] = (uint8_t)symbol;
		}
		if (r < 0)
			return r;
	}
}

/* Section 3.2.6. */
static int fixed_decode(struct inflater *inflater)
{
	struct code literals, distances;
	uint8_t lengths[LITERALS_MAX];

	for (size_t i = 0; i < LITERALS_MAX; i++)
		lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
	(void)code_make(&literals, lengths, LITERALS_MAX);
	memset(lengths, 5, DISTANCES_MAX);
	(void)code_make(&distances, lengths, DISTANCES_MAX);
	return block_decode(inflater, &literals, &distances);
}

/* The lengths of both codes in one row, of which repetitions are shortened (section 3.2.7). */
static int lengths_read(struct inflater *inflater, const struct code *code, uint8_t *lengths,
			size_t count)
{
	static const struct {
		uint8_t bits, least;
	} repeats[] = {{2, 3}, {3, 3}, {7, 11}}; /* of symbols 16, 17 and 18 */

	for (size_t i = 0; i < count;) {
		int symbol = symbol_take(&inflater->bits, code);
		uint8_t value = 0;
		size_t times = 1;

		if (symbol < 0 || (symbol == 16 && i == 0))
			return damaged(inflater);
		if (symbol < 16)
			value = (uint8_t)symbol;
		else
			times = repeats[symbol - 16].least +
				bits_take(&inflater->bits, repeats[symbol - 16].bits);
		if (symbol == 16)
			value = lengths[i - 1];
		if (inflater->bits.ended || times > count - i)
			return damaged(inflater);
		memset(lengths + i, value, times);
		i += times;
	}
	return 0;
}

/* Section 3.2.7. */
static int dynamic_decode(struct inflater *inflater)
{
	static const uint8_t order[CODE_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
						  11, 4,  12, 3, 13, 2, 14, 1, 15};
	uint8_t lengths[LITERALS_MAX + DISTANCES_MAX] = {0};
	struct code code, literals, distances;
	unsigned literal_count = 257 + bits_take(&inflater->bits, 5);
	unsigned distance_count = 1 + bits_take(&inflater->bits, 5);
	unsigned code_count = 4 + bits_take(&inflater->bits, 4);
	int r;

	if (literal_count > LITERALS_MAX)
		return damaged(inflater);
	for (unsigned i = 0; i < code_count; i++)
		lengths[order[i]] = (uint8_t)bits_take(&inflater->bits, 3);
	if (!code_make(&code, lengths, CODE_CODES))
		return damaged(inflater);
	r = lengths_read(inflater, &code, lengths, literal_count + distance_count);
	if (r < 0)
		return r;
	if (!code_make(&literals, lengths, literal_count) ||
	    !code_make(&distances, lengths + literal_count, distance_count))
		return damaged(inflater);
	return block_decode(inflater, &literals, &distances);
}

int inflate(struct span stream, size_t size_max, struct secret *out, struct error *err)
{
	struct inflater inflater = {
		.bits = {.rest = stream},
		.out = out,
		.start = out->size,
		.size_max = size_max,
		.err = err,
	};
	bool is_last = false;
	int r = 0;

	while (r == 0 && !is_last) {
		is_last = bits_take(&inflater.bits, 1);
		switch (bits_take(&inflater.bits, 2)) {
		case 0:
			r = stored_copy(&inflater);
			break;
		case 1:
			r = fixed_decode(&inflater);
			break;
		case 2:
			r = dynamic_decode(&inflater);
			break;
		default:
			r = damaged(&inflater);
		}
		if (r == 0 && inflater.bits.ended)
			r = damaged(&inflater);
	}
	if (r < 0 && out->size > inflater.start) {
		memory_wipe(out->data + inflater.start, out->size - inflater.start);
		out->size = inflater.start;
	}
	return r;
}
