/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations in a folder of theirs, whatever their files are made from: comparing with the current
 * one, writing a new one, switching, removing old ones. Inside activate/ only.
 */
#ifndef VMCRED_ACTIVATE_GENERATION_H
#define VMCRED_ACTIVATE_GENERATION_H

#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"

/* Search, but not list: a unit's user reaches its own file and sees no other names; sops-nix's
 * mode. */
#define GENERATION_MODE 0751

/* Folders of a generation keep the group that they get when they are made. */
#define GENERATION_GROUP_OWN ((gid_t)-1)

/* A file on its way to a generation. */
struct active_file {
	char *path;   /* owned; below the generation */
	char *target; /* owned; it is a link to that, without content and mode; NULL: it is a file
		       */
	struct secret content;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool changed;     /* differs from the current generation, or is new */
	bool has_content; /* the current generation has a file of that content there */
	bool is_there;    /* it has a file there */
};

/* Where generations are. Everything is borrowed. */
struct generation_place {
	int dirfd;             /* of their folder */
	int link_dirfd;        /* of the folder of the link to the current one */
	const char *link_name; /* the link in it */
	const char *target;    /* what the link holds before "/<N>" */
	gid_t directory_gid;   /* or GENERATION_GROUP_OWN */
};

enum generation_mount {
	GENERATION_UNMOUNTED, /* it must be on a memory file system as it is */
	GENERATION_TMPFS,     /* one that is never swapped (Linux 6.4), else ramfs */
	GENERATION_RAMFS,
};

/* Opens (and mounts, if it is not a mount of its own) the folder `name` in `parent_dirfd`; returns
 * its descriptor. */
int generation_folder_open(int parent_dirfd, const char *name, enum generation_mount mount,
			   struct error *err);

/* The number that the link points to, 0 for none or for a link to somewhere else. */
unsigned generation_current(const struct generation_place *place);

/*
 * Compares with the current generation and sets what is said of it in each file. Returns 1 if
 * anything differs, also if the current one has files that are no longer wanted, 0 if not.
 */
int generation_compare(const struct generation_place *place, struct active_file *files,
		       size_t count, struct error *err);

/* Writes a generation whole, under a temporary name, and renames it to `number`. */
int generation_write(const struct generation_place *place, unsigned number,
		     const struct active_file *files, size_t count, struct error *err);

/* Points the link to the generation in one step. A folder in its place gives way if it is on a
 * memory file system. */
int generation_switch(const struct generation_place *place, unsigned number, struct error *err);

/* Wipes and removes what a killed run left half-written, and all but the newest `keep` up to the
 * current one; with 0, none of these. */
int generation_clean(const struct generation_place *place, unsigned current, unsigned keep,
		     struct error *err);

void active_files_destroy(struct active_file *files, size_t count);

#endif
