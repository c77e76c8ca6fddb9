/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cloud_hypervisor_launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/api_client.h"
#include "vmm/api_socket.h"
#include "vmm/child.h"

/* Starting and reading a configuration take milliseconds; touching all of a large guest's memory
 * takes minutes. */
#define CREATE_TIMEOUT_MS (60 * 1000)
#define BOOT_TIMEOUT_MS   (10 * 60 * 1000)

/* A VMM that dies closes its socket first: what is waited for its end, before it is taken to be
 * alive. */
#define END_TIMEOUT_MS 100

/* A value shorter than this is found in any text. */
#define QUOTED_SIZE_MIN 4

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

/* Whether an answer repeats what is not to be shown. */
static bool reply_quotes(const struct secret *body, const struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct span text = secret_span(&list->strings[i].text);
		const uint8_t *equals = memchr(text.data, '=', text.size);

		if (equals && list->strings[i].name)
			text = span_of(equals + 1, text.size - (size_t)(equals + 1 - text.data));
		if (text.size >= QUOTED_SIZE_MIN &&
		    memmem(body->data, body->size, text.data, text.size))
			return true;
	}
	return false;
}

/* An answer that is an error: a JSON list of messages, from the outermost to the cause. */
static int reply_reject(const struct api_reply *reply, const struct oem_list *list,
			struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_json_ json_t *messages = NULL;
	size_t count;

	error_set(err, VMCRED_FAILED, "its API refused it with status %d", reply->status);
	if (reply_quotes(&reply->body, list))
		return error_hint(err, "its answer repeats an OEM string and is not shown");
	if (json_parse(secret_span(&reply->body), "the answer", &messages, &ignored) < 0)
		return error_hint(err, "it gave no reason");
	/* The cause first: error_wrap() puts each outer message in front. */
	count = json_array_size(messages);
	for (size_t i = count; i > 0; i--) {
		const char *text = json_string_value(json_array_get(messages, i - 1));

		if (text && i == count)
			error_set(err, VMCRED_FAILED, "%s", text);
		else if (text)
			error_wrap(err, "%s", text);
	}
	return -(int)err->code;
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

/* One request; anything but success is an error. */
static int request(struct launching *launching, const char *resource, struct span body,
		   int timeout_ms, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.fd = launching->socket.client,
		.interrupts = {launching->child.pid_fd, launching->child.signal_fd},
		.timeout_ms = timeout_ms,
		.resource = resource,
		.body = body,
	};
	int r = api_call(&call, &reply, err);

	if (r == 0 && reply.status / 100 != 2)
		r = reply_reject(&reply, launching->launch->list, err);
	if (r == 0)
		report_message(launching->launch->report, REPORT_DEBUG, "%s: status %d", resource,
			       reply.status);
	return r;
}

static int vm_create_and_boot(struct launching *launching,
			      const struct cloud_hypervisor_config *config, struct error *err)
{
	_cleanup_secret_ struct secret body = {0};
	int r = cloud_hypervisor_config_body(config, launching->launch->list, &body, err);

	if (r == 0)
		r = request(launching, "/api/v1/vm.create", secret_span(&body), CREATE_TIMEOUT_MS,
			    err);
	secret_destroy(&body);
	if (r < 0)
		return error_wrap(err, "creating the VM");
	r = request(launching, "/api/v1/vm.boot", span_of(NULL, 0), BOOT_TIMEOUT_MS, err);
	return r < 0 ? error_wrap(err, "booting the VM") : 0;
}

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
	r = vm_create_and_boot(&launching, config, err);
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
