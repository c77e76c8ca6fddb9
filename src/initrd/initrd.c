/* SPDX-License-Identifier: Apache-2.0 */
#include "initrd/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

/* ramdisk_size of the kernel's boot protocol has 32 bits: Documentation/arch/x86/boot.rst. */
#define INITRD_SIZE_MAX ((off_t)UINT32_MAX)

/* The kernel takes an archive only at a multiple of four, and skips NULs before it; of an lz4
 * segment it reads four more bytes, which must be 0: init/initramfs.c, lib/decompress_unlz4.c. */
#define ALIGNMENT 4
#define GAP       4

/* Opens the initrd; `*size` becomes its size. */
static int initrd_open(const char *path, off_t *size, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "opening %s", path);
	if (!S_ISREG(status.st_mode))
		return error_set(err, VMCRED_FAILED, "%s is not a regular file", path);
	if (status.st_size > INITRD_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "%s has more than 4 GiB", path);
	*size = status.st_size;
	return fd_release(&fd);
}

static int content_copy(int to, int from, off_t size, const char *path, struct error *err)
{
	off_t offset = 0;

	while (offset < size) {
		ssize_t sent = sendfile(to, from, &offset, (size_t)(size - offset));

		if (sent == 0)
			return error_set(err, VMCRED_FAILED, "%s became shorter", path);
		if (sent < 0 && errno != EINTR)
			return error_set_errno(err, errno, "copying %s", path);
	}
	return 0;
}

/* Maps the pages from `offset` on, locked and excluded from core files, and writes the segment. */
static int segment_write(struct initrd *initrd, off_t offset, struct span segment,
			 struct error *err)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), skipped = (size_t)offset % page;
	const size_t size = skipped + segment.size;
	uint8_t *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, initrd->file,
			      offset - (off_t)skipped);

	if (pages == MAP_FAILED)
		return error_set_errno(err, errno, "mapping the memory file");
	/* As for a struct secret, a low limit for locked memory is not an error. */
	(void)mlock(pages, size);
	(void)madvise(pages, size, MADV_DONTDUMP);
	memcpy(pages + skipped, segment.data, segment.size);
	initrd->secrets = pages;
	initrd->secrets_size = size;
	return 0;
}

/* The same file, which its readers cannot change. */
static int reading_open(int fd, struct error *err)
{
	_cleanup_free_ char *path = text_format("/proc/self/fd/%d", fd);
	int reading;

	if (!path)
		return error_no_memory(err);
	reading = open(path, O_RDONLY | O_CLOEXEC);
	/* Above the standard descriptors, which a program would use instead. */
	if (reading >= 0 && reading <= STDERR_FILENO) {
		int above = fcntl(reading, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		close(reading);
		reading = above;
	}
	return reading < 0 ? error_set_errno(err, errno, "opening the memory file") : reading;
}

int initrd_create(const char *path, const struct oem_list *list, struct initrd *initrd,
		  struct error *err)
{
	_cleanup_secret_ struct secret segment = {0};
	_cleanup_close_ int from = -1;
	off_t size = 0, start;
	int r = initrd_segment_encode(list, &segment, err);

	if (r < 0)
		return r;
	from = initrd_open(path, &size, err);
	if (from < 0)
		return from;
	start = (size + GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	initrd->file = memfd_create("initrd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	initrd->size = start + (off_t)segment.size;
	if (initrd->file < 0 || fchmod(initrd->file, S_IRUSR) < 0 ||
	    ftruncate(initrd->file, initrd->size) < 0)
		return error_set_errno(err, errno, "creating a memory file for the initrd");
	r = content_copy(initrd->file, from, size, path, err);
	if (r == 0)
		r = segment_write(initrd, start, secret_span(&segment), err);
	if (r < 0)
		return r;
	if (fcntl(initrd->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return error_set_errno(err, errno, "sealing the memory file");
	initrd->fd = reading_open(initrd->file, err);
	return initrd->fd < 0 ? initrd->fd : 0;
}

int initrd_seal(struct initrd *initrd, struct error *err)
{
	munmap(initrd->secrets, initrd->secrets_size);
	initrd->secrets = NULL;
	if (fcntl(initrd->file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE) < 0)
		return error_set_errno(err, errno, "sealing the memory file");
	return 0;
}

void initrd_wipe(struct initrd *initrd)
{
	if (!initrd->secrets)
		return;
	memory_wipe(initrd->secrets, initrd->secrets_size);
	/* The VMM may keep the file open as long as it runs. A failure wastes memory only. The last
	 * page would remain without the whole of it. */
	(void)fallocate(initrd->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			initrd->size + sysconf(_SC_PAGESIZE));
}

void initrd_destroy(struct initrd *initrd)
{
	if (initrd->secrets)
		munmap(initrd->secrets, initrd->secrets_size);
	cleanup_close_fd(&initrd->file);
	cleanup_close_fd(&initrd->fd);
	*initrd = INITRD_NONE;
}
