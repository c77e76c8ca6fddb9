/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All states that the expression can be in after each character (Thompson's automaton). A state is
 * in the list once, however many ways lead to it.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/regex_set.h"

/* States in the order in which they were reached; `where` tells whether one is among them. */
struct states {
	uint32_t *list, *where;
	uint32_t count;
};

struct matcher {
	const struct sops_regex *regex;
	uint32_t *pending;      /* a stack */
	uint32_t before, after; /* the characters around the place; END where there is none */
};

#define END UINT32_MAX

static bool contains(const struct states *states, uint32_t state)
{
	uint32_t where = states->where[state];

	return where < states->count && states->list[where] == state;
}

static bool place_is(const struct matcher *matcher, enum regex_place place)
{
	uint32_t before = matcher->before, after = matcher->after;
	bool boundary =
		(before != END && regex_is_word(before)) != (after != END && regex_is_word(after));

	switch (place) {
	case REGEX_TEXT_BEGIN:
		return before == END;
	case REGEX_TEXT_END:
		return after == END;
	case REGEX_LINE_BEGIN:
		return before == END || before == '\n';
	case REGEX_LINE_END:
		return after == END || after == '\n';
	case REGEX_WORD_BOUNDARY:
		return boundary;
	case REGEX_NO_WORD_BOUNDARY:
		break;
	}
	return !boundary;
}

/* Adds a state and all that can be reached from it without a character. Returns whether the end of
 * the expression is one of them. */
static bool states_add(struct matcher *matcher, struct states *states, uint32_t state)
{
	uint32_t depth = 0;

	matcher->pending[depth++] = state;
	while (depth > 0) {
		const struct regex_instruction *instruction;

		state = matcher->pending[--depth];
		if (contains(states, state))
			continue;
		states->where[state] = states->count;
		states->list[states->count++] = state;
		instruction = &matcher->regex->instructions[state];
		switch (instruction->operation) {
		case REGEX_MATCH:
			return true;
		case REGEX_SPLIT:
			matcher->pending[depth++] = instruction->other;
			matcher->pending[depth++] = instruction->target;
			break;
		case REGEX_JUMP:
			matcher->pending[depth++] = instruction->target;
			break;
		case REGEX_ASSERT:
			if (place_is(matcher, instruction->place))
				matcher->pending[depth++] = state + 1;
			break;
		case REGEX_SET:
			break;
		}
	}
	return false;
}

static bool set_holds(const struct sops_regex *regex, const struct regex_instruction *set,
		      uint32_t c)
{
	for (uint32_t i = set->first; i < set->first + set->count; i++) {
		if (regex->ranges[i].low <= c && c <= regex->ranges[i].high)
			return !set->negated;
	}
	return set->negated;
}

/* Every state can be pending twice: as it is reached from two sides before it is looked at. */
static bool text_match(struct matcher *matcher, struct states *now, struct states *next,
		       struct span text)
{
	size_t size = 0;

	matcher->before = END;
	for (;;) {
		matcher->after = END;
		if (text.size > 0)
			size = regex_character(text, &matcher->after);
		/* It may begin here as well as anywhere before. */
		if (states_add(matcher, now, 0))
			return true;
		if (text.size == 0)
			return false;
		text = span_of(text.data + size, text.size - size);
		matcher->before = matcher->after;
		matcher->after = END;
		if (text.size > 0)
			(void)regex_character(text, &matcher->after);
		next->count = 0;
		for (uint32_t i = 0; i < now->count; i++) {
			const struct regex_instruction *set =
				&matcher->regex->instructions[now->list[i]];

			if (set->operation == REGEX_SET &&
			    set_holds(matcher->regex, set, matcher->before) &&
			    states_add(matcher, next, now->list[i] + 1))
				return true;
		}
		struct states swap = *now;

		*now = *next;
		*next = swap;
	}
}

int sops_regex_match(const struct sops_regex *regex, struct span text, struct error *err)
{
	size_t count = regex->count;
	_cleanup_free_ uint32_t *memory = calloc(count * 6 + 2, sizeof(*memory));
	struct matcher matcher = {.regex = regex, .pending = memory};
	struct states now = {0}, next = {0};

	if (!memory)
		return error_no_memory(err);
	now.list = memory + 2 * count + 2;
	now.where = now.list + count;
	next.list = now.where + count;
	next.where = next.list + count;
	return text_match(&matcher, &now, &next, text);
}
