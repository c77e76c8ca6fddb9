/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor_launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vmm/api_socket.h"
#include "vmm/child.h"
#include "vmm/cloud_hypervisor_requests.h"

/* A VMM that dies closes its socket first: what is waited for its end, before it is taken to be
 * alive. */
#define END_TIMEOUT_MS 100

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
	struct api_socket socket;
	struct child child;
};

/*
 * The VMM is not left half started. Returns what to report: a signal that was sent to us is no
 * error, and a VMM that ended by itself has said why on stderr.
 */
static int launch_abandon(struct launching *launching, struct error *err)
{
	bool ended = child_end_await(&launching->child, END_TIMEOUT_MS);
	int number = child_signal(&launching->child);
	int code = child_stop(&launching->child);

	if (number != 0) {
		error_clear(err);
		return 128 + number;
	}
	if (!ended)
		return -(int)err->code;
	error_set(err, VMCRED_FAILED, "it ended with exit code %d before its VM was booted", code);
	return error_hint(err, "its own message is above");
}

int cloud_hypervisor_boot(struct vmm_launch *launch, const struct cloud_hypervisor_config *config,
			  struct error *err)
{
	_cleanup_command_ struct command command = {0};
	struct launching launching = {.launch = launch, .socket = API_SOCKET_NONE};
	struct cloud_hypervisor_api api = {.list = launch->list, .report = launch->report};
	int r = api_socket_create(config->api_socket, &launching.socket, err);

	if (r == 0)
		r = command_add_all(&command, config->command.words, err);
	if (r == 0)
		r = command_add(&command, "--api-socket", err);
	if (r == 0)
		r = command_add_format(&command, err, "fd=%d", launching.socket.listener);
	if (r == 0 && setenv(TRIM_VARIABLE, TRIM_THRESHOLD, 0) < 0)
		r = error_no_memory(err);
	if (r == 0)
		r = child_start(&launching.child, command.words, launching.socket.listener, err);
	if (r < 0) {
		api_socket_destroy(&launching.socket);
		return r;
	}
	report_message(launch->report, REPORT_INFO, "started %s as process %d", launch->argv[0],
		       (int)launching.child.pid);
	/* The VMM's alone from here: it is closed when the VMM ends, and that is noticed. */
	cleanup_close_fd(&launching.socket.listener);
	launching.socket.listener = -1;
	api.fd = launching.socket.client;
	api.interrupts[0] = launching.child.pid_fd;
	api.interrupts[1] = launching.child.signal_fd;
	r = cloud_hypervisor_vm_start(&api, config, err);
	if (r < 0)
		r = launch_abandon(&launching, err);
	oem_list_destroy(launch->list);
	if (r == 0) {
		cleanup_close_fd(&launching.socket.client);
		launching.socket.client = -1;
		report_message(launch->report, REPORT_INFO, "the VM is booted");
		r = child_wait(&launching.child);
	}
	api_socket_destroy(&launching.socket);
	return r;
}
