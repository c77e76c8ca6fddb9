/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/program.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"
#include "config/config.h"
#include "vars/vars.h"

struct keygen {
	const char *output;
	const char *machine;
	bool force;
	bool is_age; /* called as age-keygen */
	enum age_key_type type;
	int dirfd; /* of the output: if its path changes meanwhile, no other file is removed */
};

static void file_remove(const struct keygen *keygen)
{
	const char *slash = strrchr(keygen->output, '/');

	(void)unlinkat(keygen->dirfd, slash ? slash + 1 : keygen->output, 0);
}

/* Whether git ignores the file; if git cannot be asked, it does not. */
static bool is_ignored(const char *directory, const char *name)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char *const arguments[] = {"git", "check-ignore", "--quiet", "--", name, NULL};
	const struct program git = {
		.file = "git",
		.argv = (char *const *)arguments, /* only read */
		.directory = directory,
		.fds = {null, null, null},
	};
	int status = 0;
	pid_t pid;

	return null >= 0 && program_start(&git, &pid, &ignored) == 0 &&
	       program_wait(pid, &status, &ignored) == 0 &&
	       program_status_check(status, "git", &ignored) == 0;
}

/* Fails for a file in a git work tree, where `git add` would pick up the identity, unless it is
 * ignored. */
static int git_check(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path), *directory = NULL, *up = NULL;
	const char *slash = strrchr(path, '/');

	directory = copy ? realpath(dirname(copy), NULL) : NULL;
	up = directory ? strdup(directory) : NULL;
	if (!up)
		return copy && errno != ENOMEM ? 0 : error_no_memory(err);
	for (;; *strrchr(up, '/') = '\0') {
		_cleanup_free_ char *git = path_join(up, ".git");

		if (!git)
			return error_no_memory(err);
		if (faccessat(AT_FDCWD, git, F_OK, 0) == 0)
			break;
		if (!strchr(up, '/'))
			return 0;
	}
	if (is_ignored(directory, slash ? slash + 1 : path))
		return 0;
	error_set(err, VMCRED_FAILED,
		  "%s is in the git work tree %s, which must not contain identities", path, up);
	return error_hint(err,
			  "choose another place, such as /var/lib/vmcred/identity on the machine, "
			  "or a name that git ignores");
}

/* Syncs the file and its name before the key is registered: a lost identity cannot be recovered. */
static int file_write(const struct keygen *keygen, struct span text, struct error *err)
{
	int r = keygen->is_age ? 0 : git_check(keygen->output, err);

	if (r < 0)
		return r;
	if (faccessat(AT_FDCWD, keygen->output, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		error_set(err, VMCRED_FAILED, "%s exists; key files are never overwritten",
			  keygen->output);
		return error_hint(err, "move it or choose another name");
	}
	r = file_write_new(AT_FDCWD, keygen->output, text, S_IRUSR | S_IWUSR, err);
	if (r < 0)
		return r;
	r = dir_sync(keygen->dirfd, keygen->output, err);
	/* Nothing is encrypted to it yet. */
	if (r < 0)
		file_remove(keygen);
	return r;
}

static int identity_write(const struct cli *cli, const struct keygen *keygen,
			  const struct age_identity *identity, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	struct stat status;
	int r = age_identity_file_format(identity, time(NULL), &text, err);

	if (r < 0)
		return r;
	if (keygen->output)
		return file_write(keygen, secret_span(&text), err);
	if (fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
	    status.st_mode & S_IROTH)
		report_message(&cli->report, REPORT_WARNING,
			       "writing a secret key to a world-readable file");
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	return fd_write(STDOUT_FILENO, secret_span(&text), "standard output", err);
}

static void recipient_print(const struct cli *cli, const struct keygen *keygen,
			    const char *recipient)
{
	_cleanup_json_ json_t *result = NULL;

	if (!keygen->output || keygen->is_age) {
		/* A terminal shows it in the comment. */
		if (keygen->output || !isatty(STDOUT_FILENO))
			fprintf(stderr, "Public key: %s\n", recipient);
		return;
	}
	if (!cli->json) {
		printf("%s\n", recipient);
		return;
	}
	result = json_pack("{s:s, s:s, s:s?}", "publicKey", recipient, "file", keygen->output,
			   "machine", keygen->machine);
	cli_json_print(result);
}

/* Opens the directory of the output file, and creates it if necessary. */
static int directory_open(const char *path, struct error *err)
{
	_cleanup_free_ char *directory = strdup(path);

	return directory ? dir_make(AT_FDCWD, dirname(directory), 0700, err) : error_no_memory(err);
}

static int keygen_run(struct cli *cli, const struct keygen *keygen, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	const char *recipient;
	int r = keygen->machine ? cli_start(cli, &config, &store_dirfd, err) : cli_harden(cli, err);

	/* A mistyped name would register an unused key. */
	if (r == 0 && keygen->machine && !config_machine_get(&config, keygen->machine, err))
		r = -(int)err->code;
	if (r < 0)
		return r;
	r = age_identities_generate(&identities, keygen->type, err);
	if (r == 0)
		r = identity_write(cli, keygen, identities.items[0], err);
	if (r < 0)
		return error_wrap(err, "generating an identity");
	recipient = age_identity_recipient(identities.items[0]);
	if (keygen->machine) {
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
		if (r == 0)
			r = vars_machine_key_add(store_dirfd, keygen->machine, recipient,
						 keygen->force, err);
		/* An identity without a registered key would only block the next attempt. */
		if (r < 0 && keygen->output &&
		    !vars_machine_key_is(store_dirfd, keygen->machine, recipient))
			file_remove(keygen);
		if (r < 0)
			return error_wrap(err, "registering the machine's key");
	}
	recipient_print(cli, keygen, recipient);
	return 0;
}

int command_keygen(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct keygen keygen = {0};
	const struct cli_option options[] = {
		{"output", "FILE", "new identity file (default: stdout)", &keygen.output},
		{"machine", "MACHINE", "register the public key for this machine in the store",
		 &keygen.machine},
		{"force", NULL, "replace the machine's registered key", &keygen.force},
		{0},
	};
	const struct cli_usage usage = {
		.command = "keygen",
		.arguments = "",
		.about = "Generate an age identity, as age-keygen does, for a machine or a person. "
			 "Keep the\n"
			 "identity file where secrets are decrypted; secrets are encrypted to the "
			 "printed public\n"
			 "key.",
		.options = options,
		.has_json = true,
	};
	_cleanup_close_ int dirfd = -1;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (keygen.force && !keygen.machine)
		return error_set(err, VMCRED_USAGE,
				 "--force requires --machine: it replaces a machine's key");
	if (cli->json && !keygen.output)
		return error_set(err, VMCRED_USAGE,
				 "--json requires --output: stdout is for the identity");
	if (keygen.output) {
		dirfd = directory_open(keygen.output, err);
		if (dirfd < 0)
			return error_wrap(err, "generating an identity");
	}
	keygen.dirfd = dirfd;
	return keygen_run(cli, &keygen, err);
}

/* age-keygen -y: the public keys of an identity file, one a line. */
static int recipients_print(const struct cli *cli, const struct keygen *keygen, const char *input,
			    struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {.prompt = &terminal_prompt,
								     .report = &cli->report};
	_cleanup_age_recipients_ struct age_recipients recipients = {.prompt = &terminal_prompt};
	_cleanup_secret_ struct secret text = {0};
	int r = input ? age_identity_file_load(AT_FDCWD, input, &identities, err)
		      : cli_identities_read(&identities, err);

	if (r == 0)
		r = age_recipients_add_identities(&recipients, &identities, err);
	for (size_t i = 0; r == 0 && i < recipients.count; i++) {
		const char *recipient = age_recipient_text(recipients.items[i]);

		if (*recipient == '<')
			return error_set(err, VMCRED_FAILED, "the public key of %s is unknown",
					 recipient);
		r = secret_append_text(&text, recipient, err);
		if (r == 0)
			r = secret_append_text(&text, "\n", err);
	}
	if (r < 0)
		return r;
	return keygen->output ? file_write(keygen, secret_span(&text), err)
			      : fd_write(STDOUT_FILENO, secret_span(&text), "standard output", err);
}

int command_age_keygen(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct keygen keygen = {.is_age = true};
	bool postquantum = false, converts = false, version = false;
	const struct cli_option options[] = {
		{"pq", NULL, "generate a post-quantum key", &postquantum},
		{"o, output", "FILE", "new file (default: stdout)", &keygen.output},
		{"y", NULL, "print the public keys of an identity file", &converts},
		{"version", NULL, "print the version", &version},
		{0},
	};
	const struct cli_usage usage = {
		.command = "age-keygen",
		.arguments = "[INPUT]",
		.about = "Generate an age identity, or print the public keys of INPUT with -y.",
		.options = options,
		.arguments_max = 1,
		.is_link = true,
	};
	_cleanup_close_ int dirfd = -1;
	const char *input = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (version) {
		cli_age_version_print();
		return 0;
	}
	if (first < argc && strcmp(argv[first], "-") != 0)
		input = argv[first];
	if (first < argc && !converts)
		return error_set(err, VMCRED_USAGE, "too many arguments: INPUT is for -y");
	if (postquantum && converts)
		return error_set(err, VMCRED_USAGE, "-pq cannot be combined with -y");
	if (keygen.output) {
		dirfd = directory_open(keygen.output, err);
		if (dirfd < 0)
			return error_wrap(err, "age-keygen");
	}
	keygen.dirfd = dirfd;
	keygen.type = postquantum ? AGE_HYBRID : AGE_X25519;
	if (!converts)
		return keygen_run(cli, &keygen, err);
	r = cli_harden(cli, err);
	if (r == 0)
		r = recipients_print(cli, &keygen, input, err);
	return r < 0 ? error_wrap(err, "age-keygen") : 0;
}
