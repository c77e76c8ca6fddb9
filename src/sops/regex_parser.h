/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the compiler of expressions: what is read, and the program that grows. regex_parse.c reads
 * groups, alternatives and repetitions, regex_character.c what stands for one character, and
 * regex_emit.c adds to the program. Each function returns 0 or a negative code, with the parser's
 * error set, unless it says otherwise.
 */
#ifndef VMCRED_SOPS_REGEX_PARSER_H
#define VMCRED_SOPS_REGEX_PARSER_H

#include <string.h>

#include "sops/regex_program.h"

struct regex_flags {
	bool fold_case, many_lines, dot_all;
	bool quoted; /* between \Q and \E */
};

struct regex_parser {
	struct sops_regex *regex;
	const uint8_t *start, *at, *end; /* valid UTF-8 */
	struct regex_flags flags;
	unsigned int depth;
	uint32_t repeat; /* the largest product of counts in what was read last */
	bool only_flags; /* what was read last was (?i) or the like, which cannot be repeated */
	struct error *err;
};

/* The next byte, or -1 at the end. */
static inline int regex_peek(const struct regex_parser *parser)
{
	return parser->at < parser->end ? *parser->at : -1;
}

/* Whether the text comes next, which is left behind then. */
static inline bool regex_take(struct regex_parser *parser, const char *text)
{
	size_t size = strlen(text);

	if ((size_t)(parser->end - parser->at) < size || memcmp(parser->at, text, size) != 0)
		return false;
	parser->at += size;
	return true;
}

/* Says why the expression is invalid; returns -VMCRED_USAGE. */
int regex_invalid(const struct regex_parser *parser, const char *reason);

/* Adds an instruction; `*index` is its place. */
int regex_emit(struct regex_parser *parser, struct regex_instruction instruction, uint32_t *index);

/* A place for a jump that may be needed. */
int regex_hole_emit(struct regex_parser *parser, uint32_t *index);

/* Makes a jump, or a split, of the instruction at `index`. */
void regex_jump_set(struct regex_parser *parser, uint32_t index, uint32_t target);
void regex_split_set(struct regex_parser *parser, uint32_t index, uint32_t target, uint32_t other);

int regex_place_emit(struct regex_parser *parser, enum regex_place place);

/* Adds a range to the set that is being built, with letters of both cases where the flags say so.
 */
int regex_range_add(struct regex_parser *parser, uint32_t low, uint32_t high);

/* Ends a set whose ranges begin at `first`. */
int regex_set_emit(struct regex_parser *parser, uint32_t first, bool negated);

int regex_literal_emit(struct regex_parser *parser, uint32_t c);

/* The next character; there is one. */
uint32_t regex_character_take(struct regex_parser *parser);

/* An escape that stands for one character, behind its backslash. */
int regex_escape_read(struct regex_parser *parser, uint32_t *c);

/* \d, \W … or, `bracketed`, [:alpha:] too, added to the set. Returns 1 if there was one, else 0. */
int regex_class_take(struct regex_parser *parser, bool bracketed);

/* A set in brackets, behind the opening one. */
int regex_set_read(struct regex_parser *parser);

#endif
