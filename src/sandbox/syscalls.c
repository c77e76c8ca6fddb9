/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system calls of this architecture are not checked yet: which are left?"
#endif

/* The last system call of Linux 6.1, set_mempolicy_home_node(2). Nobody has examined newer ones;
 * nor can a script use the x32 ones, whose numbers are higher. */
#define NUMBER_MAX 450

#define NAMESPACES                                                                    \
	(CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | \
	 CLONE_NEWUSER | CLONE_NEWUTS)

#define REFUSE(errnum) (SECCOMP_RET_ERRNO | (errnum))

static const int refused[] = {
	/* The user's and session's keyrings belong to no namespace. */
	SYS_add_key,
	SYS_keyctl,
	SYS_request_key,
	/* Other processes' memory and descriptors. */
	SYS_kcmp,
	SYS_pidfd_getfd,
	SYS_process_madvise,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_ptrace,
	/* New namespaces, in which a process has capabilities. clone3() has its flags in memory. */
	SYS_clone3,
	SYS_setns,
	SYS_unshare,
	/* Large interfaces of the kernel, with many faults in the past. */
	SYS_bpf,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_io_uring_setup,
	SYS_perf_event_open,
	SYS_userfaultfd,
#ifdef SYS_modify_ldt
	SYS_modify_ldt,
#endif
	/* What happens outside: the kernel's log, accesses to files. */
	SYS_fanotify_init,
	SYS_syslog,
};

/* Not AF_VSOCK, which reaches the hypervisor, and none of those that programs rarely use. */
static const int families[] = {AF_UNIX, AF_INET, AF_INET6};

static void add(struct syscalls_filter *filter, unsigned int code, unsigned int k, unsigned int yes,
		unsigned int no)
{
	filter->instructions[filter->count++] = (struct sock_filter){
		.code = (unsigned short)code,
		.jt = (unsigned char)yes,
		.jf = (unsigned char)no,
		.k = k,
	};
}

static void load(struct syscalls_filter *filter, size_t offset)
{
	add(filter, BPF_LD | BPF_W | BPF_ABS, (unsigned int)offset, 0, 0);
}

/* The lower half of an argument; both architectures are little-endian. */
static void load_argument(struct syscalls_filter *filter, size_t number)
{
	load(filter, offsetof(struct seccomp_data, args) + number * sizeof(uint64_t));
}

static void end(struct syscalls_filter *filter, unsigned int result)
{
	add(filter, BPF_RET | BPF_K, result, 0, 0);
}

/* Ends with `result` if the loaded word and `k` compare so. */
static void end_if(struct syscalls_filter *filter, unsigned int comparison, unsigned int k,
		   unsigned int result)
{
	add(filter, BPF_JMP | comparison | BPF_K, k, 0, 1);
	end(filter, result);
}

static void socket_check(struct syscalls_filter *filter)
{
	load_argument(filter, 0);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		end_if(filter, BPF_JEQ, (unsigned int)families[i], SECCOMP_RET_ALLOW);
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0);
	end(filter, REFUSE(EAFNOSUPPORT));
	/* getaddrinfo(3) and if_nameindex(3) ask NETLINK_ROUTE, which is 0. */
	load_argument(filter, 2);
	end_if(filter, BPF_JEQ, 0, SECCOMP_RET_ALLOW);
	end(filter, REFUSE(EPROTONOSUPPORT));
}

void syscalls_filter_make(struct syscalls_filter *filter)
{
	unsigned short jump;

	load(filter, offsetof(struct seccomp_data, arch));
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	end(filter, SECCOMP_RET_KILL_PROCESS);
	load(filter, offsetof(struct seccomp_data, nr));
	end_if(filter, BPF_JGT, NUMBER_MAX, REFUSE(ENOSYS));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		end_if(filter, BPF_JEQ, (unsigned int)refused[i], REFUSE(ENOSYS));
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 1, 0);
	jump = filter->count;
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 0);
	socket_check(filter);
	filter->instructions[jump].jf = (unsigned char)(filter->count - jump - 1);
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0);
	end(filter, SECCOMP_RET_ALLOW);
	load_argument(filter, 0);
	end_if(filter, BPF_JSET, NAMESPACES, REFUSE(EPERM));
	end(filter, SECCOMP_RET_ALLOW);
}
