/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters from stdin to stdout for the tests against gpg and zlib:
 *
 *     openpgp open KEY-FILE...      decrypts an armored message
 *     openpgp inflate SIZE-MAX      decompresses a DEFLATE stream
 *
 * Exit code 9: the message is encrypted to none of the keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "openpgp/openpgp.h"
#include "openpgp/packet.h"

#define INPUT_SIZE_MAX ((size_t)64 * 1024 * 1024)

static int open_message(int count, char **paths, struct span input, struct secret *output,
			struct error *err)
{
	_cleanup_pgp_keys_ struct pgp_keys keys = {0};
	int r = 0;

	for (int i = 0; r == 0 && i < count; i++) {
		_cleanup_secret_ struct secret text = {0};

		r = file_read_secret(AT_FDCWD, paths[i], INPUT_SIZE_MAX, &text, err);
		if (r == 0)
			r = pgp_keys_add_ssh(&keys, secret_span(&text), paths[i], err);
	}
	if (r == 0)
		r = pgp_message_decrypt(&keys, input, output, err);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_secret_ struct secret input = {0}, output = {0};
	_cleanup_error_ struct error err = {0};
	int r = argc < 3 ? error_set(&err, VMCRED_USAGE, "openpgp open|inflate ARGUMENT...")
			 : secret_read(&input, STDIN_FILENO, INPUT_SIZE_MAX, "stdin", &err);

	if (r == 0 && strcmp(argv[1], "open") == 0)
		r = open_message(argc - 2, argv + 2, secret_span(&input), &output, &err);
	else if (r == 0)
		r = pgp_inflate(secret_span(&input), strtoul(argv[2], NULL, 10), &output, &err) < 0
			    ? -(int)err.code
			    : 1;
	if (r == 0)
		return 9;
	if (r > 0)
		r = fd_write(STDOUT_FILENO, secret_span(&output), "stdout", &err);
	if (r < 0)
		fprintf(stderr, "%s%s%s\n", err.text, err.hint ? ": " : "",
			err.hint ? err.hint : "");
	return r < 0 ? -r : 0;
}
