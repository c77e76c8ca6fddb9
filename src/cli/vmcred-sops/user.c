/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

int user_become(const char *name, struct error *err)
{
	const struct passwd *user;

	errno = 0;
	/* The process has one thread here. */
	user = getpwnam(name); /* NOLINT(concurrency-mt-unsafe) */
	if (!user && errno != 0)
		return error_set_errno(err, errno, "looking up the user %s", name);
	if (!user)
		return error_set(err, VMCRED_FAILED, "there is no user %s", name);
	if (initgroups(name, user->pw_gid) < 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return error_set_errno(err, errno, "becoming the user %s", name);
	if (setenv("HOME", user->pw_dir, 1) < 0 || setenv("USER", user->pw_name, 1) < 0 ||
	    setenv("LOGNAME", user->pw_name, 1) < 0)
		return error_no_memory(err);
	return 0;
}
