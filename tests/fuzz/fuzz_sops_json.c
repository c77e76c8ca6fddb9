/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SOPS code that reads untrusted text, without the cryptography: JSON, numbers, times and the
 * ENC[…] format. jansson decides what is JSON, except for a NUL in a key and numbers that overflow.
 */
#include <jansson.h>
#include <stdlib.h>

#include "sops/cipher.h"
#include "sops/stores/json.h"
#include "sops/tree/number.h"
#include "sops/tree/timestamp.h"
#include "sops/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson's result: 1 if it is JSON, 0 if not, -1 if jansson cannot decide. */
static int judge(struct span text)
{
	json_error_t reason;
	json_t *value = json_loadb((const char *)text.data, text.size,
				   JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &reason);
	int verdict;

	/* jansson skips a NUL byte between two tokens, which JSON does not. */
	if (text.size > 0 && memchr(text.data, 0, text.size)) {
		json_decref(value);
		return -1;
	}
	if (value) {
		verdict = json_is_object(value);
		json_decref(value);
		return verdict;
	}
	switch (json_error_code(&reason)) {
	case json_error_null_byte_in_key:
	case json_error_numeric_overflow:
	case json_error_stack_overflow:
		return -1;
	default:
		/* Half a surrogate pair is an error to jansson alone. */
		return memmem(text.data, text.size, "\\u", 2) ? -1 : 0;
	}
}

static void json_check(struct span input)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error err = {0};
	struct sops_tree tree = {0};
	struct sops_walk walk = {.tree = &tree, .prefix_of = SIZE_MAX};
	struct span path;
	int verdict = judge(input), r;

	if (secret_copy(&text, input, &err) < 0)
		abort();
	r = sops_json_read(&text, "fuzz", &tree, &err);
	if (verdict >= 0 && (r == 0) != (verdict == 1))
		abort();
	for (size_t i = 0; r == 0 && i < tree.count; i++) {
		char *description = sops_tree_describe(&tree, i);
		char number[SOPS_NUMBER_SIZE_MAX];

		if (tree.nodes[i].end <= i || tree.nodes[i].end > tree.count || !description ||
		    sops_walk_path(&walk, i, &path, &err) < 0)
			abort();
		if (tree.nodes[i].kind == SOPS_FLOAT)
			(void)sops_float_print(tree.nodes[i].text, SOPS_NUMBER_PLAIN, number);
		free(description);
		/* The work for a path grows with the depth. */
		if (i > 64)
			break;
	}
	sops_walk_destroy(&walk);
	sops_tree_destroy(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_error_ struct error err = {0};
	char time[SOPS_TIMESTAMP_SIZE_MAX];
	struct sops_sealed sealed;

	json_check(span_of(data, size));
	(void)sops_sealed_parse(span_of(data, size), &sealed, &err);
	(void)sops_timestamp_normalize(span_of(data, size), time);
	return 0;
}
