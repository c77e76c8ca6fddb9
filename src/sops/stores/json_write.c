/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as sops writes it with Go's encoding/json: one tab per level by default, and strings that
 * are safe in HTML. */
#include "base/base64.h"
#include "base/json.h"
#include "base/text.h"
#include "sops/stores/json.h"
#include "sops/tree/number.h"

#define ESCAPE_SIZE_MAX 6 /* \u0000 */

struct writer {
	struct secret *out;
	size_t depth;
	bool started; /* the innermost container has an item */
	char space;
	size_t indent; /* spaces per level */
	bool sealed;   /* it has a MAC */
};

/* The size of the UTF-8 sequence at the start of `text`, or 0 if it is invalid. */
static size_t sequence_size(struct span text)
{
	uint8_t c = text.data[0];
	size_t size = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (size == 1)
		return 1;
	return size <= text.size && utf8_valid(span_of(text.data, size)) ? size : 0;
}

static uint8_t *unicode_escape_write(uint8_t *to, uint32_t c)
{
	static const char digits[] = "0123456789abcdef";

	*to++ = '\\';
	*to++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*to++ = (uint8_t)digits[c >> shift & 15];
	return to;
}

static uint8_t *ascii_write(uint8_t *to, uint8_t c)
{
	static const char values[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *value = c ? strchr(values, c) : NULL;

	if (value) {
		*to++ = '\\';
		*to++ = (uint8_t)names[value - values];
	} else {
		to = unicode_escape_write(to, c);
	}
	return to;
}

#define BIT(c) (UINT64_C(1) << ((c) % 64))

/* Characters that need no escape. */
static bool is_plain(uint8_t c)
{
	static const uint64_t plain[] = {
		~(BIT(' ') - 1) & ~BIT('"') & ~BIT('&') & ~BIT('<') & ~BIT('>'),
		~BIT('\\'),
		0,
		0,
	};

	return (plain[c / 64] & BIT(c)) != 0;
}

/* Writes the character at the start of `text`, which is not plain. `*taken` is its size. */
static uint8_t *special_write(uint8_t *to, struct span text, size_t *taken)
{
	size_t size = sequence_size(text);

	*taken = size > 0 ? size : 1;
	if (size == 0)
		return unicode_escape_write(to, 0xfffd);
	if (size == 1)
		return ascii_write(to, text.data[0]);
	/* U+2028 and U+2029, which end a line in JavaScript. */
	if (size == 3 && memcmp(text.data, "\xe2\x80", 2) == 0 && (text.data[2] & 0xfe) == 0xa8)
		return unicode_escape_write(to, 0x2028 | (text.data[2] & 1));
	memcpy(to, text.data, size);
	return to + size;
}

static size_t plain_size(struct span text)
{
	size_t size = 0;

	while (size < text.size && is_plain(text.data[size]))
		size++;
	return size;
}

static int string_append(struct secret *out, struct span text, struct error *err)
{
	size_t plain = plain_size(text), room, end;
	uint8_t *to;
	int r;

	/* Reserves six times the size only for text with escapes. */
	if (__builtin_mul_overflow(text.size - plain, (size_t)ESCAPE_SIZE_MAX, &room) ||
	    __builtin_add_overflow(room, plain + out->size + 2, &end))
		return error_no_memory(err);
	r = secret_reserve(out, end, err);
	if (r < 0)
		return r;
	to = out->data + out->size;
	*to++ = '"';
	while (text.size > 0) {
		size_t taken;

		memcpy(to, text.data, plain);
		to += plain;
		text = span_of(text.data + plain, text.size - plain);
		if (text.size == 0)
			break;
		to = special_write(to, text, &taken);
		text = span_of(text.data + taken, text.size - taken);
		plain = plain_size(text);
	}
	*to++ = '"';
	out->size = (size_t)(to - out->data);
	return 0;
}

static int character_append(struct writer *writer, char c, struct error *err)
{
	return secret_append(writer->out, span_of(&c, 1), err);
}

static int line_begin(struct writer *writer, struct error *err)
{
	struct secret *out = writer->out;
	size_t spaces, end;
	int r;

	if (__builtin_mul_overflow(writer->depth, writer->indent, &spaces) ||
	    __builtin_add_overflow(out->size + 1, spaces, &end))
		return error_no_memory(err);
	r = secret_reserve(out, end, err);
	if (r < 0)
		return r;
	out->data[out->size++] = '\n';
	memset(out->data + out->size, writer->space, spaces);
	out->size = end;
	return 0;
}

static int item_begin(struct writer *writer, struct span key, struct error *err)
{
	int r = 0;

	if (writer->started)
		r = character_append(writer, ',', err);
	writer->started = true;
	if (r == 0 && writer->depth > 0)
		r = line_begin(writer, err);
	if (r == 0 && key.data)
		r = string_append(writer->out, key, err);
	if (r == 0 && key.data)
		r = secret_append(writer->out, span_of(": ", 2), err);
	return r;
}

static int container_open(struct writer *writer, char bracket, struct error *err)
{
	writer->depth++;
	writer->started = false;
	return character_append(writer, bracket, err);
}

static int container_close(struct writer *writer, char bracket, struct error *err)
{
	bool empty = !writer->started;
	int r = 0;

	writer->depth--;
	writer->started = true;
	if (!empty)
		r = line_begin(writer, err);
	if (r == 0)
		r = character_append(writer, bracket, err);
	return r;
}

static int float_write(struct writer *writer, const struct sops_node *node, struct error *err)
{
	char text[SOPS_NUMBER_SIZE_MAX];
	size_t size = sops_float_print(node->text, SOPS_NUMBER_JSON, text);
	int r;

	if (size == 0)
		return error_set(err, VMCRED_FAILED, "JSON cannot represent infinity or NaN");
	r = secret_append(writer->out, span_of(text, size), err);
	/* "-0" would be read as the integer 0, and the MAC would not match. sops writes it, and
	 * cannot decrypt its document. */
	if (r == 0 && writer->sealed && span_equal(span_of(text, size), span_of_text("-0")))
		r = secret_append_text(writer->out, ".0", err);
	memory_wipe(text, sizeof(text));
	return r;
}

/* Go prints bytes as Base64. */
static int bytes_write(struct writer *writer, const struct sops_node *node, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = base64_encode_secret(node->text, BASE64_PADDED, &text, err);

	if (r == 0)
		r = string_append(writer->out, secret_span(&text), err);
	return r;
}

/* Writes a scalar, or the opening bracket of a container. */
static int value_write(struct writer *writer, const struct sops_node *node, struct error *err)
{
	bool is_true;

	switch (node->kind) {
	case SOPS_MAP:
		return container_open(writer, '{', err);
	case SOPS_LIST:
		return container_open(writer, '[', err);
	case SOPS_STRING:
	case SOPS_TIME:
		return string_append(writer->out, node->text, err);
	case SOPS_BYTES:
		return bytes_write(writer, node, err);
	case SOPS_INT:
		return secret_append(writer->out, node->text, err);
	case SOPS_FLOAT:
		return float_write(writer, node, err);
	case SOPS_BOOL:
		is_true = span_equal(node->text, span_of_text("True"));
		return secret_append_text(writer->out, is_true ? "true" : "false", err);
	case SOPS_NULL:
	case SOPS_COMMENT:
		break;
	}
	return secret_append_text(writer->out, "null", err);
}

static bool is_container(const struct sops_node *node)
{
	return node->kind == SOPS_MAP || node->kind == SOPS_LIST;
}

static int tree_write(struct writer *writer, const struct sops_tree *tree, size_t root,
		      const struct sops_tree *metadata, struct error *err);

static int metadata_write(struct writer *writer, const struct sops_tree *metadata,
			  struct error *err)
{
	int r = item_begin(writer, span_of_text(SOPS_METADATA_KEY), err);

	return r < 0 ? r : tree_write(writer, metadata, 0, NULL, err);
}

/* Writes the subtree without its key. The metadata becomes the last item of the root. */
static int tree_write(struct writer *writer, const struct sops_tree *tree, size_t root,
		      const struct sops_tree *metadata, struct error *err)
{
	size_t open = root, depth = writer->depth, end = tree->nodes[root].end;
	int r = value_write(writer, &tree->nodes[root], err);

	for (size_t i = root + 1; r == 0 && i <= end; i++) {
		/* Close what ends before this node. */
		while (r == 0 && writer->depth > depth && tree->nodes[open].end <= i) {
			if (open == root && metadata)
				r = metadata_write(writer, metadata, err);
			if (r == 0)
				r = container_close(writer,
						    tree->nodes[open].kind == SOPS_MAP ? '}' : ']',
						    err);
			open = tree->nodes[open].parent;
		}
		if (r < 0 || i == end)
			break;
		if (tree->nodes[i].kind == SOPS_COMMENT)
			continue;
		r = item_begin(writer, tree->nodes[i].key, err);
		if (r == 0)
			r = value_write(writer, &tree->nodes[i], err);
		if (is_container(&tree->nodes[i]))
			open = i;
	}
	return r;
}

static struct writer writer_for(const struct sops_format *format, struct secret *out)
{
	bool spaces = format && format->indent_given;

	return (struct writer){
		.out = out,
		.space = spaces ? ' ' : '\t',
		.indent = spaces ? format->indent : 1,
	};
}

/* Of several YAML documents only the first is written, as in sops. */
int sops_json_write(const struct sops_tree *tree, const struct sops_tree *metadata,
		    const struct sops_format *format, struct secret *out, struct error *err)
{
	struct writer writer = writer_for(format, out);
	int r;

	writer.sealed = metadata != NULL;
	if (tree->nodes[0].end <= SOPS_FIRST_DOCUMENT)
		return error_set(err, VMCRED_FAILED, "no document, and JSON cannot be empty");
	r = secret_reserve(out, out->size + sops_tree_size_estimate(tree, metadata, writer.indent),
			   err);
	if (r == 0)
		r = tree_write(&writer, tree, SOPS_FIRST_DOCUMENT, metadata, err);
	if (r == 0)
		r = character_append(&writer, '\n', err);
	return r;
}

static int value_write_alone(const struct sops_tree *tree, size_t node,
			     const struct sops_format *format, struct secret *out,
			     struct error *err)
{
	struct writer writer = writer_for(format, out);

	return tree_write(&writer, tree, node, NULL, err);
}

static const char *const suffixes[] = {".json", NULL};

const struct sops_store sops_store_json = {
	.name = "json",
	.suffixes = suffixes,
	.read = sops_json_read,
	.read_plain = sops_json_read,
	.has_metadata = sops_metadata_is_nested,
	.metadata_take = sops_metadata_take_nested,
	.write = sops_json_write,
	.write_value = value_write_alone,
	.example = "{\n"
		   "\t\"hello\": \"This text is encrypted when the editor ends.\",\n"
		   "\t\"example_key\": \"example_value\",\n"
		   "\t\"example_array\": [\n\t\t\"example_value1\",\n\t\t\"example_value2\"\n\t],\n"
		   "\t\"example_number\": 1234.56789,\n"
		   "\t\"example_booleans\": [\n\t\ttrue,\n\t\tfalse\n\t]\n"
		   "}\n",
};
