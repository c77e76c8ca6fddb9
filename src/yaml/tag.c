/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tag a node has: %TAG and what the handles stand for.
 */
#include "yaml/build.h"

/* Of one document; each one is compared with all. */
#define DIRECTIVES_MAX 64

#define STANDARD_PREFIX "tag:yaml.org,2002:"

static const struct {
	const char *name;
	enum yaml_tag tag;
} tags[] = {
	{"!", YAML_TAG_NONE},
	{STANDARD_PREFIX "str", YAML_TAG_STRING},
	{STANDARD_PREFIX "int", YAML_TAG_INT},
	{STANDARD_PREFIX "float", YAML_TAG_FLOAT},
	{STANDARD_PREFIX "bool", YAML_TAG_BOOL},
	{STANDARD_PREFIX "null", YAML_TAG_NULL},
	{STANDARD_PREFIX "timestamp", YAML_TAG_TIMESTAMP},
	{STANDARD_PREFIX "binary", YAML_TAG_BINARY},
	{STANDARD_PREFIX "merge", YAML_TAG_MERGE},
};

static bool joined_equal(struct span a, struct span b, struct span text)
{
	return a.size + b.size == text.size && span_starts_with(text, a) &&
	       span_equal(b, span_of(text.data + a.size, b.size));
}

int yaml_builder_tag(struct yaml_builder *b, const struct yaml_token *token,
		     struct yaml_properties *properties, struct error *err)
{
	struct span prefix = {0};
	bool known = token->value.size == 0;

	for (size_t i = 0; i < b->directive_count && !known; i++) {
		known = span_equal(b->directives[i].handle, token->value);
		prefix = b->directives[i].prefix;
	}
	if (!known && token->value.size == 1)
		prefix = span_of_text("!");
	else if (!known && span_equal(token->value, span_of_text("!!")))
		prefix = span_of_text(STANDARD_PREFIX);
	else if (!known)
		return yaml_scanner_fail(b->scanner, token->mark, "a tag's handle is not declared",
					 err);
	properties->tagged = true;
	properties->tag = YAML_TAG_OTHER;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		if (joined_equal(prefix, token->suffix, span_of_text(tags[i].name)))
			properties->tag = tags[i].tag;
	}
	return 0;
}

int yaml_builder_directive(struct yaml_builder *b, const struct yaml_token *token,
			   struct error *err)
{
	if (b->directive_count == DIRECTIVES_MAX)
		return yaml_scanner_fail(b->scanner, token->mark, "too many %TAG directives", err);
	for (size_t i = 0; i < b->directive_count; i++) {
		if (span_equal(b->directives[i].handle, token->value))
			return yaml_scanner_fail(b->scanner, token->mark,
						 "%TAG stands twice for one handle", err);
	}
	if (yaml_array_grow(&b->directives, b->directive_count, &b->directive_capacity,
			    sizeof(*b->directives), err) < 0)
		return -(int)err->code;
	b->directives[b->directive_count++] =
		(struct yaml_directive){.handle = token->value, .prefix = token->suffix};
	return 0;
}
