/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* A full pipe that nobody writes to any more, or -1 where it would not hold everything. */
static int pipe_fill(struct span content)
{
	_cleanup_close_ int to = -1;
	_cleanup_close_ int from = -1;
	int ends[2];

	if (content.size > INT_MAX || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	from = ends[0];
	to = ends[1];
	/* Large enough, and no larger: an unprivileged user's pipes are counted (pipe(7)). */
	if (fcntl(to, F_SETPIPE_SZ, content.size > 0 ? (int)content.size : 1) < 0)
		return -1;
	if (content.size > 0 && write(to, content.data, content.size) != (ssize_t)content.size)
		return -1;
	return fd_release(&from);
}

int handover_create(struct span content, struct error *err)
{
	_cleanup_close_ int fd = pipe_fill(content);
	int above;

	if (fd < 0)
		fd = memory_file_create("vmcred", content, err);
	if (fd < 0 || fd > STDERR_FILENO)
		return fd_release(&fd);
	/* Somebody closed a standard descriptor; the program would take this for it. */
	above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (above < 0)
		return error_set_errno(err, errno, "duplicating a descriptor");
	return above;
}
