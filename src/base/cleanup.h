/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup attributes for declarations: a scope releases what it acquires on every return. */
#ifndef VMCRED_BASE_CLEANUP_H
#define VMCRED_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static inline void cleanup_close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_free_      __attribute__((cleanup(cleanup_free_pointer)))
#define _cleanup_close_     __attribute__((cleanup(cleanup_close_fd)))
#define _cleanup_close_dir_ __attribute__((cleanup(cleanup_close_dir)))
#define _cleanup_fclose_    __attribute__((cleanup(cleanup_close_file)))

/* Passes the resource to the caller: the scope no longer owns it. */
static inline int fd_release(int *fd)
{
	int released = *fd;

	*fd = -1;
	return released;
}

static inline void *pointer_release(void *pointer)
{
	void *released = *(void **)pointer;

	*(void **)pointer = NULL;
	return released;
}

#endif
