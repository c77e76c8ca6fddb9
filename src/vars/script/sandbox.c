/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/script/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "vars/script/keeper.h"

/* More than this is no message to a person; its end says most, and what was before is dropped. */
#define OUTPUT_MAX ((size_t)64 * 1024)

/* What the script printed; more than twice as much as is shown is never kept. */
struct output {
	int fd;
	struct secret *text;
	bool skips; /* the rest of a line whose start was dropped */
};

/* Drops the oldest. Whole lines: in half of one a value would not be recognised and masked. */
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

/* Reads what there is; 0 at the end, 1 while there may be more. */
static int output_read(struct output *output, struct error *err)
{
	uint8_t piece[4096];
	ssize_t got = read(output->fd, piece, sizeof(piece));
	int r;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 1
			       : error_set_errno(err, errno, "reading its output");
	if (got == 0)
		return 0;
	r = output_add(output, span_of(piece, (size_t)got), err);
	memory_wipe(piece, sizeof(piece));
	return r < 0 ? r : 1;
}

/* What is in the pipe by now. */
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

/* What a shell says of a program that SIGPIPE ended. */
#define EXIT_PIPE (128 + SIGPIPE)

static int status_check(int status, struct error *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, VMCRED_FAILED, "it was ended by the signal %s",
				 sigdescr_np(WTERMSIG(status)));
	if (WEXITSTATUS(status) == 0)
		return 0;
	error_set(err, VMCRED_FAILED, "it ended with exit code %d", WEXITSTATUS(status));
	if (WEXITSTATUS(status) == EXIT_PIPE)
		error_hint(err, "a program in a pipe still wrote when the next one had enough, "
				"which pipefail takes for a failure");
	return -(int)err->code;
}

static int report_read(int fd, bool *refused, struct error *err)
{
	struct report_message message;
	ssize_t got;

	do {
		got = read(fd, &message, sizeof(message));
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(message))
		return error_set(err, VMCRED_FAILED, "its process was ended");
	message.step[sizeof(message.step) - 1] = '\0';
	*refused = message.refused != 0;
	if (message.step[0]) {
		error_set_errno(err, message.errnum, "%s", message.step);
		return error_hint(err, "where there can be no sandbox, bubblewrap may make one, "
				       "and --no-sandbox runs it without");
	}
	return status_check(message.status, err);
}

static int timeout_reject(unsigned int seconds, struct error *err)
{
	error_set(err, VMCRED_FAILED, "it did not end within %u second%s", seconds,
		  seconds == 1 ? "" : "s");
	return error_hint(err, "--script-timeout gives it more");
}

/* Waits for the report or the time limit, taking the script's output meanwhile. */
static int script_wait(int reports, struct output *output, unsigned int seconds_max, bool *refused,
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
			return error_set_errno(err, errno, "waiting for it");
		if (r == 0)
			return timeout_reject(seconds_max, err);
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

/* All that the new process needs is put together before it is there. */
static void isolation_prepare(const struct sandbox *sandbox, struct isolation *isolation)
{
	const char *runtime_dir = getenv("XDG_RUNTIME_DIR");

	*isolation = (struct isolation){
		.folder = sandbox->folder,
		.mount = sandbox->mount,
		.runtime_dir = runtime_dir && runtime_dir[0] == '/' ? runtime_dir : NULL,
		.uid = geteuid(),
	};
	snprintf(isolation->uid_map, sizeof(isolation->uid_map), "%u %u 1", geteuid(), geteuid());
	snprintf(isolation->gid_map, sizeof(isolation->gid_map), "%u %u 1", getegid(), getegid());
}

/* The descriptors are the caller's, after an error too. */
static int script_start(struct starting *starting, int *reports, int *output, pid_t *pid,
			struct error *err)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	*output = ends[0];
	starting->output = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	*reports = ends[0];
	starting->reports = ends[1];
	*pid = fork();
	if (*pid < 0)
		return error_set_errno(err, errno, "starting it");
	if (*pid == 0)
		keeper_run(starting, parent);
	/* In both processes: whoever comes first. */
	(void)setpgid(*pid, *pid);
	return 0;
}

int sandbox_run(const struct sandbox *sandbox, struct secret *output, bool *refused,
		struct error *err)
{
	_cleanup_shell_ struct shell shell = {0};
	_cleanup_close_ int reader = -1, reports = -1;
	struct starting starting = {
		.sandbox = sandbox, .shell = &shell, .output = -1, .reports = -1};
	struct output kept = {.text = output};
	int status, r;
	pid_t pid = -1;

	*refused = false;
	isolation_prepare(sandbox, &starting.isolation);
	r = shell_prepare(&shell, sandbox,
			  sandbox->kind == SANDBOX_NONE ? sandbox->folder : ISOLATION_FOLDER, err);
	if (r == 0)
		r = script_start(&starting, &reports, &reader, &pid, err);
	/* Their ends are seen when nobody else has them any more. */
	cleanup_close_fd(&starting.output);
	cleanup_close_fd(&starting.reports);
	if (r < 0)
		return r;
	kept.fd = reader;
	r = script_wait(reports, &kept, sandbox->seconds_max, refused, err);
	/* All of them, where they are still there, and what the script left behind. */
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r;
}
