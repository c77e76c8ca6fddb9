/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expression is read from left to right and compiled on the way. Where an operator may follow
 * that needs a jump in front of its operand, a jump to the next instruction is put there first and
 * changed later. An operand that is counted, x{2,5}, is read again for each copy.
 */
#include <stdlib.h>

#include "base/text.h"
#include "sops/regex_parser.h"
#include "sops/regex_set.h"

#define REPEAT_MAX 1000 /* regexp/syntax: maxRepeat, also for the product of nested ones */
#define DEPTH_MAX  1000 /* regexp/syntax: maxHeight */
#define UNBOUNDED  UINT32_MAX

static int alternatives_read(struct regex_parser *parser);

static bool name_take(struct regex_parser *parser)
{
	const uint8_t *begin = parser->at;

	while (regex_peek(parser) >= 0 && regex_is_word(*parser->at))
		parser->at++;
	return parser->at > begin && regex_take(parser, ">");
}

/* Behind "(?": flags, to the ')' or ':' that ends them. */
static int flags_read(struct regex_parser *parser, struct regex_flags *flags)
{
	bool value = true, any = false;

	for (;; parser->at++) {
		switch (regex_peek(parser)) {
		case 'i':
			flags->fold_case = value;
			break;
		case 'm':
			flags->many_lines = value;
			break;
		case 's':
			flags->dot_all = value;
			break;
		case 'U': /* which match is preferred, which nobody asks */
			break;
		case '-':
			if (!value)
				return regex_invalid(parser, "it has unknown flags in (?");
			value = false;
			any = false;
			continue;
		default:
			if ((regex_peek(parser) == ':' || regex_peek(parser) == ')') &&
			    (value || any))
				return 0;
			return regex_invalid(parser, "it has an unknown group (?");
		}
		any = true;
	}
}

/* Behind the opening parenthesis. */
static int group_read(struct regex_parser *parser)
{
	struct regex_flags outside = parser->flags;
	int r = 0;

	if (regex_take(parser, "?P<") || regex_take(parser, "?<")) {
		if (!name_take(parser))
			return regex_invalid(parser, "it has a group without a valid name");
	} else if (regex_take(parser, "?")) {
		struct regex_flags flags = parser->flags;

		r = flags_read(parser, &flags);
		if (r < 0)
			return r;
		parser->flags = flags;
		/* (?i) holds to the end of the group that it stands in. */
		parser->only_flags = *parser->at++ == ')';
		if (parser->only_flags)
			return 0;
	}
	if (++parser->depth > DEPTH_MAX)
		return regex_invalid(parser, "it is nested too deeply");
	r = alternatives_read(parser);
	if (r == 0 && !regex_take(parser, ")"))
		r = regex_invalid(parser, "a ( is not closed");
	parser->depth--;
	parser->flags = outside;
	parser->only_flags = false;
	return r;
}

static int escaped_atom_read(struct regex_parser *parser)
{
	static const struct {
		const char *text;
		enum regex_place place;
	} places[] = {
		{"\\A", REGEX_TEXT_BEGIN},
		{"\\z", REGEX_TEXT_END},
		{"\\b", REGEX_WORD_BOUNDARY},
		{"\\B", REGEX_NO_WORD_BOUNDARY},
	};
	uint32_t first = parser->regex->range_count, c;
	int r;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (regex_take(parser, places[i].text))
			return regex_place_emit(parser, places[i].place);
	}
	r = regex_class_take(parser, false);
	if (r > 0)
		return regex_set_emit(parser, first, false);
	parser->at++;
	if (r == 0)
		r = regex_escape_read(parser, &c);
	return r < 0 ? r : regex_literal_emit(parser, c);
}

static int any_emit(struct regex_parser *parser)
{
	uint32_t first = parser->regex->range_count;
	int r = parser->flags.dot_all ? 0 : regex_set_add(parser->regex, '\n', '\n', parser->err);

	return r < 0 ? r : regex_set_emit(parser, first, true);
}

static int atom_read(struct regex_parser *parser)
{
	parser->repeat = 1;
	parser->only_flags = false;
	if (parser->flags.quoted)
		return regex_literal_emit(parser, regex_character_take(parser));
	switch (regex_peek(parser)) {
	case '(':
		parser->at++;
		return group_read(parser);
	case '[':
		parser->at++;
		return regex_set_read(parser);
	case '.':
		parser->at++;
		return any_emit(parser);
	case '^':
		parser->at++;
		return regex_place_emit(parser, parser->flags.many_lines ? REGEX_LINE_BEGIN
									 : REGEX_TEXT_BEGIN);
	case '$':
		parser->at++;
		return regex_place_emit(parser,
					parser->flags.many_lines ? REGEX_LINE_END : REGEX_TEXT_END);
	case '\\':
		return escaped_atom_read(parser);
	case '*':
	case '+':
	case '?':
		return regex_invalid(parser, "an operator has nothing to repeat");
	default:
		return regex_literal_emit(parser, regex_character_take(parser));
	}
}

static bool count_take(const uint8_t **at, const uint8_t *end, uint32_t *count)
{
	const uint8_t *begin = *at;

	*count = 0;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		if (*count <= REPEAT_MAX)
			*count = *count * 10 + (uint32_t)(**at - '0');
	}
	/* Leading zeros make it a literal. */
	return *at > begin && (*begin != '0' || *at == begin + 1);
}

/* {n}, {n,} or {n,m}; anything else after a brace is literal. */
static bool counts_take(struct regex_parser *parser, uint32_t *least, uint32_t *most)
{
	const uint8_t *at = parser->at + 1;

	if (regex_peek(parser) != '{' || !count_take(&at, parser->end, least))
		return false;
	*most = *least;
	if (at < parser->end && *at == ',') {
		at++;
		*most = UNBOUNDED;
		if (at < parser->end && *at != '}' && !count_take(&at, parser->end, most))
			return false;
	}
	if (at == parser->end || *at != '}')
		return false;
	parser->at = at + 1;
	return true;
}

static bool operator_take(struct regex_parser *parser, uint32_t *least, uint32_t *most)
{
	*least = 0;
	*most = UNBOUNDED;
	if (regex_take(parser, "*"))
		return true;
	if (regex_take(parser, "+")) {
		*least = 1;
		return true;
	}
	if (regex_take(parser, "?")) {
		*most = 1;
		return true;
	}
	return counts_take(parser, least, most);
}

/* Reads the operand once more. */
static int copy_read(struct regex_parser *parser, const uint8_t *operand, struct regex_flags flags,
		     uint32_t *hole)
{
	const uint8_t *behind = parser->at;
	struct regex_flags now = parser->flags;
	int r = regex_hole_emit(parser, hole);

	parser->at = operand;
	parser->flags = flags;
	if (r == 0)
		r = atom_read(parser);
	parser->at = behind;
	parser->flags = now;
	return r;
}

/* `hole` stands before the first copy of the operand. */
static int repeat_emit(struct regex_parser *parser, uint32_t hole, const uint8_t *operand,
		       struct regex_flags flags, uint32_t least, uint32_t most)
{
	uint32_t last = hole, optional = least == 0 ? hole : 0, index = 0;
	uint32_t copies = most == UNBOUNDED ? (least > 0 ? least : 1) : most;
	bool has_optional = least == 0;

	if (most == 0) {
		regex_jump_set(parser, hole, parser->regex->count);
		return 0;
	}
	for (uint32_t i = 1; i < copies; i++) {
		int r = copy_read(parser, operand, flags, &last);

		if (r < 0)
			return r;
		/* The optional ones are chained by `other`, which is set to the end below. */
		if (i >= least) {
			regex_split_set(parser, last, last + 1, has_optional ? optional : 0);
			optional = last;
			has_optional = true;
		}
	}
	if (most == UNBOUNDED) {
		int r = regex_hole_emit(parser, &index);

		if (r < 0)
			return r;
		regex_split_set(parser, index, last, parser->regex->count);
	}
	if (least == 0)
		regex_split_set(parser, hole, hole + 1, parser->regex->count);
	for (uint32_t i = optional; has_optional && i > hole;) {
		uint32_t before = parser->regex->instructions[i].other;

		regex_split_set(parser, i, i + 1, parser->regex->count);
		i = before;
	}
	return 0;
}

static bool quote_end(struct regex_parser *parser)
{
	if (!regex_take(parser, "\\E"))
		return false;
	parser->flags.quoted = false;
	return true;
}

static int repeated_read(struct regex_parser *parser)
{
	uint32_t hole = 0, least, most, product, counted;
	const uint8_t *operand;
	struct regex_flags flags;
	int r = regex_hole_emit(parser, &hole);

	if (!parser->flags.quoted && regex_take(parser, "\\Q"))
		parser->flags.quoted = true;
	operand = parser->at;
	flags = parser->flags;
	if (r == 0 && regex_peek(parser) >= 0 && !(flags.quoted && quote_end(parser)))
		r = atom_read(parser);
	if (r < 0 || parser->at == operand)
		return r;
	if (parser->flags.quoted && !quote_end(parser))
		return 0;
	if (!operator_take(parser, &least, &most))
		return 0;
	if (parser->only_flags)
		return regex_invalid(parser, "an operator has nothing to repeat");
	(void)regex_take(parser, "?");
	counted = most == UNBOUNDED ? least : most;
	if (counted > REPEAT_MAX || (most != UNBOUNDED && least > most))
		return regex_invalid(parser, "a count in it is too large, or the wrong way round");
	product = parser->repeat * (counted > 0 ? counted : 1);
	if (product > REPEAT_MAX)
		return regex_invalid(parser, "counts in it multiply to more than 1000");
	r = repeat_emit(parser, hole, operand, flags, least, most);
	parser->repeat = product;
	if (r == 0 && operator_take(parser, &least, &most))
		r = regex_invalid(parser, "an operator follows an operator");
	return r;
}

static int alternatives_read(struct regex_parser *parser)
{
	uint32_t repeat = 1, hole = 0, jump = 0, chain = UINT32_MAX;
	int r = regex_hole_emit(parser, &hole);

	while (r == 0 && regex_peek(parser) >= 0 &&
	       (parser->flags.quoted || regex_peek(parser) != ')')) {
		if (parser->flags.quoted || !regex_take(parser, "|")) {
			r = repeated_read(parser);
			if (parser->repeat > repeat)
				repeat = parser->repeat;
			continue;
		}
		/* From here to the end of all; those jumps are chained by `other`. */
		r = regex_emit(parser,
			       (struct regex_instruction){.operation = REGEX_JUMP, .other = chain},
			       &jump);
		if (r < 0)
			break;
		chain = jump;
		regex_split_set(parser, hole, hole + 1, parser->regex->count);
		r = regex_hole_emit(parser, &hole);
	}
	while (r == 0 && chain != UINT32_MAX) {
		uint32_t before = parser->regex->instructions[chain].other;

		regex_jump_set(parser, chain, parser->regex->count);
		chain = before;
	}
	parser->repeat = repeat;
	return r;
}

int sops_regex_compile(struct span expression, struct sops_regex **regex, struct error *err)
{
	_cleanup_sops_regex_ struct sops_regex *new = calloc(1, sizeof(*new));
	struct regex_parser parser = {
		.regex = new,
		.start = expression.data,
		.at = expression.data,
		.end = expression.data + expression.size,
		.err = err,
	};
	uint32_t index;
	int r;

	if (!new)
		return error_no_memory(err);
	if (!utf8_valid(expression))
		return error_set(err, VMCRED_USAGE, "a regular expression is not UTF-8");
	r = alternatives_read(&parser);
	if (r == 0 && parser.at < parser.end)
		r = regex_invalid(&parser, "a ) closes nothing");
	if (r == 0)
		r = regex_emit(&parser, (struct regex_instruction){.operation = REGEX_MATCH},
			       &index);
	if (r < 0)
		return r;
	*regex = new;
	new = NULL;
	return 0;
}

void sops_regex_destroy(struct sops_regex **regex)
{
	if (!*regex)
		return;
	free((*regex)->instructions);
	free((*regex)->ranges);
	free(*regex);
	*regex = NULL;
}
