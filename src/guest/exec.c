/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/name.h"
#include "base/trusted/memory_mount.h"
#include "guest/guest.h"
#include "guest/store.h"
#include "guest/user.h"
#include "oem/oem.h"

/* The program's credentials, before anybody can see them. */
struct view {
	int system_dirfd;        /* owned; of the guest's credentials */
	int mount;               /* owned */
	const struct user *user; /* NULL: this one */
};

static void view_close(struct view *view)
{
	cleanup_close_fd(&view->system_dirfd);
	cleanup_close_fd(&view->mount);
}

#define _cleanup_view_ __attribute__((cleanup(view_close)))

/* Splits NAME=CREDENTIAL; `name` and `credential` point into `text`, which is changed. */
static int names_split(char *text, const char **name, const char **credential, struct error *err)
{
	char *equals = strchr(text, '=');

	if (equals)
		*equals = '\0';
	*name = text;
	*credential = equals ? equals + 1 : text;
	if (credential_name_check(*name, err) < 0)
		return -(int)err->code;
	return credential_name_check(*credential, err);
}

static int credential_copy(const struct view *view, const char *argument, struct error *err)
{
	_cleanup_free_ char *text = strdup(argument);
	_cleanup_secret_ struct secret value = {0};
	const char *name = NULL, *credential = NULL;
	int r = text ? names_split(text, &name, &credential, err) : error_no_memory(err);

	if (r < 0)
		return r;
	r = file_read_secret(view->system_dirfd, credential, oem_limit_max(OEM_LIMIT_CREDENTIAL),
			     &value, err);
	if (r == -VMCRED_MISSING) {
		error_set(err, VMCRED_MISSING, "the guest does not have the credential %s",
			  credential);
		return error_hint(err,
				  "`ls %s/%s` lists those of the guest; the program's name "
				  "of a credential comes first: NAME=CREDENTIAL",
				  GUEST_CREDENTIALS, GUEST_SYSTEM);
	}
	if (r == 0)
		r = file_write_new(view->mount, name, secret_span(&value), S_IRUSR, err);
	if (r == 0 && view->user &&
	    fchownat(view->mount, name, view->user->uid, view->user->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = error_set_errno(err, errno, "giving %s to the user %s", name, view->user->name);
	return r;
}

static int view_fill(struct view *view, char *const *names, struct error *err)
{
	view->system_dirfd = dir_open(AT_FDCWD, GUEST_CREDENTIALS "/" GUEST_SYSTEM, err);
	if (view->system_dirfd == -VMCRED_MISSING)
		return error_hint(err, "run `vmcred-guest import` first");
	if (view->system_dirfd < 0)
		return view->system_dirfd;
	view->mount = memory_mount_create("0500", false, false);
	if (view->mount < 0)
		return error_set_errno(err, errno, "creating a memory file system");
	for (; *names; names++) {
		int r = credential_copy(view, *names, err);

		if (r < 0)
			return r;
	}
	if (view->user &&
	    fchownat(view->mount, "", view->user->uid, view->user->gid, AT_EMPTY_PATH) < 0)
		return error_set_errno(err, errno, "giving the credentials to the user %s",
				       view->user->name);
	return 0;
}

/* Mounts the program's credentials over those of the guest, for this process and its children. */
static int view_enter(const struct view *view, struct error *err)
{
	_cleanup_close_ int dirfd = -1;

	/* Later mounts of the guest still appear here. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return error_set_errno(err, errno, "creating a mount namespace");
	dirfd = dir_open(AT_FDCWD, GUEST_CREDENTIALS, err);
	if (dirfd < 0)
		return dirfd;
	if (memory_mount_attach(view->mount, dirfd) < 0 ||
	    store_mount_set(GUEST_CREDENTIALS, false) < 0)
		return error_set_errno(err, errno, "mounting the credentials on %s",
				       GUEST_CREDENTIALS);
	return 0;
}

int guest_exec(const struct guest_exec *exec, struct error *err)
{
	_cleanup_user_ struct user user = {0};
	_cleanup_view_ struct view view = {-1, -1, exec->user ? &user : NULL};
	int r = exec->user ? user_find(exec->user, &user, err) : 0;

	if (r == 0)
		r = view_fill(&view, exec->names, err);
	if (r == 0)
		r = view_enter(&view, err);
	if (r == 0 && exec->user)
		r = user_become(&user, err);
	if (r < 0)
		return r;
	if (setenv("CREDENTIALS_DIRECTORY", GUEST_CREDENTIALS, 1) < 0)
		return error_no_memory(err);
	execvp(exec->argv[0], exec->argv);
	return error_set_errno(err, errno, "executing %s", exec->argv[0]);
}
