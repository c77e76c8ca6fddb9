/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expression is read from left to right and compiled on the way. Where an operator may follow
 * that needs a jump in front of its operand, a jump to the next instruction is put there first and
 * changed later. An operand that is counted, x{2,5}, is read again for each copy.
 */
#include <stdlib.h>

#include "base/json.h"
#include "sops/regex_program.h"
#include "sops/regex_set.h"

#define REPEAT_MAX 1000 /* regexp/syntax: maxRepeat, also for the product of nested ones */
#define DEPTH_MAX  1000 /* regexp/syntax: maxHeight */
#define UNBOUNDED  UINT32_MAX

struct flags {
	bool fold_case, many_lines, dot_all;
	bool quoted; /* between \Q and \E */
};

struct parser {
	struct sops_regex *regex;
	const uint8_t *start, *at, *end;
	struct flags flags;
	unsigned int depth;
	uint32_t repeat; /* the largest product of counts in what was read last */
	bool only_flags; /* what was read last was (?i) or the like, which cannot be repeated */
	struct error *err;
};

static int invalid(const struct parser *parser, const char *reason)
{
	return error_set(parser->err, VMCRED_USAGE, "the regular expression %.*s is invalid: %s",
			 (int)(parser->end - parser->start), (const char *)parser->start, reason);
}

static int peek(const struct parser *parser)
{
	return parser->at < parser->end ? *parser->at : -1;
}

static bool take(struct parser *parser, const char *text)
{
	size_t size = strlen(text);

	if ((size_t)(parser->end - parser->at) < size || memcmp(parser->at, text, size) != 0)
		return false;
	parser->at += size;
	return true;
}

/* Adds an instruction; `*index` is its place. */
static int emit(struct parser *parser, struct regex_instruction instruction, uint32_t *index)
{
	struct sops_regex *regex = parser->regex;

	if (regex->count == REGEX_STATES_MAX)
		return invalid(parser, "it is too large");
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

/* A place for a jump that may be needed. */
static int hole_emit(struct parser *parser, uint32_t *index)
{
	const struct regex_instruction next = {
		.operation = REGEX_JUMP,
		.target = parser->regex->count + 1,
	};

	return emit(parser, next, index);
}

/* The analyzer does not see that an instruction was added before. */
/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */
static void jump_set(struct parser *parser, uint32_t index, uint32_t target)
{
	parser->regex->instructions[index].operation = REGEX_JUMP;
	parser->regex->instructions[index].target = target;
}

static void split_set(struct parser *parser, uint32_t index, uint32_t target, uint32_t other)
{
	parser->regex->instructions[index].operation = REGEX_SPLIT;
	parser->regex->instructions[index].target = target;
	parser->regex->instructions[index].other = other;
}
/* NOLINTEND(clang-analyzer-core.NullDereference) */

static int place_emit(struct parser *parser, enum regex_place place)
{
	uint32_t index;

	return emit(parser, (struct regex_instruction){.operation = REGEX_ASSERT, .place = place},
		    &index);
}

static int range_add(struct parser *parser, uint32_t low, uint32_t high)
{
	uint32_t first = parser->regex->range_count;
	int r = regex_set_add(parser->regex, low, high, parser->err);

	if (r == 0 && parser->flags.fold_case)
		r = regex_set_fold(parser->regex, first, parser->err);
	return r;
}

/* Ends a set whose ranges begin at `first`. */
static int set_emit(struct parser *parser, uint32_t first, bool negated)
{
	const struct regex_instruction set = {
		.operation = REGEX_SET,
		.first = first,
		.count = parser->regex->range_count - first,
		.negated = negated,
	};
	uint32_t index;

	return emit(parser, set, &index);
}

static int literal_emit(struct parser *parser, uint32_t c)
{
	uint32_t first = parser->regex->range_count;
	int r = range_add(parser, c, c);

	return r < 0 ? r : set_emit(parser, first, false);
}

/* The expression is valid UTF-8. */
static uint32_t character_take(struct parser *parser)
{
	uint32_t c;

	parser->at += regex_character(span_of(parser->at, (size_t)(parser->end - parser->at)), &c);
	return c;
}

static int digit_value(int c)
{
	int lower = c | 0x20;

	if (c >= '0' && c <= '9')
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* Behind \x. */
static int hexadecimal_read(struct parser *parser, uint32_t *c)
{
	bool braced = take(parser, "{");
	size_t digits = 0;

	*c = 0;
	while ((braced || digits < 2) && digit_value(peek(parser)) < 16) {
		*c = *c << 4 | (uint32_t)digit_value(*parser->at++);
		digits++;
		if (*c > REGEX_CHARACTER_MAX)
			return invalid(parser, "an escape is no character");
	}
	if (digits == 0 || (!braced && digits < 2) || (braced && !take(parser, "}")))
		return invalid(parser, "an escape is cut off");
	return 0;
}

static uint32_t octal_take(struct parser *parser)
{
	uint32_t c = 0;

	for (int i = 0; i < 3 && peek(parser) >= '0' && peek(parser) <= '7'; i++)
		c = c << 3 | (uint32_t)(*parser->at++ - '0');
	return c;
}

/* An escape that stands for one character, behind its backslash. */
static int escape_read(struct parser *parser, uint32_t *c)
{
	static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
	int name = peek(parser);
	const char *found;

	if (name < 0)
		return invalid(parser, "it ends with a backslash");
	if (take(parser, "x"))
		return hexadecimal_read(parser, c);
	/* \1 would be a back reference, \12 is octal. */
	if (name == '0' || (name >= '1' && name <= '7' && parser->end - parser->at > 1 &&
			    parser->at[1] >= '0' && parser->at[1] <= '7')) {
		*c = octal_take(parser);
		return 0;
	}
	found = strchr(names, name);
	if (found && name) {
		parser->at++;
		*c = (uint32_t)values[found - names];
		return 0;
	}
	if (name < 0x80 && (name == '_' || !regex_is_word((uint32_t)name))) {
		parser->at++;
		*c = (uint32_t)name;
		return 0;
	}
	if (name == 'p' || name == 'P')
		return error_set(parser->err, VMCRED_FAILED,
				 "the regular expression %.*s is not supported: it uses a class of "
				 "Unicode properties (\\p)",
				 (int)(parser->end - parser->start), (const char *)parser->start);
	return invalid(parser, "it has an unknown escape");
}

/* \d, \W … or [:alpha:]. Returns 1 if there was one. */
static int class_take(struct parser *parser, bool bracketed)
{
	struct span rest = span_of(parser->at, (size_t)(parser->end - parser->at));
	size_t size = 0;
	int r = regex_set_add_class(parser->regex, rest, bracketed, parser->flags.fold_case, &size,
				    parser->err);

	parser->at += size;
	return r;
}

static int set_member_read(struct parser *parser, uint32_t *c)
{
	if (peek(parser) < 0)
		return invalid(parser, "a [ is not closed");
	if (take(parser, "\\"))
		return escape_read(parser, c);
	*c = character_take(parser);
	return 0;
}

/* Behind the opening bracket. */
static int set_read(struct parser *parser)
{
	uint32_t first = parser->regex->range_count, low = 0, high;
	bool negated = take(parser, "^"), begins = true;

	for (; begins || peek(parser) != ']'; begins = false) {
		int r = class_take(parser, true);

		if (r > 0)
			continue;
		if (r == 0 && take(parser, "[:"))
			r = invalid(parser, "it has an unknown class in [: :]");
		if (r == 0)
			r = set_member_read(parser, &low);
		if (r < 0)
			return r;
		high = low;
		if (peek(parser) == '-' && parser->end - parser->at > 1 && parser->at[1] != ']') {
			parser->at++;
			r = set_member_read(parser, &high);
			if (r == 0 && high < low)
				r = invalid(parser, "a range in it is backwards");
		}
		if (r == 0)
			r = range_add(parser, low, high);
		if (r < 0)
			return r;
	}
	parser->at++;
	return set_emit(parser, first, negated);
}

static int alternatives_read(struct parser *parser);

static bool name_take(struct parser *parser)
{
	const uint8_t *begin = parser->at;

	while (peek(parser) >= 0 && regex_is_word(*parser->at))
		parser->at++;
	return parser->at > begin && take(parser, ">");
}

/* Behind "(?": flags, to the ')' or ':' that ends them. */
static int flags_read(struct parser *parser, struct flags *flags)
{
	bool value = true, any = false;

	for (;; parser->at++) {
		switch (peek(parser)) {
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
				return invalid(parser, "it has unknown flags in (?");
			value = false;
			any = false;
			continue;
		default:
			if ((peek(parser) == ':' || peek(parser) == ')') && (value || any))
				return 0;
			return invalid(parser, "it has an unknown group (?");
		}
		any = true;
	}
}

/* Behind the opening parenthesis. */
static int group_read(struct parser *parser)
{
	struct flags outside = parser->flags;
	int r = 0;

	if (take(parser, "?P<") || take(parser, "?<")) {
		if (!name_take(parser))
			return invalid(parser, "it has a group without a valid name");
	} else if (take(parser, "?")) {
		struct flags flags = parser->flags;

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
		return invalid(parser, "it is nested too deeply");
	r = alternatives_read(parser);
	if (r == 0 && !take(parser, ")"))
		r = invalid(parser, "a ( is not closed");
	parser->depth--;
	parser->flags = outside;
	parser->only_flags = false;
	return r;
}

static int escaped_atom_read(struct parser *parser)
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
		if (take(parser, places[i].text))
			return place_emit(parser, places[i].place);
	}
	r = class_take(parser, false);
	if (r > 0)
		return set_emit(parser, first, false);
	parser->at++;
	if (r == 0)
		r = escape_read(parser, &c);
	return r < 0 ? r : literal_emit(parser, c);
}

static int any_emit(struct parser *parser)
{
	uint32_t first = parser->regex->range_count;
	int r = parser->flags.dot_all ? 0 : regex_set_add(parser->regex, '\n', '\n', parser->err);

	return r < 0 ? r : set_emit(parser, first, true);
}

static int atom_read(struct parser *parser)
{
	parser->repeat = 1;
	parser->only_flags = false;
	if (parser->flags.quoted)
		return literal_emit(parser, character_take(parser));
	switch (peek(parser)) {
	case '(':
		parser->at++;
		return group_read(parser);
	case '[':
		parser->at++;
		return set_read(parser);
	case '.':
		parser->at++;
		return any_emit(parser);
	case '^':
		parser->at++;
		return place_emit(parser,
				  parser->flags.many_lines ? REGEX_LINE_BEGIN : REGEX_TEXT_BEGIN);
	case '$':
		parser->at++;
		return place_emit(parser,
				  parser->flags.many_lines ? REGEX_LINE_END : REGEX_TEXT_END);
	case '\\':
		return escaped_atom_read(parser);
	case '*':
	case '+':
	case '?':
		return invalid(parser, "an operator has nothing to repeat");
	default:
		return literal_emit(parser, character_take(parser));
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
static bool counts_take(struct parser *parser, uint32_t *least, uint32_t *most)
{
	const uint8_t *at = parser->at + 1;

	if (peek(parser) != '{' || !count_take(&at, parser->end, least))
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

static bool operator_take(struct parser *parser, uint32_t *least, uint32_t *most)
{
	*least = 0;
	*most = UNBOUNDED;
	if (take(parser, "*"))
		return true;
	if (take(parser, "+")) {
		*least = 1;
		return true;
	}
	if (take(parser, "?")) {
		*most = 1;
		return true;
	}
	return counts_take(parser, least, most);
}

/* Reads the operand once more. */
static int copy_read(struct parser *parser, const uint8_t *operand, struct flags flags,
		     uint32_t *hole)
{
	const uint8_t *behind = parser->at;
	struct flags now = parser->flags;
	int r = hole_emit(parser, hole);

	parser->at = operand;
	parser->flags = flags;
	if (r == 0)
		r = atom_read(parser);
	parser->at = behind;
	parser->flags = now;
	return r;
}

/* `hole` stands before the first copy of the operand. */
static int repeat_emit(struct parser *parser, uint32_t hole, const uint8_t *operand,
		       struct flags flags, uint32_t least, uint32_t most)
{
	uint32_t last = hole, optional = least == 0 ? hole : 0, index = 0;
	uint32_t copies = most == UNBOUNDED ? (least > 0 ? least : 1) : most;
	bool has_optional = least == 0;

	if (most == 0) {
		jump_set(parser, hole, parser->regex->count);
		return 0;
	}
	for (uint32_t i = 1; i < copies; i++) {
		int r = copy_read(parser, operand, flags, &last);

		if (r < 0)
			return r;
		/* The optional ones are chained by `other`, which is set to the end below. */
		if (i >= least) {
			split_set(parser, last, last + 1, has_optional ? optional : 0);
			optional = last;
			has_optional = true;
		}
	}
	if (most == UNBOUNDED) {
		int r = hole_emit(parser, &index);

		if (r < 0)
			return r;
		split_set(parser, index, last, parser->regex->count);
	}
	if (least == 0)
		split_set(parser, hole, hole + 1, parser->regex->count);
	for (uint32_t i = optional; has_optional && i > hole;) {
		uint32_t before = parser->regex->instructions[i].other;

		split_set(parser, i, i + 1, parser->regex->count);
		i = before;
	}
	return 0;
}

static bool quote_end(struct parser *parser)
{
	if (!take(parser, "\\E"))
		return false;
	parser->flags.quoted = false;
	return true;
}

static int repeated_read(struct parser *parser)
{
	uint32_t hole = 0, least, most, product, counted;
	const uint8_t *operand;
	struct flags flags;
	int r = hole_emit(parser, &hole);

	if (!parser->flags.quoted && take(parser, "\\Q"))
		parser->flags.quoted = true;
	operand = parser->at;
	flags = parser->flags;
	if (r == 0 && peek(parser) >= 0 && !(flags.quoted && quote_end(parser)))
		r = atom_read(parser);
	if (r < 0 || parser->at == operand)
		return r;
	if (parser->flags.quoted && !quote_end(parser))
		return 0;
	if (!operator_take(parser, &least, &most))
		return 0;
	if (parser->only_flags)
		return invalid(parser, "an operator has nothing to repeat");
	(void)take(parser, "?");
	counted = most == UNBOUNDED ? least : most;
	if (counted > REPEAT_MAX || (most != UNBOUNDED && least > most))
		return invalid(parser, "a count in it is too large, or the wrong way round");
	product = parser->repeat * (counted > 0 ? counted : 1);
	if (product > REPEAT_MAX)
		return invalid(parser, "counts in it multiply to more than 1000");
	r = repeat_emit(parser, hole, operand, flags, least, most);
	parser->repeat = product;
	if (r == 0 && operator_take(parser, &least, &most))
		r = invalid(parser, "an operator follows an operator");
	return r;
}

static int alternatives_read(struct parser *parser)
{
	uint32_t repeat = 1, hole = 0, jump = 0, chain = UINT32_MAX;
	int r = hole_emit(parser, &hole);

	while (r == 0 && peek(parser) >= 0 && (parser->flags.quoted || peek(parser) != ')')) {
		if (parser->flags.quoted || !take(parser, "|")) {
			r = repeated_read(parser);
			if (parser->repeat > repeat)
				repeat = parser->repeat;
			continue;
		}
		/* From here to the end of all; those jumps are chained by `other`. */
		r = emit(parser,
			 (struct regex_instruction){.operation = REGEX_JUMP, .other = chain},
			 &jump);
		if (r < 0)
			break;
		chain = jump;
		split_set(parser, hole, hole + 1, parser->regex->count);
		r = hole_emit(parser, &hole);
	}
	while (r == 0 && chain != UINT32_MAX) {
		uint32_t before = parser->regex->instructions[chain].other;

		jump_set(parser, chain, parser->regex->count);
		chain = before;
	}
	parser->repeat = repeat;
	return r;
}

int sops_regex_compile(struct span expression, struct sops_regex **regex, struct error *err)
{
	_cleanup_sops_regex_ struct sops_regex *new = calloc(1, sizeof(*new));
	struct parser parser = {
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
		r = invalid(&parser, "a ) closes nothing");
	if (r == 0)
		r = emit(&parser, (struct regex_instruction){.operation = REGEX_MATCH}, &index);
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
