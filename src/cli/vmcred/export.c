/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "bundle/bundle.h"
#include "cli/vmcred/commands.h"

static int bundle_make(struct cli *cli, const char *machine, struct bundle_bytes *bundle,
		       struct error *err)
{
	_cleanup_free_ char *path = NULL, *part = NULL;
	_cleanup_close_ int store_dirfd = -1;
	int r = cli_harden(cli, err);

	if (r == 0)
		r = config_find(cli->config, &path, &store_dirfd, err);
	if (r == 0)
		r = config_part(path, machine, &part, err);
	return r < 0 ? r : bundle_pack(part, store_dirfd, bundle, err);
}

int command_export(struct cli *cli, int argc, char **argv, struct error *err)
{
	const char *key = NULL;
	const struct cli_option options[] = {
		{"sign", "FILE",
		 "sign it with an SSH key: a private key's file, or a public key's file if an "
		 "agent has the private key",
		 &key},
		{0},
	};
	const struct cli_usage usage = {
		.command = "export",
		.examples = "  vmcred export host1 | ssh host1 sudo vmcred import\n",
		.arguments = "MACHINE",
		.about = "Write a bundle to standard output: a machine's part of the declaration, "
			 "and the encrypted files that it needs on its host, for `vmcred import` "
			 "there. Decrypts nothing.",
		.options = options,
		.arguments_min = 1,
		.arguments_max = 1,
	};
	_cleanup_bundle_bytes_ struct bundle_bytes bundle = {0}, signed_bundle = {0};
	const struct bundle_bytes *result;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (isatty(STDOUT_FILENO)) {
		error_set(err, VMCRED_USAGE, "refusing to write a bundle to a terminal");
		return error_hint(err,
				  "redirect it: `vmcred export %s | ssh %s sudo vmcred import`",
				  argv[first], argv[first]);
	}
	r = bundle_make(cli, argv[first], &bundle, err);
	if (r == 0 && key)
		r = bundle_sign(&bundle, argv[first], key, &signed_bundle, err);
	result = key ? &signed_bundle : &bundle;
	return r < 0 ? r
		     : fd_write(STDOUT_FILENO, span_of(result->data, result->size),
				"standard output", err);
}
