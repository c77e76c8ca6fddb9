/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/program.h"
#include "base/text.h"

/* Enough for a person; only the end is kept. */
#define OUTPUT_MAX ((size_t)64 * 1024)

/* What the script printed, at most twice as much as is shown. */
struct output {
	int fd;
	struct secret *text;
	bool skips; /* the rest of a line whose start was dropped */
};

/* Drops the oldest lines. Whole ones: masking would not find a value of which half is missing. */
static void output_shorten(struct output *output)
{
	struct secret *text = output->text;
	size_t start = text->size - OUTPUT_MAX;
	const uint8_t *end = memchr(text->data + start, '\n', OUTPUT_MAX);

	output->skips = end == NULL;
	start = end ? (size_t)(end - text->data) + 1 : text->size;
	memmove(text->data, text->data + start, text->size - start);
	text->size -= start;
}

static int output_add(struct output *output, struct span piece, struct error *err)
{
	int r;

	if (output->skips) {
		const uint8_t *end = memchr(piece.data, '\n', piece.size);
		size_t size = end ? (size_t)(end - piece.data) + 1 : piece.size;

		output->skips = end == NULL;
		piece = span_of(piece.data + size, piece.size - size);
	}
	r = secret_append(output->text, piece, err);
	if (r == 0 && output->text->size > 2 * OUTPUT_MAX)
		output_shorten(output);
	return r;
}

/* Reads once: 0 at the end, 1 if there may be more. */
static int output_read(struct output *output, struct error *err)
{
	uint8_t piece[4096];
	ssize_t got = read(output->fd, piece, sizeof(piece));
	int r;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 1
			       : error_set_errno(err, errno, "reading the script's output");
	if (got == 0)
		return 0;
	r = output_add(output, span_of(piece, (size_t)got), err);
	memory_wipe(piece, sizeof(piece));
	return r < 0 ? r : 1;
}

/* Reads what is in the pipe now. */
static int output_drain(struct output *output, struct error *err)
{
	struct pollfd watched = {.fd = output->fd, .events = POLLIN};
	int r = 1;

	while (r == 1 && poll(&watched, 1, 0) > 0)
		r = output_read(output, err);
	if (r >= 0 && output->text->size > OUTPUT_MAX)
		output_shorten(output);
	return r < 0 ? r : 0;
}

static int report_read(int fd, bool *refused, struct error *err)
{
	struct sandbox_report report;
	ssize_t got;

	do {
		got = read(fd, &report, sizeof(report));
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(report))
		return error_set(err, VMCRED_FAILED, "vmcred-sandbox was killed");
	report.failed[sizeof(report.failed) - 1] = '\0';
	*refused = report.refused != 0;
	if (report.failed[0]) {
		if (report.errnum != 0)
			error_set_errno(err, report.errnum, "%s", report.failed);
		else
			error_set(err, VMCRED_FAILED, "%s", report.failed);
		return *refused ? error_hint(err, "install bubblewrap, or use --no-sandbox")
				: -(int)err->code;
	}
	if (program_status_check(report.status, "the script", err) == 0)
		return 0;
	/* As a shell reports a program that SIGPIPE has killed. */
	if (WIFEXITED(report.status) && WEXITSTATUS(report.status) == 128 + SIGPIPE)
		error_hint(err, "a program in a pipeline was still writing when the next one "
				"ended, which is a failure with pipefail");
	return -(int)err->code;
}

/* Waits for the report or the time limit, and reads the output meanwhile. */
static int report_wait(int reports, struct output *output, unsigned int seconds_max, bool *refused,
		       struct error *err)
{
	int64_t deadline = clock_now_ms() + seconds_max * INT64_C(1000);
	struct pollfd watched[] = {{.fd = reports, .events = POLLIN},
				   {.fd = output->fd, .events = POLLIN}};

	for (;;) {
		int64_t left = deadline - clock_now_ms();
		int r = left > 0 ? poll(watched, 2, (int)left) : 0;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_set_errno(err, errno, "waiting for the script");
		if (r == 0) {
			error_set(err, VMCRED_FAILED, "the script did not end within %u second%s",
				  seconds_max, seconds_max == 1 ? "" : "s");
			return error_hint(err, "--script-timeout changes the limit");
		}
		if (watched[1].revents) {
			r = output_read(output, err);
			if (r < 0)
				return r;
			if (r == 0)
				watched[1].fd = -1;
		}
		if (watched[0].revents) {
			r = output_drain(output, err);
			return r < 0 ? r : report_read(reports, refused, err);
		}
	}
}

/* The variables of the script, which is the whole environment. */
static int environment_make(const struct script_process *process, struct strings *environment,
			    struct error *err)
{
	static const struct {
		const char *name, *path;
	} variables[] = {
		/* A temporary home, for programs that need one, such as gpg. */
		{"HOME", "/tmp"}, {"TMPDIR", "/tmp"},      {"in", "/in"},
		{"out", "/out"},  {"prompts", "/prompts"}, /* last */
	};
	const size_t count = sizeof(variables) / sizeof(variables[0]) - !process->has_prompts;
	const char *directory =
		process->sandbox == SANDBOX_NONE ? process->directory : SANDBOX_DIRECTORY;
	const char *path = getenv("PATH");
	int r = strings_add_format(environment, err, "PATH=%s", path ? path : PROGRAM_PATH_DEFAULT);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = strings_add_format(environment, err, "%s=%s%s", variables[i].name, directory,
				       variables[i].path);
	return r;
}

/* In the order of `enum sandbox_argument`. */
static int arguments_make(const struct script_process *process, int reports,
			  struct strings *arguments, struct error *err)
{
	int r = strings_add(arguments, SANDBOX_PROGRAM, err);

	if (r == 0)
		r = strings_add_format(arguments, err, "%d", process->sandbox);
	if (r == 0)
		r = strings_add_format(arguments, err, "%d", getpid());
	if (r == 0)
		r = strings_add_format(arguments, err, "%d", reports);
	if (r == 0)
		r = strings_add_format(arguments, err, "%d", process->mount);
	if (r == 0)
		r = strings_add(arguments, process->directory ? process->directory : "", err);
	return r < 0 ? r : strings_add(arguments, process->script, err);
}

static int sandbox_start(const struct script_process *process, int output, int reports, pid_t *pid,
			 struct error *err)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_strings_ struct strings arguments = {0}, environment = {0};
	_cleanup_free_ char *path = program_sibling(SANDBOX_PROGRAM);
	const int inherited[] = {reports, process->mount};
	struct program program = {
		.file = path,
		.fds = {null, output, output},
		.inherited = inherited,
		.inherited_count = process->mount < 0 ? 1 : 2,
		.new_session = true,
	};
	int r = path ? 0 : error_no_memory(err);

	if (r == 0)
		r = arguments_make(process, reports, &arguments, err);
	if (r == 0)
		r = environment_make(process, &environment, err);
	program.argv = arguments.items;
	program.environment = environment.items;
	if (r < 0 || program_start(&program, pid, err) == 0)
		return r;
	err->code = VMCRED_FAILED;
	return error_hint(err, "install all programs of vmcred together");
}

/* Both are above the standard descriptors, of which any may be closed in this process. */
static int pipe_make(int *reader, int *writer, struct error *err)
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	*reader = fcntl(low[0], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	*writer = fcntl(low[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(low[0]);
	close(low[1]);
	return *reader < 0 || *writer < 0 ? error_set_errno(err, EMFILE, "creating a pipe") : 0;
}

int script_process_run(const struct script_process *process, struct secret *output, bool *refused,
		       struct error *err)
{
	_cleanup_close_ int output_reader = -1, output_writer = -1;
	_cleanup_close_ int reports_reader = -1, reports_writer = -1;
	struct output kept = {.text = output};
	int status, r = pipe_make(&output_reader, &output_writer, err);
	pid_t pid = -1;

	*refused = false;
	if (r == 0)
		r = pipe_make(&reports_reader, &reports_writer, err);
	if (r == 0)
		r = sandbox_start(process, output_writer, reports_writer, &pid, err);
	if (r < 0)
		return r;
	/* A reader sees the end of a pipe only when nobody can write to it. */
	close(fd_release(&output_writer));
	close(fd_release(&reports_writer));
	kept.fd = output_reader;
	r = report_wait(reports_reader, &kept, process->seconds_max, refused, err);
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r;
}
