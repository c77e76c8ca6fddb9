/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH keys: the input as a private key file in each format, with framing that the fuzzer would not
 * find, and as a public key. A key that parses is opened and used.
 */
#include <stdio.h>
#include <stdlib.h>

#include "age/age.h"
#include "age/ssh/key.h"
#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void file_try(struct span text, struct span public_text)
{
	struct ssh_private_file file = {0};
	_cleanup_ssh_private_key_ struct ssh_private_key key = {0};
	_cleanup_error_ struct error err = {0};

	if (ssh_private_file_parse(text, public_text, &file, &err) == 0) {
		/* bcrypt is slow, and not what is tested. */
		if (file.encryption.rounds > 1)
			file.encryption.rounds = 1;
		(void)ssh_private_file_open(&file, span_of_text("x"), &key, &err);
	}
	ssh_private_file_destroy(&file);
}

static void framed_try(const char *label, const char *headers, struct span bytes)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error err = {0};
	char line[128];

	snprintf(line, sizeof(line), "-----BEGIN %s-----\n%s", label, headers);
	if (secret_append_text(&text, line, &err) < 0 ||
	    base64_encode_secret(bytes, BASE64_PADDED, &text, &err) < 0)
		abort();
	snprintf(line, sizeof(line), "\n-----END %s-----\n", label);
	if (secret_append_text(&text, line, &err) < 0)
		abort();
	file_try(secret_span(&text),
		 span_of_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMBQCaOJ1WJEkH3hVF5kJQ+fzOHmYKlF"
			      "LAxZDLF0P37u"));
}

/* An accepted public key can be encrypted to, and has only one spelling. */
static void public_key_try(struct span line)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	struct ssh_public_key key = {0}, again = {0};
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret file = {0};

	if (ssh_public_key_parse(line, &key, &err) == 0) {
		char *text = ssh_public_key_format(&key);

		if (!text || ssh_public_key_parse(span_of_text(text), &again, &err) < 0 ||
		    !span_equal(span_of(key.wire, key.wire_size),
				span_of(again.wire, again.wire_size)))
			abort();
		free(text);
		if (age_recipients_add(&recipients, line, &err) == 0 &&
		    age_encrypt(span_of_text("x"), &recipients, &file, &err) < 0 &&
		    key.type == SSH_ED25519 && err.code != VMCRED_FAILED)
			abort();
	}
	ssh_public_key_destroy(&key);
	ssh_public_key_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_secret_ struct secret line = {0};
	_cleanup_error_ struct error err = {0};
	struct span bytes = span_of(data, size);
	struct ssh_public_key key = {0};

	file_try(bytes, span_of(NULL, 0));
	framed_try("OPENSSH PRIVATE KEY", "", bytes);
	framed_try("RSA PRIVATE KEY", "", bytes);
	framed_try("PRIVATE KEY", "", bytes);
	framed_try("RSA PRIVATE KEY", "DEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\n",
		   bytes);
	(void)ssh_public_key_read(bytes, &key, &err);
	ssh_public_key_destroy(&key);
	public_key_try(bytes);
	if (secret_append_text(&line, "ssh-rsa ", &err) < 0 ||
	    base64_encode_secret(bytes, BASE64_PADDED, &line, &err) < 0)
		abort();
	public_key_try(secret_span(&line));
	return 0;
}
