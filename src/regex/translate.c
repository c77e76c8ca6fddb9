/* SPDX-License-Identifier: Apache-2.0 */
#include "regex/translate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

/* The limits of regexp/syntax in Go. */
#define CHARACTER_MAX 0x10ffff
#define COUNT_MAX     1000 /* also for the product of nested counts */
#define DEPTH_MAX     1000

#define UNBOUNDED UINT32_MAX

struct flags {
	bool fold_case, multi_line, dot_all;
};

struct translator {
	const char *expression, *at; /* NUL-terminated */
	FILE *out;
	struct flags flags;
	struct group {
		struct flags flags;  /* outside of it */
		uint32_t counts_max; /* the largest product of counts in it so far */
	} groups[DEPTH_MAX + 1];
	size_t depth;
	enum {
		NOTHING, /* that could be repeated */
		ITEM,
		REPEATED_ITEM,
	} last;
	uint32_t last_counts;      /* the product of counts in the last item */
	const char *last_operator; /* the end of the last repetition */
	struct error *err;
};

static int invalid(const struct translator *to, const char *reason)
{
	return error_set(to->err, VMCRED_USAGE, "invalid regular expression \"%s\": %s",
			 to->expression, reason);
}

static int unsupported(const struct translator *to, const char *reason)
{
	return error_set(to->err, VMCRED_FAILED, "unsupported regular expression \"%s\": %s",
			 to->expression, reason);
}

static bool take(struct translator *to, const char *text)
{
	size_t size = strlen(text);

	if (strncmp(to->at, text, size) != 0)
		return false;
	to->at += size;
	return true;
}

static uint32_t character_take(struct translator *to)
{
	uint32_t first = (uint8_t)*to->at++;
	uint32_t c = first < 0x80 ? first : first & (first < 0xe0 ? 0x1f : first < 0xf0 ? 15 : 7);

	while ((*to->at & 0xc0) == 0x80)
		c = c << 6 | (*to->at++ & 0x3f);
	return c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/*
 * Writes what can be repeated. PCRE2 counts the characters of x+, which makes each count a state,
 * but not those of (?:x)+.
 */
static void __attribute__((format(printf, 2, 3)))
item_write(struct translator *to, const char *format, ...)
{
	bool grouped = to->flags.fold_case || *to->at == '+';
	va_list arguments;

	if (grouped)
		fputs(to->flags.fold_case ? "(?i:" : "(?:", to->out);
	va_start(arguments, format);
	vfprintf(to->out, format, arguments);
	va_end(arguments);
	if (grouped)
		fputc(')', to->out);
	to->last = ITEM;
	to->last_counts = 1;
}

/* After a backslash: one character. \1 would be a back-reference, \12 is octal. */
static int escape_take(struct translator *to, uint32_t *c)
{
	static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
	const char *name;

	*c = 0;
	if (!*to->at)
		return invalid(to, "trailing backslash");
	if (*to->at == '0' || (is_octal(to->at[0]) && is_octal(to->at[1]))) {
		for (int i = 0; i < 3 && is_octal(*to->at); i++)
			*c = *c << 3 | (uint32_t)(*to->at++ - '0');
		return 0;
	}
	if (take(to, "x")) {
		bool braced = take(to, "{");
		size_t digits = 0;

		for (; (braced || digits < 2) && *to->at; digits++) {
			char lower = (char)(*to->at | 0x20);

			if (!is_digit(*to->at) && (lower < 'a' || lower > 'f'))
				break;
			*c = *c << 4 |
			     (uint32_t)(is_digit(*to->at) ? *to->at - '0' : lower - 'a' + 10);
			if (*c > CHARACTER_MAX)
				return invalid(to, "character above U+10FFFF");
			to->at++;
		}
		if (digits == 0 || (braced ? !take(to, "}") : digits < 2))
			return invalid(to, "incomplete \\x escape");
		return 0;
	}
	name = strchr(names, *to->at);
	if (!name && ((*to->at & 0x80) || is_digit(*to->at) || is_letter(*to->at)))
		return invalid(to, "unknown escape");
	*c = (uint32_t)(name ? values[name - names] : *to->at);
	to->at++;
	return 0;
}

/* Their ranges are spelled for PCRE2. */
static const struct {
	const char *name, *negative_name, *ranges;
} classes[] = {
	{"\\d", "\\D", "0-9"},
	{"\\s", "\\S", "\\t\\n\\f\\r "},
	{"\\w", "\\W", "0-9A-Z_a-z"},
	{"[:alnum:]", "[:^alnum:]", "0-9A-Za-z"},
	{"[:alpha:]", "[:^alpha:]", "A-Za-z"},
	{"[:ascii:]", "[:^ascii:]", "\\x00-\\x7f"},
	{"[:blank:]", "[:^blank:]", "\\t "},
	{"[:cntrl:]", "[:^cntrl:]", "\\x00-\\x1f\\x7f"},
	{"[:digit:]", "[:^digit:]", "0-9"},
	{"[:graph:]", "[:^graph:]", "!-~"},
	{"[:lower:]", "[:^lower:]", "a-z"},
	{"[:print:]", "[:^print:]", " -~"},
	{"[:punct:]", "[:^punct:]", "!-\\/:-@\\[-`{-~"},
	{"[:space:]", "[:^space:]", "\\t-\\r "},
	{"[:upper:]", "[:^upper:]", "A-Z"},
	{"[:word:]", "[:^word:]", "0-9A-Z_a-z"},
	{"[:xdigit:]", "[:^xdigit:]", "0-9A-Fa-f"},
};

#define CLASSES ((int)(sizeof(classes) / sizeof(classes[0])))

/* Returns the class's index, or -1 if none comes next. */
static int class_take(struct translator *to, bool *negated)
{
	for (int i = 0; i < CLASSES; i++) {
		*negated = take(to, classes[i].negative_name);
		if (*negated || take(to, classes[i].name))
			return i;
	}
	return -1;
}

/* After \p or \P: a category or a script, as PCRE2 spells it. PCRE2 knows more names than Go. */
static int property_take(struct translator *to, bool negated, char property[48])
{
	/* They fold to characters outside of them (FoldCategory and FoldScript in Go). */
	static const char *const folded[] = {"l",  "ll",     "lt",    "lu",        "m",
					     "mn", "common", "greek", "inherited", NULL};
	/* All other names of four letters are abbreviations, which Go does not know. */
	static const char *const four_letters[] = {"cham", "kawi", "lisu", "modi",
						   "newa", "thai", "toto", NULL};
	const char *at = to->at, *end = at + (*at != '\0');
	char name[32] = "";
	size_t size = 0;
	bool is_category;

	to->at = end;
	if (*at == '{') {
		end = strchr(++at, '}');
		if (!end)
			return invalid(to, "unterminated \\p{");
		to->at = end + 1;
	}
	if (at < end && *at == '^') {
		negated = !negated;
		at++;
	}
	/* Lower case, without what Go ignores. */
	for (; at < end; at++) {
		if (strchr("_- ", *at))
			continue;
		if (!is_letter(*at) || size == sizeof(name) - 1)
			return unsupported(to, "unknown Unicode property");
		name[size++] = (char)(*at | 0x20);
	}
	if (size == 0)
		return invalid(to, "missing Unicode property");
	if ((size == 4 && !texts_contain((char *const *)four_letters, name)) ||
	    strcmp(name, "unknown") == 0)
		return unsupported(to, "unknown Unicode property");
	if (to->flags.fold_case && texts_contain((char *const *)folded, name))
		return unsupported(to, "this Unicode property together with (?i)");
	is_category = (size <= 2 && strcmp(name, "yi") != 0) || strcmp(name, "any") == 0;
	snprintf(property, 48, "\\%c{%s%s}", negated ? 'P' : 'p', is_category ? "" : "sc:", name);
	return 0;
}

static int set_character_take(struct translator *to, uint32_t *c)
{
	if (!*to->at)
		return invalid(to, "missing ]");
	if (take(to, "\\"))
		return escape_take(to, c);
	*c = character_take(to);
	return 0;
}

/* The members of a set, up to the ']'. `*negated_classes` collects those like \D, as a bit mask. */
static int set_members_take(struct translator *to, FILE *out, uint32_t *negated_classes)
{
	for (bool first = true; first || *to->at != ']'; first = false) {
		char property[48] = "";
		bool negated;
		uint32_t low = 0, high;
		int r = 0, class = class_take(to, &negated);

		if (class >= 0 && negated) {
			*negated_classes |= UINT32_C(1) << class;
		} else if (class >= 0) {
			fputs(classes[class].ranges, out);
		} else if (strncmp(to->at, "[:", 2) == 0 && strstr(to->at + 2, ":]")) {
			return invalid(to, "unknown class in [: :]");
		} else if (take(to, "\\p") || take(to, "\\P")) {
			r = property_take(to, to->at[-1] == 'P', property);
			fputs(property, out);
		} else {
			r = set_character_take(to, &low);
			high = low;
			if (r == 0 && to->at[0] == '-' && to->at[1] && to->at[1] != ']') {
				to->at++;
				r = set_character_take(to, &high);
				if (r == 0 && high < low)
					r = invalid(to, "reversed range");
			}
			fprintf(out, "\\x{%x}-\\x{%x}", low, high);
		}
		if (r < 0)
			return r;
	}
	to->at++;
	return 0;
}

/* After the '['. */
static int set_translate(struct translator *to)
{
	_cleanup_free_ char *members = NULL;
	bool negated = take(to, "^");
	uint32_t negated_classes = 0;
	size_t size;
	FILE *out = open_memstream(&members, &size);
	int r;

	if (!out)
		return error_no_memory(to->err);
	r = set_members_take(to, out, &negated_classes);
	/* A negated class folds case before it is negated, so it becomes a set of its own. */
	for (int i = 0; i < CLASSES; i++) {
		if (negated_classes >> i & 1)
			fprintf(out, "]|[^%s", classes[i].ranges);
	}
	if (fclose(out) != 0 && r == 0)
		r = error_no_memory(to->err);
	if (r < 0)
		return r;
	/* Without other members the first set is omitted, because it must not be empty. */
	if (negated_classes == 0)
		item_write(to, "[%s%s]", negated ? "^" : "", members);
	else
		item_write(to, negated ? "(?:(?!%s%s])(?s:.))" : "(?:%s%s])",
			   *members == ']' ? "" : "[", members + (*members == ']' ? 2 : 0));
	return 0;
}

/* After "(?": flags, and the ':' or ')' that ends them. */
static int flags_take(struct translator *to)
{
	bool value = true, any = false;

	while (*to->at) {
		char c = *to->at++;

		if ((c == ':' || c == ')') && (value || any))
			return 0;
		any = c != '-';
		if (c == 'i')
			to->flags.fold_case = value;
		else if (c == 'm')
			to->flags.multi_line = value;
		else if (c == 's')
			to->flags.dot_all = value;
		else if (c == '-' && value)
			value = false;
		else if (c != 'U') /* which match is preferred, not whether there is one */
			break;
	}
	return invalid(to, "unsupported group (?");
}

/* After the '('. */
static int group_open(struct translator *to)
{
	struct flags outside = to->flags;

	if (take(to, "?P<") || take(to, "?<")) {
		const char *name = to->at;

		while (is_digit(*to->at) || is_letter(*to->at) || *to->at == '_')
			to->at++;
		if (to->at == name || !take(to, ">"))
			return invalid(to, "invalid group name");
	} else if (take(to, "?")) {
		int r = flags_take(to);

		/* (?i) is valid up to the end of its group. */
		if (r < 0 || to->at[-1] == ')')
			return r;
	}
	if (to->depth == DEPTH_MAX)
		return invalid(to, "nested too deeply");
	to->groups[++to->depth] = (struct group){.flags = outside, .counts_max = 1};
	to->last = NOTHING;
	fputs("(?:", to->out);
	return 0;
}

/* The product of counts in the last item, which its group must know. */
static void counts_set(struct translator *to, uint32_t counts)
{
	struct group *group = &to->groups[to->depth];

	to->last_counts = counts;
	if (counts > group->counts_max)
		group->counts_max = counts;
}

static int group_close(struct translator *to)
{
	struct group *group = &to->groups[to->depth];

	if (to->depth == 0)
		return invalid(to, "unexpected )");
	to->depth--;
	to->flags = group->flags;
	fputc(')', to->out);
	to->last = ITEM;
	counts_set(to, group->counts_max);
	return 0;
}

/* A number without leading zeros. */
static bool count_take(const char **at, uint32_t *count)
{
	const char *begin = *at;

	*count = 0;
	for (; is_digit(**at); (*at)++) {
		if (*count <= COUNT_MAX)
			*count = *count * 10 + (uint32_t)(**at - '0');
	}
	return *at > begin && (*begin != '0' || *at == begin + 1);
}

/* {n}, {n,} or {n,m}; any other brace is a literal. */
static bool counts_take(struct translator *to, uint32_t *least, uint32_t *most)
{
	const char *at = to->at + 1;

	if (*to->at != '{' || !count_take(&at, least))
		return false;
	*most = *least;
	if (*at == ',') {
		at++;
		*most = UNBOUNDED;
		if (*at != '}' && !count_take(&at, most))
			return false;
	}
	if (*at != '}')
		return false;
	to->at = at + 1;
	return true;
}

/* Returns 1 if a repetition was translated, 0 if none comes next. */
static int repetition_translate(struct translator *to)
{
	const char *begin = to->at;
	uint32_t least = 0, most = UNBOUNDED, counted;

	if (take(to, "+"))
		least = 1;
	else if (take(to, "?"))
		most = 1;
	else if (!take(to, "*") && !counts_take(to, &least, &most))
		return 0;
	counted = most == UNBOUNDED ? least : most;
	if (counted > COUNT_MAX || (most != UNBOUNDED && least > most))
		return invalid(to, "repetition count above 1000 or reversed");
	if (to->last == NOTHING)
		return invalid(to, "nothing to repeat");
	if (to->last == REPEATED_ITEM)
		return (to->last_operator == begin ? invalid
						   : unsupported)(to, "repetition of a repetition");
	/* A lazy repetition changes which match is preferred, not whether there is one. */
	(void)take(to, "?");
	counts_set(to, counted == 0 ? 1 : to->last_counts * counted);
	if (to->last_counts > COUNT_MAX)
		return invalid(to, "product of repetition counts above 1000");
	if (most == UNBOUNDED)
		fprintf(to->out, "{%u,}", least);
	else
		fprintf(to->out, "{%u,%u}", least, most);
	to->last = REPEATED_ITEM;
	to->last_operator = to->at;
	return 1;
}

static int escape_translate(struct translator *to)
{
	static const char *const anchors[] = {"\\A", "\\z", "\\b", "\\B"};
	char property[48];
	bool negated;
	uint32_t c;
	int r = 0, class = class_take(to, &negated);

	if (class >= 0) {
		item_write(to, "[%s%s]", negated ? "^" : "", classes[class].ranges);
		return 0;
	}
	for (size_t i = 0; i < sizeof(anchors) / sizeof(anchors[0]); i++) {
		if (take(to, anchors[i])) {
			item_write(to, "(?:%s)", anchors[i]);
			return 0;
		}
	}
	if (take(to, "\\Q")) {
		while (*to->at && !take(to, "\\E")) {
			c = character_take(to);
			item_write(to, "\\x{%x}", c);
		}
	} else if (take(to, "\\p") || take(to, "\\P")) {
		r = property_take(to, to->at[-1] == 'P', property);
		if (r == 0)
			item_write(to, "%s", property);
	} else {
		to->at++;
		r = escape_take(to, &c);
		if (r == 0)
			item_write(to, "\\x{%x}", c);
	}
	return r;
}

static int item_translate(struct translator *to)
{
	uint32_t c;
	int r = repetition_translate(to);

	if (r != 0)
		return r;
	if (*to->at == '\\')
		return escape_translate(to);
	if (take(to, "["))
		return set_translate(to);
	if (take(to, "("))
		return group_open(to);
	if (take(to, ")"))
		return group_close(to);
	if (take(to, "|")) {
		fputc('|', to->out);
		to->last = NOTHING;
	} else if (take(to, ".")) {
		item_write(to, to->flags.dot_all ? "(?s:.)" : "[^\\n]");
	} else if (take(to, "^")) {
		item_write(to, to->flags.multi_line ? "(?m:^)" : "(?:\\A)");
	} else if (take(to, "$")) {
		item_write(to, to->flags.multi_line ? "(?m:$)" : "(?:\\z)");
	} else {
		c = character_take(to);
		item_write(to, "\\x{%x}", c);
	}
	return 0;
}

int regex_translate(const char *expression, char **pattern, struct error *err)
{
	_cleanup_free_ struct translator *to = calloc(1, sizeof(*to));
	size_t size;
	int r = 0;

	if (to)
		to->out = open_memstream(pattern, &size);
	if (!to || !to->out)
		return error_no_memory(err);
	to->expression = to->at = expression;
	to->err = err;
	while (r >= 0 && *to->at)
		r = item_translate(to);
	if (r >= 0 && to->depth > 0)
		r = invalid(to, "missing )");
	if (fclose(to->out) != 0 && r >= 0)
		r = error_no_memory(err);
	return r < 0 ? r : 0;
}
