/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other programs: found on $PATH, started without a shell, waited for. A started program has an
 * empty signal mask, the default action for SIGPIPE, and no descriptor but its standard ones and
 * those that it is given (everything else is O_CLOEXEC). posix_spawn(3) is used, not fork(2): no
 * copy of this process's memory, with secrets in it, ever exists.
 */
#ifndef VMCRED_BASE_PROGRAM_H
#define VMCRED_BASE_PROGRAM_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

/* What is searched if $PATH is not set. */
#define PROGRAM_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/*
 * Calls `each` with the path of `name` in each absolute directory of $PATH, in order, whether the
 * file exists or not, until it returns other than 0; returns that. Relative directories are
 * skipped: they would depend on the working directory.
 */
int program_each(const char *name, int (*each)(const char *path, void *data), void *data,
		 struct error *err);

/* The first executable file of $PATH called `name` (program_each()), or `name` itself where it has
 * a '/'. The caller frees `*path`. VMCRED_FAILED: not found. */
int program_find(const char *name, char **path, struct error *err);

/*
 * The path of another program of this installation: in the directory of this program's file, which
 * works in a build directory and below DESTDIR, and never from $PATH. A setuid program can be
 * linked into any directory by its caller, so there the directory is not trusted. The caller frees
 * it; NULL without memory.
 */
char *program_sibling(const char *name);

struct program {
	const char *file;         /* a path, or a name for $PATH (execvp(3)) */
	char *const *argv;        /* NULL-terminated */
	char *const *environment; /* NULL: ours */
	const char *directory;    /* the working directory; NULL: ours */
	int fds[3];               /* standard input, output and error; 0, 1 and 2 are ours */
	const int *inherited;     /* more descriptors, all above 2, which keep their numbers */
	size_t inherited_count;
	bool new_session; /* without our terminal; its process group is the process's number */
};

#define PROGRAM_OUR_FDS \
	{               \
		0, 1, 2 \
	}

/* Our environment with one more variable, or with another value of it; NULL without memory. The
 * caller frees the list, not its entries. */
char **program_environment_with(const char *variable);

/* Starts it; the caller waits for `*pid`. VMCRED_FAILED: "starting FILE: ...", with a hint where it
 * is not installed. */
int program_start(const struct program *program, pid_t *pid, struct error *err);

/* Starts it with its standard output as `*output`, for program_end_reading().
 * `fds[0]`: -1 gives it no input; `fds[2]`: -1 discards its errors. */
int program_start_reading(const struct program *program, FILE **output, pid_t *pid,
			  struct error *err);

/* Starts it, waits, and checks the status; `name` is for errors. */
int program_run(const struct program *program, const char *name, struct error *err);

/* Closes the output, waits, and checks the status; `name` is for errors. */
int program_end_reading(FILE **output, pid_t pid, const char *name, struct error *err);

/* Waits for it to end. `*status` is that of waitpid(2). */
int program_wait(pid_t pid, int *status, struct error *err);

/* 0 if a waitpid(2) status is exit code 0; else VMCRED_FAILED: "NAME exited with code N", "NAME was
 * killed by SIGNAME". */
int program_status_check(int status, const char *name, struct error *err);

/*
 * The major version that `FILE --version` prints after `prefix`, such as 53 for "cloud-hypervisor
 * v53.0" and "cloud-hypervisor v"; 0 if it prints something else or cannot be started.
 */
int program_version(const char *file, const char *prefix);

#endif
