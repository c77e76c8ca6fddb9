/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The script sees $out, an empty folder of its own on a memory file system, and a clean
 * environment. Its plaintext is read from there straight into secret memory; the folder is then
 * wiped. What the script prints is kept in secret memory, dropped after success and shown after a
 * failure, with what it wrote to $out masked: a script that traces itself prints its secrets.
 */
#include "vars/script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/memory_folder.h"

#define SCRIPT_SECONDS_MAX 600

/* More than this is no message to a person; the rest is read and dropped. */
#define SCRIPT_OUTPUT_MAX ((size_t)64 * 1024)

/* Masking shorter values would hide half the message and protect nothing. */
#define MASK_SIZE_MIN 4

/* The child's side; what goes wrong here is told through the output. */
static _Noreturn void script_exec(const char *script, const char *out, int output)
{
	_cleanup_free_ char *out_variable = NULL;
	const char *path = getenv("PATH");
	_cleanup_free_ char *path_variable = NULL;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (asprintf(&out_variable, "out=%s", out) >= 0 &&
	    asprintf(&path_variable, "PATH=%s", path ? path : "/usr/local/bin:/usr/bin:/bin") >=
		    0 &&
	    null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	    dup2(output, STDERR_FILENO) >= 0 && setpgid(0, 0) == 0 && chdir(out) == 0 &&
	    /* Who would read what it makes is gone: it has nothing to make. */
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == 0) {
		char *const environment[] = {out_variable, path_variable, NULL};
		/* -e -u: as clan runs its scripts, a failed or mistyped step must not make an empty
		 * secret. */
		char shell[] = "sh", options[] = "-euc";
		_cleanup_free_ char *text = strdup(script);
		char *const arguments[] = {shell, options, text, NULL};

		umask(077);
		if (text)
			execve("/bin/sh", arguments, environment);
	}
	dprintf(output, "starting /bin/sh: %s\n", strerrordesc_np(errno));
	_exit(127);
}

/* Reads what there is; 0 at the end, 1 while there may be more. */
static int output_read(int fd, struct secret *output, struct error *err)
{
	uint8_t piece[4096];
	ssize_t got = read(fd, piece, sizeof(piece));
	size_t room = SCRIPT_OUTPUT_MAX - output->size, take;
	int r;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 1
			       : error_set_errno(err, errno, "reading its output");
	if (got == 0)
		return 0;
	take = (size_t)got < room ? (size_t)got : room;
	r = secret_append(output, span_of(piece, take), err);
	memory_wipe(piece, sizeof(piece));
	return r < 0 ? r : 1;
}

/* Waits for the script's end or the time limit, taking its output meanwhile. */
static int script_wait(int pidfd, int pipe, struct secret *output, struct error *err)
{
	int64_t deadline = clock_now_ms() + SCRIPT_SECONDS_MAX * INT64_C(1000);
	struct pollfd watched[] = {{.fd = pidfd, .events = POLLIN}, {.fd = pipe, .events = POLLIN}};

	for (;;) {
		int64_t left = deadline - clock_now_ms();
		int r = left > 0 ? poll(watched, 2, (int)left) : 0;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_set_errno(err, errno, "waiting for it");
		if (r == 0)
			return error_set(err, VMCRED_FAILED, "it did not end within %d seconds",
					 SCRIPT_SECONDS_MAX);
		if (watched[1].revents) {
			r = output_read(pipe, output, err);
			if (r < 0)
				return r;
			if (r == 0)
				watched[1].fd = -1;
			continue;
		}
		if (watched[0].revents)
			return 0;
	}
}

static int status_check(int status, struct error *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, VMCRED_FAILED, "it was ended by the signal %s",
				 sigdescr_np(WTERMSIG(status)));
	if (WEXITSTATUS(status) != 0)
		return error_set(err, VMCRED_FAILED, "it ended with exit code %d",
				 WEXITSTATUS(status));
	return 0;
}

static int script_execute(const char *script, const char *out, struct secret *output,
			  struct error *err)
{
	_cleanup_close_ int reader = -1, writer = -1, pidfd = -1;
	int ends[2], status = 0, r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "making a pipe");
	reader = ends[0];
	writer = ends[1];
	pid = fork();
	if (pid < 0)
		return error_set_errno(err, errno, "starting it");
	if (pid == 0)
		script_exec(script, out, writer);
	/* In both processes: whoever comes first. */
	(void)setpgid(pid, pid);
	close(fd_release(&writer));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	r = pidfd < 0 ? error_set_errno(err, errno, "watching it")
		      : script_wait(pidfd, reader, output, err);
	/* Itself, where it is still there, and what it left behind. */
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r < 0 ? r : status_check(status, err);
}

/* Overwrites each occurrence of the value in the output. */
static void output_mask(struct secret *output, struct span value)
{
	uint8_t *at = output->data, *found;

	while (value.size > 0 && (value.data[value.size - 1] == '\n'))
		value.size--;
	if (value.size < MASK_SIZE_MIN || output->size == 0)
		return;
	while ((found = memmem(at, output->size - (size_t)(at - output->data), value.data,
			       value.size))) {
		memset(found, '*', value.size);
		at = found + value.size;
	}
}

/* Adds the script's output to the error, without the values that it wrote. */
static int failure_show(const struct config_generator *generator, int dirfd, struct secret *output,
			struct error *err)
{
	_cleanup_error_ struct error ignored = {0};

	for (size_t i = 0; i < generator->file_count; i++) {
		_cleanup_secret_ struct secret value = {0};

		if (file_read_secret(dirfd, generator->files[i].name, VARS_SECRET_SIZE_MAX, &value,
				     &ignored) == 0)
			output_mask(output, secret_span(&value));
		error_clear(&ignored);
	}
	while (output->size > 0 && output->data[output->size - 1] == '\n')
		output->size--;
	if (output->size > 0)
		error_hint(err, "it printed:\n%.*s", (int)output->size, (const char *)output->data);
	return -(int)err->code;
}

static int undeclared_check(const struct config_generator *generator, int dirfd, struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(dirfd, ".");
	const char *entry;

	if (!dir)
		return error_set_errno(err, errno, "listing $out");
	while ((entry = dir_stream_next(dir))) {
		if (config_file_find(generator, entry))
			continue;
		error_set(err, VMCRED_FAILED, "it wrote $out/%s, which is not declared", entry);
		return error_hint(err, "add it to the generator's files, or have the script "
				       "remove it");
	}
	return 0;
}

static int out_read(const struct config_generator *generator, int dirfd, struct vars_value *values,
		    struct error *err)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		const char *name = generator->files[i].name;
		_cleanup_close_ int fd = -1;
		struct stat status;
		int r;

		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return error_set(err, VMCRED_FAILED, "it did not write $out/%s", name);
		if (fd < 0 || fstat(fd, &status) < 0)
			return error_set_errno(err, errno, "reading $out/%s", name);
		if (!S_ISREG(status.st_mode))
			return error_set(err, VMCRED_FAILED, "$out/%s is not a regular file", name);
		r = secret_read(&values[i].plaintext, fd, VARS_SECRET_SIZE_MAX, name, err);
		if (r < 0)
			return r;
	}
	return undeclared_check(generator, dirfd, err);
}

int script_run(const struct config_generator *generator, struct vars_value *values,
	       struct error *err)
{
	_cleanup_memory_folder_ struct memory_folder folder = MEMORY_FOLDER_NONE;
	_cleanup_secret_ struct secret output = {0};
	int r = memory_folder_make(&folder, "the script's $out", err);

	if (r < 0)
		return r;
	r = script_execute(generator->script, folder.path, &output, err);
	if (r == 0)
		r = out_read(generator, folder.dirfd, values, err);
	if (r < 0) {
		failure_show(generator, folder.dirfd, &output, err);
		return error_wrap(err, "the script of the generator %s", generator->name);
	}
	return 0;
}
