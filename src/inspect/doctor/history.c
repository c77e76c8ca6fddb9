/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All versions of all files in the repository, each once: git-rev-list(1) lists them with their
 * paths, and git-cat-file(1) prints them. On 25,000 commits that takes a tenth of the time of
 * `git log -S`, which compares each commit with its parents.
 */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/git/git.h"
#include "base/text.h"
#include "inspect/doctor/doctor.h"

#define KEY_NAME       "private-key-in-history"
#define PLAINTEXT_NAME "plaintext-in-history"

/* Larger files are not searched: "blob:limit=1m". */
#define BLOB_SIZE_MAX ((size_t)1024 * 1024)

/* Where a store has its documents. */
#define DOCUMENT_PATH \
	"(^|/)(vars/(shared|per-machine/[^/]+)/[^/]+/[^/]+|sops/secrets/[^/]+)/secret$"

static const char incomplete[] = "a part of the git history was not searched for private keys: git "
				 "cannot read it";

/* How the encrypted values and the MAC of a SOPS document start. */
static const char encrypted[] = "ENC[AES256_GCM,";

enum pattern {
	PATTERN_AGE_KEY,
	PATTERN_PEM_KEY,
	PATTERN_DOCUMENT,
	PATTERNS,
};

/* `literal`: what each match contains, which is found faster than the match. */
static const struct {
	const char *expression, *literal;
} patterns[PATTERNS] = {
	[PATTERN_AGE_KEY] = {DOCTOR_AGE_KEY, "AGE-SECRET-KEY-"},
	[PATTERN_PEM_KEY] = {DOCTOR_PEM_KEY, "PRIVATE KEY"},
	[PATTERN_DOCUMENT] = {DOCUMENT_PATH, NULL},
};

struct history {
	struct doctor *doctor;
	const char *directory; /* of the store */
	regex_t compiled[PATTERNS];
	struct strings paths; /* owned; with a finding */
	char *header;         /* owned; a line of cat-file */
	size_t header_size;
	char *blob; /* owned */
	const char *unsearched;
};

static void history_release(struct history *history)
{
	for (size_t i = 0; i < PATTERNS; i++)
		regfree(&history->compiled[i]);
	strings_destroy(&history->paths);
	free(history->header);
	free(history->blob);
}

/* Whether a line of the text matches. */
static bool has_line(const struct history *history, enum pattern pattern, size_t size)
{
	const char *const end = history->blob + size, *at = history->blob;
	const char *const literal = patterns[pattern].literal;

	while ((at = memmem(at, (size_t)(end - at), literal, strlen(literal)))) {
		const char *start = memrchr(history->blob, '\n', (size_t)(at - history->blob));
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		regmatch_t line = {.rm_eo = (regoff_t)((stop ? stop : end) - history->blob)};

		line.rm_so = start ? (regoff_t)(start + 1 - history->blob) : 0;
		if (regexec(&history->compiled[pattern], history->blob, 1, &line, REG_STARTEND) ==
		    0)
			return true;
		at = history->blob + line.rm_eo;
	}
	return false;
}

/* "OBJECT blob SIZE PATH" has been read as the header, and the content as the blob. */
static int blob_check(struct history *history, const char *object, const char *path, size_t size,
		      struct error *err)
{
	const bool has_key = has_line(history, PATTERN_AGE_KEY, size) ||
			     has_line(history, PATTERN_PEM_KEY, size);
	int r;

	if (!has_key && (size == 0 || memmem(history->blob, size, encrypted, strlen(encrypted)) ||
			 regexec(&history->compiled[PATTERN_DOCUMENT], path, 0, NULL, 0) != 0))
		return 0;
	if (strings_contain(&history->paths, path))
		return 0;
	r = strings_add(&history->paths, path, err);
	if (r < 0)
		return r;
	return doctor_add(history->doctor, has_key ? KEY_NAME : PLAINTEXT_NAME, DOCTOR_WARNING,
			  NULL,
			  text_format("a version of %s in the git history %s", path,
				      has_key ? "contains a private key"
					      : "is a secret that is not encrypted"),
			  text_format("replace the %s: every clone has it; `git log --all "
				      "--find-object=%s` lists the commits",
				      has_key ? "key" : "secret", object),
			  err);
}

/* Reads an object. Returns 0 at the end of the stream. */
static int object_take(struct history *history, FILE *stream, struct error *err)
{
	char *object, *type, *size_text, *path;
	unsigned long long size;
	int r = 0;

	if (getline(&history->header, &history->header_size, stream) <= 0)
		return 0;
	path = history->header;
	path[strcspn(path, "\n")] = '\0';
	object = strsep(&path, " ");
	type = strsep(&path, " ");
	size_text = strsep(&path, " ");
	size = size_text ? strtoull(size_text, NULL, 10) : 0;
	if (!size_text) { /* "OBJECT missing" */
		history->unsearched = incomplete;
		return 1;
	}
	if (size > BLOB_SIZE_MAX || fread(history->blob, 1, (size_t)size, stream) != size)
		return 0;
	(void)getc(stream); /* the end of the line */
	if (path && strcmp(type, "blob") == 0)
		r = blob_check(history, object, path, (size_t)size, err);
	return r < 0 ? r : 1;
}

/* Starts git in the store's directory. */
static int git_start(const struct history *history, const char *const *arguments, int input,
		     FILE **output, pid_t *pid, struct error *err)
{
	return git_start_reading(
		&(struct program){.directory = history->directory, .fds = {input, -1, -1}},
		arguments, output, pid, err);
}

/* Ends git; what it could not read is not an error here. */
static void git_end(struct history *history, FILE **output, pid_t pid)
{
	_cleanup_error_ struct error ignored = {0};

	if (program_end_reading(output, pid, "git", &ignored) < 0)
		history->unsearched = incomplete;
}

static int shallow_check(struct history *history, struct error *err)
{
	static const char *const arguments[] = {"rev-parse", "--is-shallow-repository", NULL};
	_cleanup_fclose_ FILE *output = NULL;
	pid_t pid = 0;
	int r = git_start(history, arguments, -1, &output, &pid, err);

	if (r < 0)
		return r;
	if (getline(&history->header, &history->header_size, output) > 0 &&
	    strcmp(history->header, "true\n") == 0)
		history->unsearched = "older commits were not searched for private keys: this is a "
				      "shallow clone";
	git_end(history, &output, pid);
	return 0;
}

/* Writes the objects and their paths to `list`. Returns how many, or a negative code. git fails at
 * the first one that is missing: with --missing=print, it says nothing of a missing commit or tree.
 */
static ssize_t objects_list(struct history *history, FILE *list, struct error *err)
{
	static const char *const arguments[] = {"rev-list",
						"--all",
						"--objects",
						"--filter=object:type=blob",
						"--filter=blob:limit=1m",
						"--filter-provided-objects",
						NULL};
	_cleanup_fclose_ FILE *output = NULL;
	pid_t pid = 0;
	ssize_t count = 0, r = git_start(history, arguments, -1, &output, &pid, err);

	if (r < 0)
		return r;
	while (getline(&history->header, &history->header_size, output) > 0) {
		if (fputs(history->header, list) < 0)
			break;
		count++;
	}
	git_end(history, &output, pid);
	if (fflush(list) != 0 || lseek(fileno(list), 0, SEEK_SET) != 0)
		return error_set_errno(err, errno, "listing the git history");
	return count;
}

static int objects_read(struct history *history, int list_fd, size_t count,
			const struct report *report, struct error *err)
{
	static const char *const arguments[] = {
		"cat-file", "--buffer", "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)",
		NULL};
	_cleanup_fclose_ FILE *output = NULL;
	pid_t pid = 0;
	int r = git_start(history, arguments, list_fd, &output, &pid, err);

	if (r < 0)
		return r;
	r = 1;
	for (size_t done = 0; r > 0; done++) {
		report_progress(report, done, count);
		r = object_take(history, output, err);
	}
	git_end(history, &output, pid);
	return r;
}

static int patterns_compile(struct history *history, struct error *err)
{
	for (size_t i = 0; i < PATTERNS; i++) {
		if (regcomp(&history->compiled[i], patterns[i].expression,
			    REG_EXTENDED | REG_NEWLINE) != 0)
			return error_no_memory(err);
	}
	return 0;
}

int doctor_check_history(struct doctor *doctor, int store_dirfd, const struct report *report,
			 const char **unsearched, struct error *err)
{
	__attribute__((cleanup(history_release))) struct history history = {.doctor = doctor};
	_cleanup_free_ char *directory = text_format("/proc/self/fd/%d", store_dirfd);
	_cleanup_close_ int list_fd = memfd_create("vmcred-objects", MFD_CLOEXEC);
	_cleanup_fclose_ FILE *list = list_fd < 0 ? NULL : fdopen(list_fd, "w+");
	ssize_t count;
	int r;

	if (!doctor_wants(doctor, KEY_NAME) && !doctor_wants(doctor, PLAINTEXT_NAME))
		return 0;
	r = patterns_compile(&history, err);
	history.directory = directory;
	history.blob = malloc(BLOB_SIZE_MAX);
	if (r == 0 && (!directory || !list || !history.blob))
		r = error_no_memory(err);
	if (r < 0)
		return r;
	fd_release(&list_fd);
	r = shallow_check(&history, err);
	count = r < 0 ? r : objects_list(&history, list, err);
	if (count > 0)
		r = objects_read(&history, fileno(list), (size_t)count, report, err);
	*unsearched = history.unsearched;
	return count < 0 ? (int)count : r;
}
