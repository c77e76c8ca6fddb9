/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/regex_parser.h"
#include "sops/regex_set.h"

uint32_t regex_character_take(struct regex_parser *parser)
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
static int hexadecimal_read(struct regex_parser *parser, uint32_t *c)
{
	bool braced = regex_take(parser, "{");
	size_t digits = 0;

	*c = 0;
	while ((braced || digits < 2) && digit_value(regex_peek(parser)) < 16) {
		*c = *c << 4 | (uint32_t)digit_value(*parser->at++);
		digits++;
		if (*c > REGEX_CHARACTER_MAX)
			return regex_invalid(parser, "an escape is no character");
	}
	if (digits == 0 || (!braced && digits < 2) || (braced && !regex_take(parser, "}")))
		return regex_invalid(parser, "an escape is cut off");
	return 0;
}

static uint32_t octal_take(struct regex_parser *parser)
{
	uint32_t c = 0;

	for (int i = 0; i < 3 && regex_peek(parser) >= '0' && regex_peek(parser) <= '7'; i++)
		c = c << 3 | (uint32_t)(*parser->at++ - '0');
	return c;
}

int regex_escape_read(struct regex_parser *parser, uint32_t *c)
{
	static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
	int name = regex_peek(parser);
	const char *found;

	if (name < 0)
		return regex_invalid(parser, "it ends with a backslash");
	if (regex_take(parser, "x"))
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
	return regex_invalid(parser, "it has an unknown escape");
}

int regex_class_take(struct regex_parser *parser, bool bracketed)
{
	struct span rest = span_of(parser->at, (size_t)(parser->end - parser->at));
	size_t size = 0;
	int r = regex_set_add_class(parser->regex, rest, bracketed, parser->flags.fold_case, &size,
				    parser->err);

	parser->at += size;
	return r;
}

static int set_member_read(struct regex_parser *parser, uint32_t *c)
{
	if (regex_peek(parser) < 0)
		return regex_invalid(parser, "a [ is not closed");
	if (regex_take(parser, "\\"))
		return regex_escape_read(parser, c);
	*c = regex_character_take(parser);
	return 0;
}

int regex_set_read(struct regex_parser *parser)
{
	uint32_t first = parser->regex->range_count, low = 0, high;
	bool negated = regex_take(parser, "^"), begins = true;

	for (; begins || regex_peek(parser) != ']'; begins = false) {
		int r = regex_class_take(parser, true);

		if (r > 0)
			continue;
		if (r == 0 && regex_take(parser, "[:"))
			r = regex_invalid(parser, "it has an unknown class in [: :]");
		if (r == 0)
			r = set_member_read(parser, &low);
		if (r < 0)
			return r;
		high = low;
		if (regex_peek(parser) == '-' && parser->end - parser->at > 1 &&
		    parser->at[1] != ']') {
			parser->at++;
			r = set_member_read(parser, &high);
			if (r == 0 && high < low)
				r = regex_invalid(parser, "a range in it is backwards");
		}
		if (r == 0)
			r = regex_range_add(parser, low, high);
		if (r < 0)
			return r;
	}
	parser->at++;
	return regex_set_emit(parser, first, negated);
}
