/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/merge_conflict.h"
#include "base/text.h"

int json_append_string(struct secret *out, struct span text, struct error *err)
{
	static const char digits[] = "0123456789abcdef";
	static const uint8_t escape[] = {'\\', 'u', '0', '0'};
	size_t room, end;
	uint8_t *to;
	int r;

	if (!utf8_valid(text))
		return error_set(err, VMCRED_FAILED, "text is not UTF-8, which JSON requires");
	/* The longest escape has six characters. */
	if (__builtin_mul_overflow(text.size, (size_t)6, &room) ||
	    __builtin_add_overflow(room, out->size + 2, &end))
		return error_no_memory(err);
	r = secret_reserve(out, end, err);
	if (r < 0)
		return r;
	to = out->data + out->size;
	*to++ = '"';
	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];

		if (c == '"' || c == '\\' || c == '\n') {
			*to++ = '\\';
			*to++ = c == '\n' ? 'n' : c;
		} else if (c < 0x20) {
			memcpy(to, escape, sizeof(escape));
			to += sizeof(escape);
			*to++ = (uint8_t)digits[c >> 4];
			*to++ = (uint8_t)digits[c & 15];
		} else {
			*to++ = c;
		}
	}
	*to++ = '"';
	out->size = (size_t)(to - out->data);
	return 0;
}

struct dump_target {
	struct secret *out;
	struct error *err;
};

static int dump_piece(const char *buffer, size_t size, void *data)
{
	const struct dump_target *target = data;

	return secret_append(target->out, span_of(buffer, size), target->err) < 0 ? -1 : 0;
}

int json_append_value(struct secret *out, const json_t *value, size_t flags, struct error *err)
{
	struct dump_target target = {.out = out, .err = err};

	if (json_dump_callback(value, dump_piece, &target, flags | JSON_ENCODE_ANY) < 0)
		return err->text ? -(int)err->code : error_no_memory(err);
	return 0;
}

int json_parse(struct span text, const char *what, json_t **value, struct error *err)
{
	json_error_t reason;

	if (text.size == 0)
		return error_set(err, VMCRED_FAILED, "%s is empty", what);
	/* jansson skips a NUL between two tokens. */
	if (memchr(text.data, '\0', text.size))
		return error_set(err, VMCRED_FAILED, "%s is not valid JSON: it contains a NUL byte",
				 what);
	*value = json_loadb((const char *)text.data, text.size,
			    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &reason);
	if (!*value && merge_conflict_check(text, what, err) < 0)
		return -(int)err->code;
	if (!*value && json_error_code(&reason) == json_error_numeric_overflow)
		return error_set(err, VMCRED_FAILED,
				 "%s has a number that is too large (line %d, column %d)", what,
				 reason.line, reason.column);
	if (!*value)
		/* jansson's text would quote the input, which may be a plaintext secret. */
		return error_set(err, VMCRED_FAILED, "%s is not valid JSON (line %d, column %d)",
				 what, reason.line, reason.column);
	return 0;
}
