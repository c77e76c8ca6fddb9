/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/trusted/memory_mount.h"
#include "guest/guest.h"
#include "oem/oem.h"

/* Linux 5.10; older kernels ignore it. musl 1.2.3 does not define it. */
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

#define SYSTEM_PATH GUEST_CREDENTIALS "/" GUEST_SYSTEM

/* A credential that is not yet whole: not a name that a credential can have. */
static const char unfinished[] = "new:";

int store_mount_set(const char *path, bool writable)
{
	return mount(NULL, path, NULL,
		     MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW |
			     (writable ? 0 : MS_RDONLY),
		     NULL);
}

/* Mounts a memory file system on the directory, and opens it. */
static int system_mount(int *dirfd, int parent_dirfd, struct error *err)
{
	_cleanup_close_ int mounted = memory_mount_create("0700", false, false);

	if (mounted < 0 || memory_mount_attach(mounted, *dirfd) < 0)
		return error_set_errno(err, errno, "mounting a memory file system on %s",
				       SYSTEM_PATH);
	close(fd_release(dirfd));
	*dirfd = dir_open(parent_dirfd, GUEST_SYSTEM, err);
	return *dirfd < 0 ? *dirfd : 0;
}

/* Opens @system, which becomes writable. */
static int system_open(int parent_dirfd, struct error *err)
{
	_cleanup_close_ int fd = dir_make(parent_dirfd, GUEST_SYSTEM, 0700, err);
	int r = 0;

	if (fd < 0)
		return fd;
	if (!memory_mount_exists(fd, parent_dirfd))
		r = system_mount(&fd, parent_dirfd, err);
	else if (fd_is_on_memory(fd) && store_mount_set(SYSTEM_PATH, true) < 0)
		r = error_set_errno(err, errno, "making %s writable", SYSTEM_PATH);
	return r < 0 ? r : fd_release(&fd);
}

static int store_open(struct store *store, struct error *err)
{
	_cleanup_close_ int parent = dir_make(AT_FDCWD, GUEST_CREDENTIALS, 0755, err), fd = -1;

	if (parent < 0)
		return parent;
	/* The lock's descriptor is this one: it must stay open. */
	store->parent_dirfd = fd_release(&parent);
	if (lock_take(&store->lock, store->parent_dirfd, true, GUEST_CREDENTIALS, err) < 0)
		return -(int)err->code;
	fd = store->is_initrd ? dir_make(store->parent_dirfd, GUEST_INITRD, 0700, err)
			      : system_open(store->parent_dirfd, err);
	if (fd < 0)
		return fd;
	if (!fd_is_on_memory(fd))
		return error_set(err, VMCRED_FAILED, "%s/%s is not on a memory file system",
				 GUEST_CREDENTIALS, store->is_initrd ? GUEST_INITRD : GUEST_SYSTEM);
	/* An earlier import was killed. */
	(void)unlinkat(fd, unfinished, 0);
	store->dirfd = fd_release(&fd);
	return 0;
}

int store_size_check(const struct store *store, size_t size, struct error *err)
{
	int r = oem_limit_check(OEM_LIMIT_CREDENTIAL, size, err);

	/* Neither is above the limit, so the sum cannot overflow. */
	return r < 0 ? r : oem_limit_check(OEM_LIMIT_CREDENTIALS, store->size + size, err);
}

int store_add(struct store *store, const char *name, struct span value, struct error *err)
{
	int r = store->dirfd < 0 ? store_open(store, err) : 0;

	if (r < 0 || faccessat(store->dirfd, name, F_OK, 0) == 0)
		return r;
	r = file_write_new(store->dirfd, unfinished, value, S_IRUSR, err);
	if (r == 0 && renameat(store->dirfd, unfinished, store->dirfd, name) < 0)
		r = error_set_errno(err, errno, "creating %s", name);
	if (r < 0)
		return error_wrap(err, "%s", GUEST_CREDENTIALS);
	store->size += value.size;
	return 0;
}

void store_close(struct store *store)
{
	if (store->dirfd >= 0)
		close(store->dirfd);
	/* Only root could write there anyway. */
	if (store->dirfd >= 0 && !store->is_initrd)
		(void)store_mount_set(SYSTEM_PATH, false);
	lock_release(&store->lock);
	if (store->parent_dirfd >= 0)
		close(store->parent_dirfd);
	*store = (struct store)STORE_NONE;
}
