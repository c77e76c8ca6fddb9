/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as text: nothing here opens a file. */
#ifndef VMCRED_BASE_PATH_H
#define VMCRED_BASE_PATH_H

/* `directory`/`name` in new memory, NULL without memory. The caller frees it. */
char *path_join(const char *directory, const char *name);

/*
 * Makes the path absolute and removes ".", ".." and "//" from it. Symbolic links are not resolved;
 * a current directory that was entered through one keeps that name ($PWD). NULL with errno set; the
 * caller frees it.
 */
char *path_absolute(const char *path);

#endif
