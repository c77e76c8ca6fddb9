/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a sandboxed script, as a seccomp filter for both implementations of the
 * sandbox. It refuses what namespaces do not separate, and what could create new ones; what needs a
 * capability is refused anyway. A refused call fails like one that the kernel does not have, so
 * that programs use another way. A program for another architecture is killed.
 */
#ifndef VMCRED_SANDBOX_SYSCALLS_H
#define VMCRED_SANDBOX_SYSCALLS_H

#include <linux/filter.h>

#define SYSCALLS_INSTRUCTIONS_MAX 128

struct syscalls_filter {
	struct sock_filter instructions[SYSCALLS_INSTRUCTIONS_MAX];
	unsigned short count;
};

/* `*filter` is {0}. */
void syscalls_filter_make(struct syscalls_filter *filter);

#endif
