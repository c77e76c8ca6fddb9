/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor/launch.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/child.h"
#include "vmm/cloud_hypervisor/api_client.h"
#include "vmm/cloud_hypervisor/api_socket.h"
#include "vmm/cloud_hypervisor/requests.h"
#include "vmm/supervise.h"
#include "vmm/unix_socket.h"
#include "vmm/words.h"

/* Pressing a button takes no time; a VMM that is busy with somebody else's request is not waited
 * for. */
#define CONTROL_TIMEOUT_MS 2000

int cloud_hypervisor_version(const char *program)
{
	static const char prefix[] = "cloud-hypervisor v";
	_cleanup_close_ int from = -1;
	char text[128];
	int ends[2];
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 0;
	from = ends[0];
	pid = fork();
	if (pid == 0) {
		if (dup2(ends[1], STDOUT_FILENO) >= 0)
			execlp(program, program, "--version", (char *)NULL);
		_exit(EXIT_FAILURE);
	}
	close(ends[1]);
	if (pid < 0)
		return 0;
	while (used < sizeof(text) - 1 &&
	       (got = read(from, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	(void)waitpid(pid, NULL, 0);
	if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	return (int)strtol(text + sizeof(prefix) - 1, NULL, 10);
}

/*
 * glibc's malloc gives memory back when a thread's heap has this much of it free, and on the way
 * opens a file, which Cloud Hypervisor's seccomp filter for its API thread kills it for: seen with
 * v53 for a few in a hundred requests of over 40,000 bytes. What a user has set counts.
 */
#define TRIM_VARIABLE  "MALLOC_TRIM_THRESHOLD_"
#define TRIM_THRESHOLD "67108864"

struct launching {
	const struct vmm_launch *launch;
	struct notify *notify;
	struct api_socket socket;
	struct child child;
	struct words words;
};

/*
 * A request while the VM runs. After one that was not answered the connection is of no use, so that
 * a signal, which is the next request, waits for the answer.
 */
static int control_request(struct launching *launching, const char *resource, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.fd = launching->socket.client,
		.interrupts = {launching->child.pid_fd, -1},
		.timeout_ms = CONTROL_TIMEOUT_MS,
		.resource = resource,
		.words = &launching->words,
	};
	int r;

	if (launching->socket.client < 0)
		return error_set(err, VMCRED_FAILED, "%s: the VMM did not answer before", resource);
	r = api_call(&call, &reply, err);
	if (r < 0) {
		close(fd_release(&launching->socket.client));
		return error_wrap(err, "%s", resource);
	}
	if (reply.status / 100 != 2)
		return error_set(err, VMCRED_FAILED, "%s: status %d", resource, reply.status);
	return 0;
}

static int guest_power_off(void *vmm, struct error *err)
{
	return control_request(vmm, "/api/v1/vm.power-button", err);
}

static int vmm_quit(void *vmm, struct error *err)
{
	return control_request(vmm, "/api/v1/vmm.shutdown", err);
}

/* The VM is booted: what is not needed for the rest of its life is given back. */
static int launch_supervise(struct launching *launching)
{
	const struct supervision supervision = {
		.child = &launching->child,
		.words = &launching->words,
		.notify = launching->notify,
		.chatter = -1,
		.stop_timeout_ms = launching->launch->stop_timeout_ms,
		.report = launching->launch->report,
		.power_off = guest_power_off,
		.quit = vmm_quit,
		.vmm = launching,
	};

	report_message(launching->launch->report, REPORT_INFO, "the VM is booted");
	notify_booted(launching->notify);
	malloc_trim(0);
	return supervise(&supervision);
}

/* Starts the process, with its end of the API's socket. */
static int vmm_start(struct launching *launching, const struct cloud_hypervisor_config *config,
		     struct error *err)
{
	_cleanup_command_ struct command command = {0};
	_cleanup_close_ int error_fd = -1;
	struct child_command start = {.inherited = &launching->socket.listener,
				      .inherited_count = 1};
	int r = words_create(&launching->words, launching->launch->list, launching->launch->report,
			     &error_fd, err);

	if (r == 0)
		r = cloud_hypervisor_command(config, launching->socket.listener, &command, err);
	if (r < 0 || !command.words)
		return r;
	start.program = launching->launch->program;
	start.argv = command.words;
	start.error_fd = error_fd;
	r = child_start(&launching->child, &start, err);
	if (r < 0)
		return r;
	/* The VMM's alone from here: it is closed when the VMM ends, and that is noticed. */
	close(fd_release(&launching->socket.listener));
	report_message(launching->launch->report, REPORT_INFO, "started %s as process %d",
		       start.program, (int)launching->child.pid);
	return 0;
}

/* A VMM that was killed leaves the socket of its vsock device, which would be in the next one's
 * way.
 */
static void vsock_socket_remove(const struct cloud_hypervisor_config *config)
{
	const char *path =
		json_string_value(json_object_get(json_object_get(config->vm, "vsock"), "socket"));

	if (path)
		unix_socket_remove_stale(path);
}

int cloud_hypervisor_command(const struct cloud_hypervisor_config *config, int listener,
			     struct command *command, struct error *err)
{
	int r = command_add_all(command, config->command.words, err);

	vsock_socket_remove(config);
	if (r == 0)
		r = command_add(command, "--api-socket", err);
	if (r == 0)
		r = command_add_format(command, err, "fd=%d", listener);
	if (r == 0 && setenv(TRIM_VARIABLE, TRIM_THRESHOLD, 0) < 0)
		r = error_no_memory(err);
	return r;
}

static int vm_boot(struct launching *launching, const struct cloud_hypervisor_config *config,
		   struct error *err)
{
	const struct cloud_hypervisor_api api = {
		.fd = launching->socket.client,
		.interrupts = {launching->child.pid_fd, launching->child.signal_fd},
		.words = &launching->words,
		.list = launching->launch->list,
		.report = launching->launch->report,
	};
	int r = cloud_hypervisor_vm_start(&api, config, err);

	if (r < 0)
		r = supervise_abandon(&launching->child, &launching->words,
				      launching->socket.client, err);
	else
		words_trust(&launching->words);
	oem_list_destroy(launching->launch->list);
	return r;
}

int cloud_hypervisor_boot(struct vmm_launch *launch, const struct cloud_hypervisor_config *config,
			  struct notify *notify, struct error *err)
{
	struct launching launching = {
		.launch = launch,
		.notify = notify,
		.socket = API_SOCKET_NONE,
		.child = CHILD_NONE,
		.words = WORDS_NONE,
	};
	int r = api_socket_create(config->api_socket, &launching.socket, err);

	if (r == 0)
		r = vmm_start(&launching, config, err);
	if (r == 0) {
		r = vm_boot(&launching, config, err);
		if (r == 0)
			r = launch_supervise(&launching);
		vsock_socket_remove(config);
	}
	words_destroy(&launching.words);
	api_socket_destroy(&launching.socket);
	return r;
}
