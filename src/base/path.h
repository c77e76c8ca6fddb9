/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_BASE_PATH_H
#define VMCRED_BASE_PATH_H

/*
 * The path made absolute and tidy: no ".", no "..", no "//", and links as they are written. A
 * current folder that was entered through a link keeps that name ($PWD). NULL with errno set; the
 * caller frees it.
 */
char *path_absolute(const char *path);

#endif
