/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each recipient type with damaged files and keys, and identities that are shared and remembered.
 */
#include "unit.h"

#include <pthread.h>

#include "age/age.h"
#include "age/xwing.h"
#include "ssh_vectors.h"
#include "vectors.h"

#define PASSPHRASE "test"

/* Made for these tests: a seed of 32 times 7. */
#define HYBRID_IDENTITY \
	"AGE-SECRET-KEY-PQ-1QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSV4PSY7"

/* A recipient and an identity of one type. */
struct pair {
	struct age_recipients recipients;
	struct age_identities identities;
};

static void pair_of_keys(struct pair *pair, const char *public_key, const char *private_key)
{
	struct error err = {0};

	*pair = (struct pair){0};
	assert_success(
		age_identities_parse(span_of_text(private_key), "key", &pair->identities, &err));
	if (!public_key)
		public_key = age_identity_recipient(pair->identities.items[0]);
	assert_success(age_recipients_add(&pair->recipients, span_of_text(public_key), &err));
}

static void pair_of_passphrase(struct pair *pair)
{
	struct error err = {0};

	*pair = (struct pair){0};
	assert_success(age_recipients_add_passphrase(&pair->recipients, span_of_text(PASSPHRASE), 1,
						     &err));
	assert_success(
		age_identities_add_passphrase(&pair->identities, span_of_text(PASSPHRASE), &err));
}

static void pair_destroy(struct pair *pair)
{
	age_recipients_destroy(&pair->recipients);
	age_identities_destroy(&pair->identities);
}

static bool decrypts_to_hello(const struct pair *pair, struct span file)
{
	struct secret plaintext = {0};
	struct error err = {0};
	int r = age_decrypt(file, &pair->identities, &plaintext, &err);

	if (r == 0)
		assert_span_equal(secret_span(&plaintext), "hello");
	else
		assert_int_equal(plaintext.size, 0);
	secret_destroy(&plaintext);
	error_clear(&err);
	return r == 0;
}

/* Whatever is cut off or changed, there is an error, and no plaintext. */
static void damage_every_byte(struct pair *pair)
{
	struct secret file = {0};
	struct error err = {0};

	assert_success(age_encrypt(span_of_text("hello"), &pair->recipients, &file, &err));
	assert_true(decrypts_to_hello(pair, secret_span(&file)));
	for (size_t i = 0; i < file.size; i++) {
		uint8_t before = file.data[i];

		assert_false(decrypts_to_hello(pair, span_of(file.data, i)));
		file.data[i] ^= (uint8_t)(1 << i % 8);
		assert_false(decrypts_to_hello(pair, secret_span(&file)));
		file.data[i] = before;
	}
	assert_true(decrypts_to_hello(pair, secret_span(&file)));
	secret_destroy(&file);
}

static void a_damaged_file_for_a_passphrase_gives_no_plaintext(void **state)
{
	struct pair pair;

	(void)state;
	pair_of_passphrase(&pair);
	damage_every_byte(&pair);
	pair_destroy(&pair);
}

static void a_damaged_file_for_an_ssh_ed25519_key_gives_no_plaintext(void **state)
{
	struct pair pair;

	(void)state;
	pair_of_keys(&pair, SSH_ED25519_PUBLIC, ssh_ed25519_private);
	damage_every_byte(&pair);
	pair_destroy(&pair);
}

static void a_damaged_file_for_an_ssh_rsa_key_gives_no_plaintext(void **state)
{
	struct pair pair;

	(void)state;
	pair_of_keys(&pair, SSH_RSA_PUBLIC, ssh_rsa_private);
	damage_every_byte(&pair);
	pair_destroy(&pair);
}

static void a_damaged_file_for_a_hybrid_key_gives_no_plaintext(void **state)
{
	struct error err = {0};
	struct pair pair;

	(void)state;
	if (mlkem_check(&err) < 0) {
		/* cmocka's skip() counts as a failure in TAP. */
		print_message("# not tested: %s\n", err.text);
		error_clear(&err);
		return;
	}
	pair_of_keys(&pair, NULL, HYBRID_IDENTITY);
	damage_every_byte(&pair);
	pair_destroy(&pair);
}

/* In armor, a change of white space may leave the file what it was. */
static void damaged_armor_gives_the_whole_plaintext_or_none(void **state)
{
	struct secret file = {0}, text = {0};
	struct error err = {0};
	struct pair pair;
	size_t opened = 0;

	(void)state;
	pair_of_keys(&pair, SSH_ED25519_PUBLIC, ssh_ed25519_private);
	assert_success(age_encrypt(span_of_text("hello"), &pair.recipients, &file, &err));
	assert_success(age_armor_encode(secret_span(&file), &text, &err));
	for (size_t i = 0; i < text.size * 8; i++) {
		struct secret decoded = {0};

		text.data[i / 8] ^= (uint8_t)(1 << i % 8);
		if (age_armor_decode(secret_span(&text), &decoded, &err) == 0)
			opened += decrypts_to_hello(&pair, secret_span(&decoded));
		text.data[i / 8] ^= (uint8_t)(1 << i % 8);
		error_clear(&err);
		secret_destroy(&decoded);
	}
	/* The last LF as CR, space… and nothing else. */
	assert_true(opened <= 8);
	secret_destroy(&file);
	secret_destroy(&text);
	pair_destroy(&pair);
}

/* A key of which a byte was cut off or changed: no wrong plaintext. */
static void damage_key(const char *public_key, const char *private_key, size_t step)
{
	struct secret file = {0}, key = {0};
	struct error err = {0};
	struct pair pair;
	size_t opened = 0;

	pair_of_keys(&pair, public_key, private_key);
	assert_success(age_encrypt(span_of_text("hello"), &pair.recipients, &file, &err));
	assert_success(secret_append_text(&key, private_key, &err));
	for (size_t i = 0; i < 2 * key.size; i += step) {
		struct pair damaged = {0};
		uint8_t *byte = key.data + i / 2, before = *byte;
		size_t size = i % 2 ? key.size : i / 2;

		if (i % 2)
			*byte ^= (uint8_t)(1 << i / 2 % 7);
		if (age_identities_parse(span_of(key.data, size), "key", &damaged.identities,
					 &err) == 0)
			opened += decrypts_to_hello(&damaged, secret_span(&file));
		*byte = before;
		pair_destroy(&damaged);
		error_clear(&err);
	}
	/* What may differ: the comment, numbers that are not needed, the last newline. */
	assert_true(opened < key.size / 2);
	secret_destroy(&key);
	secret_destroy(&file);
	pair_destroy(&pair);
}

static void a_damaged_ssh_key_never_gives_a_wrong_plaintext(void **state)
{
	(void)state;
	damage_key(SSH_ED25519_PUBLIC, ssh_ed25519_private, 1);
	/* RSA is slow. */
	damage_key(SSH_RSA_PUBLIC, ssh_rsa_private, 17);
}

static int answer_count;

static int answer(void *context, const char *question, bool hidden, struct secret *answered,
		  struct error *err)
{
	assert_string_equal(question, "Enter passphrase for key:");
	assert_true(hidden);
	__atomic_add_fetch(&answer_count, 1, __ATOMIC_RELAXED);
	return secret_append_text(answered, context, err);
}

static void *threads_decrypt(void *argument)
{
	const struct pair *pair = argument;
	struct secret file = {0};
	struct error err = {0};

	if (age_encrypt(span_of_text("hello"), &pair->recipients, &file, &err) < 0 ||
	    !decrypts_to_hello(pair, secret_span(&file)))
		argument = NULL;
	secret_destroy(&file);
	return argument;
}

static void the_passphrase_of_an_encrypted_key_is_asked_once_for_all_threads(void **state)
{
	const struct age_prompt prompt = {.context = (void *)PASSPHRASE, .ask = answer};
	struct pair pair = {.identities.prompt = &prompt};
	pthread_t threads[4];
	struct error err = {0};

	(void)state;
	answer_count = 0;
	assert_success(age_identities_parse(span_of_text(ssh_encrypted_private), "key",
					    &pair.identities, &err));
	assert_success(
		age_recipients_add(&pair.recipients, span_of_text(SSH_ENCRYPTED_PUBLIC), &err));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, threads_decrypt, &pair), 0);
	for (size_t i = 0; i < 4; i++) {
		void *result;

		pthread_join(threads[i], &result);
		assert_ptr_equal(result, &pair);
	}
	assert_int_equal(answer_count, 1);
	pair_destroy(&pair);
}

static void a_wrong_passphrase_of_an_identity_file_is_asked_again(void **state)
{
	struct age_prompt prompt = {.context = (void *)"wrong", .ask = answer};
	struct pair writer, pair = {.identities.prompt = &prompt};
	struct secret identity_file = {0}, file = {0};
	struct error err = {0};

	(void)state;
	answer_count = 0;
	pair_of_passphrase(&writer);
	assert_success(age_encrypt(span_of_text("# one\n" VECTOR_IDENTITY "\n"), &writer.recipients,
				   &identity_file, &err));
	assert_success(
		age_identities_parse(secret_span(&identity_file), "key", &pair.identities, &err));
	assert_string_equal(age_identity_recipient(pair.identities.items[0]),
			    "<encrypted identity file>");
	assert_success(age_recipients_add(&pair.recipients, span_of_text(VECTOR_RECIPIENT), &err));
	assert_success(age_encrypt(span_of_text("hello"), &pair.recipients, &file, &err));
	assert_error(age_decrypt(secret_span(&file), &pair.identities, &identity_file, &err),
		     VMCRED_MISSING,
		     "opening the encrypted identity file key: incorrect passphrase");
	prompt.context = (void *)PASSPHRASE;
	assert_true(decrypts_to_hello(&pair, secret_span(&file)));
	assert_true(decrypts_to_hello(&pair, secret_span(&file)));
	assert_int_equal(answer_count, 2);
	secret_destroy(&identity_file);
	secret_destroy(&file);
	pair_destroy(&writer);
	pair_destroy(&pair);
}

static void an_error_in_a_recipients_file_names_the_line_and_does_not_quote_it(void **state)
{
	static const struct {
		const char *text;
		enum vmcred_code code;
		const char *message;
	} cases[] = {
		{"# nobody\n\n", VMCRED_USAGE, "team: contains no public key"},
		{SSH_RSA_PUBLIC "\nhunter2\n", VMCRED_USAGE,
		 "team: line 2 is not an age public key"},
		{VECTOR_IDENTITY "\n", VMCRED_USAGE, "team: line 1 is not an age public key"},
	};
	struct age_recipients recipients = {0};
	struct error err = {0};

	(void)state;
	assert_success(age_recipients_parse(
		span_of_text("# team\r\n" VECTOR_RECIPIENT "\r\n\n" SSH_ED25519_PUBLIC), "team",
		&recipients, &err));
	assert_int_equal(recipients.count, 2);
	assert_string_equal(age_recipient_text(recipients.items[1]), SSH_ED25519_PUBLIC);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct age_recipients none = {0};

		assert_error(age_recipients_parse(span_of_text(cases[i].text), "team", &none, &err),
			     cases[i].code, cases[i].message);
		age_recipients_destroy(&none);
	}
	age_recipients_destroy(&recipients);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_file_for_a_passphrase_gives_no_plaintext),
		cmocka_unit_test(a_damaged_file_for_an_ssh_ed25519_key_gives_no_plaintext),
		cmocka_unit_test(a_damaged_file_for_an_ssh_rsa_key_gives_no_plaintext),
		cmocka_unit_test(a_damaged_file_for_a_hybrid_key_gives_no_plaintext),
		cmocka_unit_test(damaged_armor_gives_the_whole_plaintext_or_none),
		cmocka_unit_test(a_damaged_ssh_key_never_gives_a_wrong_plaintext),
		cmocka_unit_test(the_passphrase_of_an_encrypted_key_is_asked_once_for_all_threads),
		cmocka_unit_test(a_wrong_passphrase_of_an_identity_file_is_asked_again),
		cmocka_unit_test(
			an_error_in_a_recipients_file_names_the_line_and_does_not_quote_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
