/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that an expression is compiled to: an instruction is a state of the automaton.
 */
#ifndef VMCRED_SOPS_REGEX_PROGRAM_H
#define VMCRED_SOPS_REGEX_PROGRAM_H

#include <stdint.h>

#include "sops/regex.h"

#define REGEX_CHARACTER_MAX 0x10ffff

/* States that an expression may have: bounds the work for a character. */
#define REGEX_STATES_MAX 20000

enum regex_operation {
	REGEX_SET,    /* a character of the set, then the next instruction */
	REGEX_JUMP,   /* to `target` */
	REGEX_SPLIT,  /* to `target` and to `other` */
	REGEX_ASSERT, /* the next instruction, where the place is of the kind */
	REGEX_MATCH,
};

enum regex_place {
	REGEX_TEXT_BEGIN,
	REGEX_TEXT_END,
	REGEX_LINE_BEGIN,
	REGEX_LINE_END,
	REGEX_WORD_BOUNDARY,
	REGEX_NO_WORD_BOUNDARY,
};

struct regex_range {
	uint32_t low, high; /* both included */
};

struct regex_instruction {
	enum regex_operation operation;
	enum regex_place place;
	uint32_t target, other;
	/* A set: ranges [first, first + count) of the program, or all others. */
	uint32_t first, count;
	bool negated;
};

struct sops_regex {
	struct regex_instruction *instructions; /* owned */
	uint32_t count, capacity;
	struct regex_range *ranges; /* owned */
	uint32_t range_count, range_capacity;
};

#endif
