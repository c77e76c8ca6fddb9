/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a document and an identity are destroyed, no readable page of the process holds a part of
 * the value or of the secret key: neither our code nor libcrypto left a copy in freed memory or on
 * the stack.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sops/sops.h"

/* A sanitizer's shadow memory is larger than that, and holds no values. */
#define REGION_SIZE_MAX ((size_t)256 * 1024 * 1024)

/* The part of a secret that is looked for, kept with all bits turned so that it does not find
 * itself. */
#define PIECE_SIZE 12

struct piece {
	uint8_t turned[PIECE_SIZE];
};

static struct piece piece_of(struct span secret, size_t offset)
{
	struct piece piece;

	for (size_t i = 0; i < PIECE_SIZE; i++)
		piece.turned[i] = secret.data[offset + i] ^ 0xff;
	return piece;
}

/* It looks at freed memory too, which a sanitizer would not have. */
__attribute__((no_sanitize("address"))) static bool contains(const volatile uint8_t *memory,
							     size_t size, const struct piece *piece)
{
	for (size_t i = 0; i + PIECE_SIZE <= size; i++) {
		size_t equal = 0;

		while (equal < PIECE_SIZE && (memory[i + equal] ^ piece->turned[equal]) == 0xff)
			equal++;
		if (equal == PIECE_SIZE)
			return true;
	}
	return false;
}

/* Whether a writable region of the process has the piece in it. */
static bool is_in_memory(const struct piece *piece)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t start, end;
		char *rest;

		start = strtoul(line, &rest, 16);
		end = strtoul(rest + 1, &rest, 16);
		if (strncmp(rest, " rw", 3) != 0 || end - start > REGION_SIZE_MAX)
			continue;
		/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
		if (contains((const volatile uint8_t *)start, end - start, piece))
			return true;
	}
	return false;
}

static void secrets_leave_no_copies_in_memory(void **state)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	const struct sops_keyring nothing = {0};
	struct sops_key_group keys = {0};
	struct age_identities identities = {0}, loaded = {0};
	struct secret value = {0}, text = {0}, key = {0}, plain = {0};
	struct piece value_piece, key_piece;
	struct error err = {0};
	struct span found;

	(void)state;
	assert_success(secret_append_random(&value, 64, &err));
	value_piece = piece_of(secret_span(&value), 20);
	assert_success(age_identities_generate(&identities, AGE_X25519, &err));
	assert_success(age_identity_file_format(identities.items[0], 0, &key, &err));
	key_piece = piece_of(secret_span(&key), key.size - 40);
	assert_success(sops_key_group_add(&keys, SOPS_KEY_AGE,
					  span_of_text(age_identity_recipient(identities.items[0])),
					  &err));
	assert_success(
		sops_binary_encrypt(secret_span(&value), NULL, &keys, &nothing, &text, &err));
	assert_success(age_identities_parse(secret_span(&key), "keys", &loaded, &err));
	assert_success(
		sops_document_read(sops_store_named("binary"), &text, "file", &document, &err));
	assert_success(sops_document_decrypt(
		document, &(const struct sops_keyring){.identities = &loaded}, 0, &err));
	assert_success(sops_document_string(document, SOPS_BINARY_KEY, &found, &err));
	assert_true(span_equal(found, secret_span(&value)));
	assert_success(sops_document_write(document, sops_store_named("json"), NULL, &plain, &err));
	assert_true(is_in_memory(&value_piece));
	assert_true(is_in_memory(&key_piece));

	secret_destroy(&value);
	secret_destroy(&text);
	secret_destroy(&key);
	secret_destroy(&plain);
	sops_document_destroy(&document);
	age_identities_destroy(&identities);
	age_identities_destroy(&loaded);
	sops_key_group_destroy(&keys);
	assert_false(is_in_memory(&value_piece));
	assert_false(is_in_memory(&key_piece));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_leave_no_copies_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
