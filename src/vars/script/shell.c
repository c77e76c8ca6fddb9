/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vars/script/isolation.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static const char *search_path(void)
{
	const char *path = getenv("PATH");

	return path ? path : PATH_DEFAULT;
}

/* The program in the folders of $PATH that are absolute, or NULL. The caller frees it. */
static char *program_find(const char *name)
{
	_cleanup_free_ char *folders = strdup(search_path());
	char *rest = NULL;

	for (char *folder = folders ? strtok_r(folders, ":", &rest) : NULL; folder;
	     folder = strtok_r(NULL, ":", &rest)) {
		char *path = NULL;

		if (folder[0] != '/' || asprintf(&path, "%s/%s", folder, name) < 0)
			continue;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

bool sandbox_has_bubblewrap(void)
{
	_cleanup_free_ char *path = program_find("bwrap");

	return path != NULL;
}

static const char *keep(struct shell *shell, char *text)
{
	if (text)
		shell->texts[shell->text_count++] = text;
	return text;
}

static const char *variable(struct shell *shell, const char *name, const char *value,
			    const char *rest)
{
	char *text = NULL;

	return keep(shell, asprintf(&text, "%s=%s%s", name, value, rest) < 0 ? NULL : text);
}

static bool environment_prepare(struct shell *shell, const char *folder, bool has_prompts)
{
	static const struct {
		const char *name, *rest;
	} rows[] = {
		/* Programs that keep something in a home, such as gpg, have one for the time being.
		 */
		{"HOME", "/tmp"}, {"TMPDIR", "/tmp"},      {"in", "/in"},
		{"out", "/out"},  {"prompts", "/prompts"}, /* last */
	};
	const size_t count = sizeof(rows) / sizeof(rows[0]) - (has_prompts ? 0 : 1);

	shell->environment[0] = variable(shell, "PATH", search_path(), "");
	for (size_t i = 0; i < count && shell->environment[i]; i++)
		shell->environment[i + 1] = variable(shell, rows[i].name, folder, rows[i].rest);
	return shell->environment[count] != NULL;
}

static void words_add(struct shell *shell, size_t *count, const char *const *words)
{
	for (; *words; words++)
		shell->arguments[(*count)++] = *words;
}

/* The same sandbox as isolation.c makes, in bwrap's words. */
static int bubblewrap_add(struct shell *shell, const struct sandbox *sandbox, size_t *count,
			  struct error *err)
{
	const char *program = keep(shell, program_find("bwrap"));
	const char *const words[] = {
		program,
		"--unshare-all",
		"--die-with-parent",
		"--new-session",
		"--cap-drop",
		"ALL",
		"--ro-bind",
		"/",
		"/",
		"--dev",
		"/dev",
		"--proc",
		"/proc",
		"--tmpfs",
		"/run",
		"--ro-bind-try",
		"/run/current-system",
		"/run/current-system",
		"--bind",
		sandbox->folder,
		ISOLATION_FOLDER,
		"--chdir",
		ISOLATION_FOLDER,
		"--",
		NULL,
	};

	if (!program)
		return error_set(err, VMCRED_FAILED, "bubblewrap is not on $PATH");
	words_add(shell, count, words);
	return 0;
}

int shell_prepare(struct shell *shell, const struct sandbox *sandbox, const char *folder,
		  struct error *err)
{
	/* A failed or mistyped step must not make an empty secret, wherever in a pipe it stands. */
	static const char *const bash_options[] = {"-euo", "pipefail", "-c", NULL};
	static const char *const sh_options[] = {"-eu", "-c", NULL};
	const char *bash = keep(shell, program_find("bash"));
	const char *const script[] = {bash ? bash : "/bin/sh", NULL};
	const char *const text[] = {sandbox->script, NULL};
	size_t count = 0;
	int r = sandbox->kind == SANDBOX_BUBBLEWRAP ? bubblewrap_add(shell, sandbox, &count, err)
						    : 0;

	if (r < 0)
		return r;
	words_add(shell, &count, script);
	words_add(shell, &count, bash ? bash_options : sh_options);
	words_add(shell, &count, text);
	return environment_prepare(shell, folder, sandbox->has_prompts) ? 0 : error_no_memory(err);
}

void shell_destroy(struct shell *shell)
{
	for (size_t i = 0; i < shell->text_count; i++)
		free(shell->texts[i]);
	shell->text_count = 0;
}
