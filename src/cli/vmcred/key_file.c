/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/git/git.h"
#include "base/path.h"
#include "base/trusted/trusted.h"
#include "cli/vmcred/commands.h"

#define KEYS_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024) /* age's limit */

/* Whether git ignores the file; if git cannot be asked, it does not. */
static bool is_ignored(const char *directory, const char *name)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_fclose_ FILE *output = NULL;
	const char *const arguments[] = {"check-ignore", "--quiet", "--", name, NULL};
	const struct program git = {.directory = directory, .fds = {-1, -1, -1}};
	pid_t pid = 0;

	return git_start_reading(&git, arguments, &output, &pid, &ignored) == 0 &&
	       program_end_reading(&output, pid, "git", &ignored) == 0;
}

/* Fails for a file in a git work tree, where `git add` would pick up the identity, unless it is
 * ignored. */
static int git_check(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path), *top = NULL;
	const char *slash = strrchr(path, '/'), *directory = copy ? dirname(copy) : NULL;
	int r = copy ? git_top_find(directory, &top, err) : error_no_memory(err);

	if (r < 0 || !top || is_ignored(directory, slash ? slash + 1 : path))
		return r;
	error_set(err, VMCRED_FAILED,
		  "%s is in the git work tree %s, which must not contain identities", path, top);
	return error_hint(err,
			  "choose another place, such as /var/lib/vmcred/identity on the machine, "
			  "or a name that git ignores");
}

int cli_new_file_write(const char *path, bool is_identity, struct span text, int *dirfd,
		       struct error *err)
{
	_cleanup_free_ char *directory = strdup(path);
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int r;

	if (!directory)
		return error_no_memory(err);
	*dirfd = trusted_directory_make(dirname(directory), 0700, err);
	r = *dirfd < 0 ? *dirfd : 0;
	if (r == 0 && is_identity)
		r = git_check(path, err);
	if (r < 0)
		return r;
	if (faccessat(*dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		error_set(err, VMCRED_FAILED, "%s exists; key files are never overwritten", path);
		return is_identity ? error_hint(err,
						"move it away to replace it; `vmcred keygen -y %s` "
						"prints its public key",
						path)
				   : error_hint(err, "move it or choose another name");
	}
	r = file_write_new(*dirfd, name, text, S_IRUSR | S_IWUSR, err);
	if (r < 0)
		return error_wrap(err, "%s", path);
	r = dir_sync(*dirfd, path, err);
	/* Nothing is encrypted to it yet. */
	if (r < 0)
		cli_new_file_remove(path, *dirfd);
	return r;
}

void cli_new_file_remove(const char *path, int dirfd)
{
	const char *slash = strrchr(path, '/');

	(void)unlinkat(dirfd, slash ? slash + 1 : path, 0);
}

/* Adds it without the comment of an SSH key. */
static int key_add(const char *text, struct sops_key_group *keys, struct error *err)
{
	const size_t type = strcspn(text, " ");
	const size_t size = text[type] ? type + 1 + strcspn(text + type + 1, " \t") : type;
	_cleanup_free_ char *key =
		strndup(text, strncmp(text, "ssh-", 4) == 0 ? size : strlen(text));

	return key ? vars_key_add(keys, SOPS_KEY_AGE, key, err) : error_no_memory(err);
}

static int keys_file_add(const char *path, const struct report *report, struct sops_key_group *keys,
			 struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {.report = report};
	_cleanup_secret_ struct secret text = {0};
	int r = file_read_secret(AT_FDCWD, path, KEYS_FILE_SIZE_MAX, &text, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return error_set(err, VMCRED_USAGE,
				 "\"%s\" is neither a public key (age1..., ssh-ed25519 ...) nor a "
				 "file",
				 path);
	}
	if (r < 0)
		return r;
	r = age_recipients_parse(secret_span(&text), path, &recipients, err);
	if (r == -(int)VMCRED_USAGE)
		return error_hint(err, "`vmcred keygen -y FILE` prints the public keys of an "
				       "identity file");
	for (size_t i = 0; r == 0 && i < recipients.count; i++)
		r = key_add(age_recipient_text(recipients.items[i]), keys, err);
	return r;
}

int cli_public_keys_add(const struct cli_texts *given, const struct report *report,
			struct sops_key_group *keys, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < given->count; i++) {
		const char *text = given->items[i];

		r = strncmp(text, "age1", 4) == 0 || strncmp(text, "ssh-", 4) == 0
			    ? key_add(text, keys, err)
			    : keys_file_add(text, report, keys, err);
	}
	return r;
}
