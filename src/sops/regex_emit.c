/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sops/regex_parser.h"
#include "sops/regex_set.h"

int regex_invalid(const struct regex_parser *parser, const char *reason)
{
	return error_set(parser->err, VMCRED_USAGE, "the regular expression %.*s is invalid: %s",
			 (int)(parser->end - parser->start), (const char *)parser->start, reason);
}

int regex_emit(struct regex_parser *parser, struct regex_instruction instruction, uint32_t *index)
{
	struct sops_regex *regex = parser->regex;

	if (regex->count == REGEX_STATES_MAX)
		return regex_invalid(parser, "it is too large");
	if (regex->count == regex->capacity) {
		uint32_t capacity = regex->capacity ? regex->capacity * 2 : 32;
		struct regex_instruction *grown =
			reallocarray(regex->instructions, capacity, sizeof(*grown));

		if (!grown)
			return error_no_memory(parser->err);
		regex->instructions = grown;
		regex->capacity = capacity;
	}
	regex->instructions[regex->count] = instruction;
	*index = regex->count++;
	return 0;
}

int regex_hole_emit(struct regex_parser *parser, uint32_t *index)
{
	const struct regex_instruction next = {
		.operation = REGEX_JUMP,
		.target = parser->regex->count + 1,
	};

	return regex_emit(parser, next, index);
}

/* The analyzer does not see that an instruction was added before. */
/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */
void regex_jump_set(struct regex_parser *parser, uint32_t index, uint32_t target)
{
	parser->regex->instructions[index].operation = REGEX_JUMP;
	parser->regex->instructions[index].target = target;
}

void regex_split_set(struct regex_parser *parser, uint32_t index, uint32_t target, uint32_t other)
{
	parser->regex->instructions[index].operation = REGEX_SPLIT;
	parser->regex->instructions[index].target = target;
	parser->regex->instructions[index].other = other;
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */

int regex_place_emit(struct regex_parser *parser, enum regex_place place)
{
	uint32_t index;

	return regex_emit(parser,
			  (struct regex_instruction){.operation = REGEX_ASSERT, .place = place},
			  &index);
}

int regex_range_add(struct regex_parser *parser, uint32_t low, uint32_t high)
{
	uint32_t first = parser->regex->range_count;
	int r = regex_set_add(parser->regex, low, high, parser->err);

	if (r == 0 && parser->flags.fold_case)
		r = regex_set_fold(parser->regex, first, parser->err);
	return r;
}

int regex_set_emit(struct regex_parser *parser, uint32_t first, bool negated)
{
	const struct regex_instruction set = {
		.operation = REGEX_SET,
		.first = first,
		.count = parser->regex->range_count - first,
		.negated = negated,
	};
	uint32_t index;

	return regex_emit(parser, set, &index);
}

int regex_literal_emit(struct regex_parser *parser, uint32_t c)
{
	uint32_t first = parser->regex->range_count;
	int r = regex_range_add(parser, c, c);

	return r < 0 ? r : regex_set_emit(parser, first, false);
}
