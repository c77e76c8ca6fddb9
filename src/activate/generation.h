/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations of files in a directory: compared with the current one, written, switched to,
 * removed. They do not depend on where the contents come from. Inside activate/ only.
 */
#ifndef VMCRED_ACTIVATE_GENERATION_H
#define VMCRED_ACTIVATE_GENERATION_H

#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"

/* Search, but not list: a unit's user can open its own files and cannot see other names. As in
 * sops-nix. */
#define GENERATION_MODE 0751

/* Directories keep the group with which they are created. */
#define GENERATION_GROUP_OWN ((gid_t)-1)

struct generation_file {
	char *path;   /* owned; below the generation */
	char *target; /* owned; of a symbolic link, which has no content and mode; NULL: a file */
	struct secret content;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	/* Set by generation_compare(): */
	bool changed;     /* differs from the current generation, or is new */
	bool has_content; /* the current generation has this file with the same content */
	bool exists;      /* the current generation has this file */
};

/* Starts as {0}. */
struct generation_files {
	struct generation_file *items; /* owned */
	size_t count;
};

#define _cleanup_generation_files_ __attribute__((cleanup(generation_files_destroy)))

/*
 * Adds a file, of this process's user until the caller changes that. Takes `path`, which may be
 * NULL without memory. Returns NULL on failure. The result is valid until the next call.
 */
struct generation_file *generation_files_add(struct generation_files *files, char *path,
					     struct error *err);
void generation_files_destroy(struct generation_files *files);

/* The user and group of a name. VMCRED_MISSING: it does not exist. */
int owner_user_find(const char *name, uid_t *uid, struct error *err);
int owner_group_find(const char *name, gid_t *gid, struct error *err);

/* Where generations are. Everything is borrowed. */
struct generation_place {
	int dirfd;             /* the directory of the generations */
	int link_dirfd;        /* the directory of the link to the current one */
	const char *link_name; /* the link in it */
	const char *target;    /* the link's target without "/<N>" */
	gid_t directory_gid;   /* or GENERATION_GROUP_OWN */
};

enum generation_mount {
	GENERATION_UNMOUNTED, /* the directory must be on a memory file system already */
	GENERATION_TMPFS,     /* without swap (Linux 6.4), else ramfs */
	GENERATION_RAMFS,
};

/* Opens the directory `name` in `parent_dirfd`, creating and mounting it as needed. Returns its
 * descriptor. */
int generation_directory_open(int parent_dirfd, const char *name, enum generation_mount mount,
			      struct error *err);

/* The number of the link's target; 0 if there is none or it is elsewhere. */
unsigned generation_current(const struct generation_place *place);

/* Compares the files with the current generation. Returns 1 if they differ or the generation has
 * other files, else 0. */
int generation_compare(const struct generation_place *place, struct generation_files *files,
		       struct error *err);

/* Writes a complete generation under a temporary name, and renames it to `number`. */
int generation_write(const struct generation_place *place, unsigned number,
		     const struct generation_files *files, struct error *err);

/* Points the link to the generation, atomically. A directory in its place is replaced if it is on a
 * memory file system. */
int generation_switch(const struct generation_place *place, unsigned number, struct error *err);

/* Wipes and removes incomplete generations of killed runs, and all but the newest `keep` up to the
 * current one; 0 keeps all of them. */
int generation_clean(const struct generation_place *place, unsigned current, unsigned keep,
		     struct error *err);

#endif
