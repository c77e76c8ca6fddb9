/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/cloud_hypervisor/api_socket.h"
#include "vmm/cloud_hypervisor/launch.h"
#include "vmm/cloud_hypervisor/requests.h"
#include "vmm/handover.h"

/* A VMM that dies closes its socket first. */
#define END_TIMEOUT_MS 1000

/* What the helper is left by its parent. */
struct inheritance {
	struct api_socket socket;
	int strings; /* all strings of the list, one after the other */
	int vmm;     /* pidfd of the parent */
	int exec; /* its end is read when the parent has become the VMM; a byte, when it has not */
};

/* Secret memory is wiped in a child (base/secret.h), so that the bytes come through a descriptor.
 */
static int strings_concatenate(const struct oem_list *list, struct error *err)
{
	_cleanup_secret_ struct secret all = {0};
	int r = 0;

	for (size_t i = 0; i < list->count && r == 0; i++)
		r = secret_append(&all, secret_span(&list->strings[i].text), err);
	return r < 0 ? r : handover_create(secret_span(&all), err);
}

static int strings_restore(struct oem_list *list, int from, struct error *err)
{
	_cleanup_secret_ struct secret all = {0};
	size_t at = 0;
	int r = secret_read(&all, from, oem_limit_max(OEM_LIMIT_API_BODY_LARGE), "the OEM strings",
			    err);

	for (size_t i = 0; i < list->count && r == 0; i++) {
		struct secret *text = &list->strings[i].text;
		size_t size = text->size;

		if (size > all.size - at)
			return error_set(err, VMCRED_FAILED, "the OEM strings are cut");
		secret_destroy(text);
		r = secret_copy(text, span_of(all.data + at, size), err);
		at += size;
	}
	return r;
}

/* Whether the parent has become the VMM; else it says itself what is wrong. */
static bool exec_await(const struct inheritance *inheritance)
{
	char byte;
	ssize_t got;

	do {
		got = read(inheritance->exec, &byte, 1);
	} while (got < 0 && errno == EINTR);
	return got == 0;
}

/* Ends a VMM that has no VM: by a signal that it cannot answer with a success. */
static void vmm_kill(const struct inheritance *inheritance)
{
	struct pollfd ended = {.fd = inheritance->vmm, .events = POLLIN};
	struct pollfd closed = {.fd = inheritance->socket.client, .events = POLLRDHUP};

	/* What ends by itself has an exit status that tells more. */
	if (poll(&closed, 1, 0) > 0)
		(void)poll(&ended, 1, END_TIMEOUT_MS);
	pidfd_send_signal(inheritance->vmm, SIGKILL, NULL, 0);
}

/* In the helper. */
static int vm_boot(const struct vmm_launch *launch, const struct cloud_hypervisor_config *config,
		   struct inheritance *inheritance, struct error *err)
{
	const struct cloud_hypervisor_api api = {
		.fd = inheritance->socket.client,
		.interrupts = {inheritance->vmm, -1},
		.list = launch->list,
		.report = launch->report,
	};
	int r = strings_restore(launch->list, inheritance->strings, err);

	if (!exec_await(inheritance))
		_exit(EXIT_FAILURE);
	if (r == 0)
		r = cloud_hypervisor_vm_start(&api, config, err);
	oem_list_destroy(launch->list);
	if (r < 0)
		vmm_kill(inheritance);
	else
		report_message(launch->report, REPORT_INFO, "the VM is booted");
	return r;
}

static void inheritance_destroy(struct inheritance *inheritance)
{
	cleanup_close_fd(&inheritance->strings);
	cleanup_close_fd(&inheritance->vmm);
	cleanup_close_fd(&inheritance->exec);
}

/* In the parent. Returns where it could not become the VMM. */
static int vmm_become(const struct vmm_launch *launch, const struct command *command,
		      struct api_socket *socket, int exec_report, struct error *err)
{
	int errnum;

	oem_list_destroy(launch->list);
	if (fcntl(socket->listener, F_SETFD, 0) == 0)
		execvp(launch->program, command->words);
	errnum = errno;
	if (write(exec_report, "", 1) < 0)
		return error_set_errno(err, errno, "telling the helper");
	return command_exec_error(launch->program, errnum, err);
}

/* Forks the helper, with all that it needs; `*exec_report` is the parent's. */
static pid_t helper_fork(const struct vmm_launch *launch, struct inheritance *inheritance,
			 int *exec_report, struct error *err)
{
	int ends[2];
	pid_t pid;

	inheritance->strings = strings_concatenate(launch->list, err);
	if (inheritance->strings < 0)
		return inheritance->strings;
	inheritance->vmm = pidfd_open(getpid(), 0);
	if (inheritance->vmm < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "starting a process");
	inheritance->exec = ends[0];
	/* Cloud Hypervisor ignores SIGCHLD, which takes the helper's remains away. */
	pid = fork();
	if (pid == 0)
		close(ends[1]);
	else
		*exec_report = ends[1];
	return pid < 0 ? error_set_errno(err, errno, "starting a process") : pid;
}

int cloud_hypervisor_exec(struct vmm_launch *launch, const struct cloud_hypervisor_config *config,
			  const struct notify *notify, struct error *err)
{
	_cleanup_command_ struct command command = {0};
	_cleanup_close_ int exec_report = -1;
	struct inheritance inheritance = {
		.socket = API_SOCKET_NONE, .strings = -1, .vmm = -1, .exec = -1};
	pid_t helper = -1;
	int r = api_socket_create(config->api_socket, &inheritance.socket, err);

	if (r == 0)
		r = cloud_hypervisor_command(config, inheritance.socket.listener, &command, err);
	if (r == 0) {
		helper = helper_fork(launch, &inheritance, &exec_report, err);
		r = helper < 0 ? (int)helper : 0;
	}
	if (helper == 0) {
		close(fd_release(&inheritance.socket.listener));
		r = vm_boot(launch, config, &inheritance, err);
		/* With a VM it is the VMM's. */
		if (r == 0) {
			free(inheritance.socket.path);
			inheritance.socket.path = NULL;
		}
	} else if (r == 0) {
		notify_send(notify, "READY=1");
		r = vmm_become(launch, &command, &inheritance.socket, exec_report, err);
	}
	api_socket_destroy(&inheritance.socket);
	inheritance_destroy(&inheritance);
	return r;
}
