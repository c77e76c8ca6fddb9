/* SPDX-License-Identifier: Apache-2.0 */
#include "base/harden.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Locks real pages: limits, capabilities and namespaces all matter. Returns an errno. */
static int lock_try(size_t lock_bytes)
{
	void *pages = mmap(NULL, lock_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int errnum = 0;

	if (pages == MAP_FAILED)
		return errno;
	/* mlock() fails on inaccessible pages, mlock2() with MLOCK_ONFAULT does not. */
	if (mlock2(pages, lock_bytes, MLOCK_ONFAULT) < 0)
		errnum = errno;
	munmap(pages, lock_bytes);
	return errnum;
}

int process_core_disable(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return -1;
	limit.rlim_max = limit.rlim_max > 0 ? 1 : 0;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_CORE, &limit);
}

int process_harden(size_t lock_bytes, const struct report *report, struct error *err)
{
	struct rlimit limit;
	int errnum;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "making the process not dumpable");
	if (process_core_disable() < 0)
		return error_set_errno(err, errno, "disabling core files");
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < lock_bytes) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	errnum = lock_try(lock_bytes);
	if (errnum != 0)
		report_message(report, REPORT_WARNING,
			       "cannot lock %zu KiB of memory (%s): secrets may be written to "
			       "swap: raise LimitMEMLOCK= of the unit, or `ulimit -l`",
			       lock_bytes / 1024, strerrordesc_np(errnum));
	return 0;
}
