/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "base/trusted/trusted.h"
#include "cli/vmcred/commands.h"
#include "config/config.h"
#include "vars/vars.h"

#define DECLARATION "vmcred.yaml"

/* tests/cli/init.py removes the comment signs and uses the result. */
static const char declaration_text[] =
	"# What secrets there are, which machines decrypt them, and how VMs receive them. This "
	"file is\n"
	"# public. vmcred.yaml(5) explains each key.\n"
	"\n"
	"# Hosts, by host name. `vmcred machine add host1` registers the key of host1.\n"
	"machines:\n"
	"#  host1: {}\n"
	"\n"
	"# `vmcred generate` makes the secrets that are missing.\n"
	"generators:\n"
	"#  web:\n"
	"#    machines: [host1]\n"
	"#    files:\n"
	"#      api-key: {}\n"
	"#    kind:\n"
	"#      api-key: { base64: 32 }\n"
	"\n"
	"# VMs, each with the credentials of its unit on the host, and those of the guest.\n"
	"vms:\n"
	"#  web-vm:\n"
	"#    loadCredentials: { host-api-key: web/api-key }\n"
	"#    credentialFiles: { HOST-API-KEY: host-api-key }\n"
	"#    command: [qemu-system-x86_64, -m, \"512\", -kernel, "
	"/var/lib/microvms/web-vm/vmlinuz]\n";

static const char gitignore_text[] = "# Private keys, in case one is made here.\n"
				     "/identity\n"
				     "/identity-*\n"
				     "/keys.txt\n";

struct init {
	const char *directory, *user;
	struct cli_texts age_keys;
	struct sops_key_group keys; /* owned; the person's public ones */
	char *identity;             /* owned; the file that has the private ones, if it is known */
	bool is_generated;
};

static void init_release(struct init *init)
{
	sops_key_group_destroy(&init->keys);
	free(init->identity);
}

static int user_find(struct init *init, struct error *err)
{
	const struct passwd *entry = init->user ? NULL : getpwuid(getuid());

	if (entry)
		init->user = entry->pw_name;
	if (init->user)
		return 0;
	error_set(err, VMCRED_USAGE, "you have no user name on this machine");
	return error_hint(err, "choose one with --user NAME");
}

/* A key that only the person has: it must not be in the repository. */
static int identity_generate(struct init *init, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_close_ int dirfd = -1;
	int r = age_identities_generate(&identities, AGE_X25519, err);

	if (r == 0)
		r = age_identity_file_format(identities.items[0], time(NULL), &text, err);
	if (r == 0)
		r = cli_new_file_write(init->identity, true, secret_span(&text), &dirfd, err);
	init->is_generated = r == 0;
	return r < 0 ? r
		     : vars_key_add(&init->keys, SOPS_KEY_AGE,
				    age_identity_recipient(identities.items[0]), err);
}

/* The keys of --age-key, or of the person's identity, which is generated if there is none. */
static int keys_find(struct init *init, const struct report *report, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {.report = report};
	int r = cli_public_keys_add(&init->age_keys, report, &init->keys, err);

	if (r < 0 || init->keys.count > 0)
		return r;
	r = cli_person_identity_find(&init->identity, err);
	if (r <= 0)
		return r < 0 ? r : identity_generate(init, err);
	r = age_identity_file_load(AT_FDCWD, init->identity, &identities, err);
	for (size_t i = 0; r == 0 && i < identities.count; i++) {
		const char *key = age_identity_recipient(identities.items[i]);

		/* Of an encrypted file or a plugin: unknown. */
		if (key[0] != '<')
			r = vars_key_add(&init->keys, SOPS_KEY_AGE, key, err);
	}
	if (r < 0 || init->keys.count > 0)
		return r;
	error_set(err, VMCRED_USAGE, "the public key of %s is unknown", init->identity);
	return error_hint(err, "pass it with --age-key KEY");
}

static int declaration_check(const struct init *init, int dirfd, struct error *err)
{
	if (faccessat(dirfd, DECLARATION, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	error_set(err, VMCRED_USAGE, "%s has a " DECLARATION " already", init->directory);
	return error_hint(err, "edit it, or choose another directory");
}

/* The declaration comes last: without it, the next attempt starts again. */
static int repository_write(const struct init *init, int dirfd, const struct report *report,
			    struct error *err)
{
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	int r = vars_lock(&lock, dirfd, report, err);
	if (r == 0)
		r = vars_member_keys_write(dirfd, VARS_USER, init->user, &init->keys, false, err);
	if (r == 0 && faccessat(dirfd, ".gitignore", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		r = file_write_new(dirfd, ".gitignore", span_of_text(gitignore_text), 0644, err);
	return r < 0 ? r
		     : file_replace(dirfd, DECLARATION, span_of_text(declaration_text), 0644, err);
}

static void result_print(const struct cli *cli, const struct init *init)
{
	_cleanup_json_ json_t *object = NULL;

	if (cli->json) {
		json_t *keys = json_array();

		for (size_t i = 0; i < init->keys.count; i++)
			json_array_append_new(keys, json_string(init->keys.keys[i].text));
		object = json_pack("{s:s, s:s, s:o, s:s?, s:b}", "directory", init->directory,
				   "user", init->user, "publicKeys", keys, "identity",
				   init->identity, "generated", init->is_generated);
		cli_json_print(object);
		return;
	}
	if (init->is_generated)
		printf("your new key is in %s: keep a copy, nothing else opens the secrets\n",
		       init->identity);
	for (size_t i = 0; i < init->keys.count; i++)
		printf("user %s: %s\n", init->user, init->keys.keys[i].text);
	printf("edit %s/" DECLARATION ", then run in its directory:\n"
	       "  vmcred machine add MACHINE\n"
	       "  vmcred generate\n",
	       init->directory);
}

int command_init(struct cli *cli, int argc, char **argv, struct error *err)
{
	__attribute__((cleanup(init_release))) struct init init = {.directory = "."};
	const struct cli_option options[] = {
		{"user", "USER", "your name in the store (default: your user name)", &init.user},
		{"age-key", "KEY|FILE...", "your public key (default: that of your identity file)",
		 &init.age_keys},
		{0},
	};
	const struct cli_usage usage = {
		.command = "init",
		.examples = "  vmcred init secrets --user alice --age-key ~/.ssh/id_ed25519.pub\n",
		.arguments = "[DIRECTORY]",
		.arguments_max = 1,
		.about = "Start a repository: write a " DECLARATION
			 " to fill in, and register your public key, so that you can read its "
			 "secrets. The key is that of ~/.config/sops/age/keys.txt or "
			 "~/.ssh/id_ed25519; if you have neither, the former is generated.",
		.options = options,
		.has_json = true,
	};
	_cleanup_close_ int dirfd = -1;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (cli->config)
		return error_set(err, VMCRED_USAGE,
				 "init writes " DECLARATION
				 ": pass a DIRECTORY instead of --config");
	if (first < argc)
		init.directory = argv[first];
	r = cli_harden(cli, err);
	if (r == 0)
		r = user_find(&init, err);
	if (r < 0)
		return r;
	dirfd = trusted_directory_make(init.directory, 0755, err);
	if (dirfd < 0)
		return dirfd;
	r = declaration_check(&init, dirfd, err);
	if (r == 0)
		r = keys_find(&init, &cli->report, err);
	if (r == 0)
		r = repository_write(&init, dirfd, &cli->report, err);
	if (r == 0)
		result_print(cli, &init);
	return r;
}
