/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: QEMU. Its arguments and descriptors tell it everything, so vmcred becomes QEMU, or
 * stays as its parent with a monitor (QMP) of its own.
 *
 * The command line is parsed once, with the files of -readconfig; only the options that matter here
 * are kept. Strings are passed as `-smbios type=11,path=/dev/fd/N`, unchanged with every comma,
 * quote and newline, or, for guests without an SMBIOS table, as `-fw_cfg name=…,file=/dev/fd/N`,
 * which systemd reads too, for credentials alone.
 *
 * QMP's answers are not trusted: their size and time are limited, and none is kept. Specifications:
 * qemu(1), QEMU's docs/interop/qmp-spec and docs/specs/fw_cfg.
 */
#ifndef VMCRED_VMM_QEMU_QEMU_H
#define VMCRED_VMM_QEMU_QEMU_H

#include "base/text.h"
#include "vmm/child.h"
#include "vmm/stderr_relay.h"
#include "vmm/vmm.h"

/* systemd reads credentials from files of this name first, then from SMBIOS. */
#define QEMU_FW_CFG_PREFIX "opt/io.systemd.credentials/"

/* FW_CFG_MAX_FILE_PATH without its NUL. */
#define QEMU_FW_CFG_NAME_SIZE_MAX 55

/* An option of the command line, or a section of a file of -readconfig. */
struct qemu_option {
	const char *name;            /* without dashes; "machine" also for -M */
	const char *value;           /* borrowed from argv; "" for a switch or a section */
	size_t argument;             /* the value's index in argv; 0 for a section */
	struct strings keys, values; /* its key=value pairs, in order */
	/* Of -smbios: for each pair, the file that its value names, if it was read. QEMU gets what
	 * was checked, not the file. */
	struct qemu_content {
		bool is_read;
		struct secret text; /* owned */
	} * contents;               /* owned; NULL: no files */
};

/* A file of -readconfig. QEMU gets what was read and checked, not the file. */
struct qemu_file {
	size_t argument; /* its index in argv */
	char *text;      /* owned */
};

struct qemu_arguments {
	struct qemu_option *options; /* owned */
	size_t count;
	struct qemu_file *files; /* owned */
	size_t file_count;
};

#define _cleanup_qemu_arguments_ __attribute__((cleanup(qemu_arguments_destroy)))

/* Whether the command line is a query, such as -version or -M help. */
bool qemu_is_query(char *const *argv);

int qemu_arguments_read(char *const *argv, struct qemu_arguments *arguments, struct error *err);
void qemu_arguments_destroy(struct qemu_arguments *arguments);
bool qemu_arguments_have(const struct qemu_arguments *arguments, const char *name);

/* The last value of a key, or NULL. */
const char *qemu_option_get(const struct qemu_option *option, const char *key);

/* How credentials reach the guest of a machine. */
struct qemu_machine {
	enum vmm_transport transport; /* VMM_TRANSPORT_DEFAULT: no way is known to work */
	const char *why;              /* why it is not SMBIOS, as a phrase after the type */
	const char *type;             /* borrowed; "" if the command line has none */
	bool is_confidential;
};

/* `program` names the architecture. */
struct qemu_machine qemu_machine_find(const struct qemu_arguments *arguments, const char *program);

/* Finds the vsock device. `daemon_socket` is the socket of a vhost-user daemon, or NULL. */
void qemu_vsock_find(const struct qemu_arguments *arguments, const char *daemon_socket,
		     struct vmm_vsock *vsock);

/* Adds the OEM strings of the command line to the list, and reads the files of -smbios. */
int qemu_strings_read(struct qemu_arguments *arguments, struct oem_list *list,
		      const struct report *report, struct error *err);

/* A command line and the descriptors for it. */
struct qemu_command {
	struct strings argv;
	int *fds; /* that QEMU inherits; owned, O_CLOEXEC */
	size_t fd_count;
};

#define _cleanup_qemu_command_ __attribute__((cleanup(qemu_command_destroy)))

/* Adds a descriptor, even on failure. */
int qemu_command_keep(struct qemu_command *command, int fd, struct error *err);
void qemu_command_destroy(struct qemu_command *command);

/* Adds a descriptor with `content`, and returns its path, which the caller frees, or NULL. */
char *qemu_command_add_file(struct qemu_command *command, struct span content, bool seekable,
			    struct error *err);

/* Replaces the paths of the files of -smbios that were read. */
int qemu_command_replace_files(struct qemu_command *command, const struct qemu_arguments *arguments,
			       struct error *err);

/* Adds all strings of the list except those of the command line. */
int qemu_command_add_strings(struct qemu_command *command, const struct qemu_arguments *arguments,
			     const struct vmm_launch *launch, enum vmm_transport transport,
			     struct error *err);

/* Adds a monitor on a socket without a name. `*monitor` is our end, non-blocking; the caller closes
 * it. */
int qmp_open(struct qemu_command *command, int *monitor, struct error *err);

/* Waits until QEMU answers: then its machine exists and runs. VMCRED_FAILED: it ended, a signal
 * arrived, or it took too long. */
int qmp_await(int monitor, const struct child *child, struct stderr_relay *output,
	      struct error *err);

/* Sends a command without arguments; does not wait for its answer. */
int qmp_send(int monitor, const char *command, struct error *err);

#endif
