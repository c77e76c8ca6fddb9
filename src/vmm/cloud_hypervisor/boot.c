/* SPDX-License-Identifier: Apache-2.0 */
/* A Cloud Hypervisor process that gets its VM through its API. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "initrd/initrd.h"
#include "vmm/api.h"
#include "vmm/cloud_hypervisor/api_socket.h"
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"
#include "vmm/cloud_hypervisor/values.h"
#include "vmm/driver.h"
#include "vmm/supervise.h"
#include "vmm/unix_socket.h"

/* Starting and reading a configuration take milliseconds; allocating all memory of a large guest
 * takes minutes. */
#define CREATE_TIMEOUT_MS (60 * 1000)
#define BOOT_TIMEOUT_MS   (10 * 60 * 1000)

/* Pressing a button takes no time, unless the VMM is busy with another client's request. */
#define CONTROL_TIMEOUT_MS 2000

/*
 * glibc's malloc returns memory when a thread's heap has this much free, and opens a file to do so,
 * for which Cloud Hypervisor's seccomp filter for its API thread kills it: seen with v53 for a few
 * in a hundred requests of over 40,000 bytes. The user's own setting wins.
 */
#define TRIM_VARIABLE  "MALLOC_TRIM_THRESHOLD_"
#define TRIM_THRESHOLD "67108864"

struct vmm {
	struct vmm_launch *launch;
	struct cloud_hypervisor_config *config;
	struct api_socket socket;
	struct initrd initrd; /* with the credentials */
	struct child child;
	struct stderr_relay output;
};

static const json_t *interface_fds(const json_t *interface)
{
	const json_t *fds = json_object_get(interface, "fds");

	return json_is_null(fds) ? NULL : fds;
}

size_t cloud_hypervisor_interfaces_at_once(const struct cloud_hypervisor_config *config)
{
	const json_t *net = json_object_get(config->vm, "net");
	size_t i = 0;

	while (i < json_array_size(net) && !interface_fds(json_array_get(net, i)))
		i++;
	return i;
}

/* Our own descriptors are all O_CLOEXEC, so none of them passes as an inherited one. */
static int descriptor_claim(const json_t *value, struct error *err)
{
	json_int_t fd = json_integer_value(value);
	int flags = fd > STDERR_FILENO && fd <= INT_MAX ? fcntl((int)fd, F_GETFD) : -1;

	if (!json_is_integer(value))
		return error_set(err, VMCRED_USAGE, "--net: fds must be a list of descriptors");
	if (flags >= 0 && !(flags & FD_CLOEXEC) && fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC) == 0)
		return 0;
	error_set(err, VMCRED_USAGE, "--net: descriptor %lld is %s", (long long)fd,
		  fd >= 0 && fd <= STDERR_FILENO ? "a standard one"
		  : flags < 0                    ? "not open"
						 : "not open or given twice");
	return error_hint(err, "descriptors of interfaces must be open when vmcred starts");
}

/* Checks the inherited descriptors of interfaces, and keeps the VMM from inheriting them too. */
static int descriptors_claim(const struct cloud_hypervisor_config *config, struct error *err)
{
	const json_t *net = json_object_get(config->vm, "net");
	int r = 0;

	for (size_t i = 0; i < json_array_size(net); i++) {
		const json_t *fds = interface_fds(json_array_get(net, i));

		if (fds && !json_is_array(fds))
			r = error_set(err, VMCRED_USAGE,
				      "--net: fds must be a list of descriptors");
		else if (json_array_size(fds) > FD_SEND_MAX)
			r = error_set(err, VMCRED_USAGE,
				      "--net: %zu descriptors; the maximum is %d",
				      json_array_size(fds), FD_SEND_MAX);
		for (size_t j = 0; j < json_array_size(fds) && r == 0; j++)
			r = descriptor_claim(json_array_get(fds, j), err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A VMM that was killed leaves the socket of its vsock device, which would block the next one. */
static void vsock_socket_remove(const struct vmm *vmm)
{
	if (vmm->launch->vsock.socket)
		unix_socket_remove_stale(vmm->launch->vsock.socket);
}

/* Replaces the initrd by a memory file. The VMM opens it again when the guest restarts. */
static int initrd_replace(struct vmm *vmm, struct error *err)
{
	struct cloud_hypervisor_config *config = vmm->config;
	_cleanup_free_ char *path = NULL;
	const char *initrd =
		json_string_value(option_member_get(config->vm, CLOUD_HYPERVISOR_INITRD));
	int r;

	if (!config->uses_initrd || !vmm_has_strings(vmm->launch))
		return 0;
	r = initrd_create(initrd, &vmm->launch->list, &vmm->initrd, err);
	if (r == 0)
		r = initrd_seal(&vmm->initrd, err);
	if (r < 0)
		return error_wrap(err, "adding the credentials to the initrd");
	path = text_format("/dev/fd/%d", vmm->initrd.fd);
	if (!path)
		return error_no_memory(err);
	r = option_member_put(config->vm, CLOUD_HYPERVISOR_INITRD, json_string(path), err);
	secret_clear(&config->body);
	return r < 0 ? r
		     : cloud_hypervisor_config_body(config, &vmm->launch->list, &config->body, err);
}

/* Starts the process with its end of the API's socket, and no VM. */
static int vmm_start(struct vmm *vmm, struct error *err)
{
	_cleanup_strings_ struct strings argv = {0};
	const int inherited[] = {vmm->socket.listener, vmm->initrd.fd};
	struct child_command start = {.inherited = inherited,
				      .inherited_count = vmm->initrd.fd < 0 ? 1 : 2};
	int r = strings_add_all(&argv, vmm->config->argv.items, err);

	if (r == 0)
		r = strings_add(&argv, "--api-socket", err);
	if (r == 0)
		r = strings_add_format(&argv, err, "fd=%d", vmm->socket.listener);
	if (r == 0 && setenv(TRIM_VARIABLE, TRIM_THRESHOLD, 0) < 0)
		r = error_no_memory(err);
	if (r < 0)
		return r;
	vsock_socket_remove(vmm);
	start.argv = argv.items;
	r = vmm_child_start(vmm->launch, &start, &vmm->child, &vmm->output, err);
	/* Only the VMM has it now, so that it is closed when the VMM ends. */
	if (r == 0)
		close(fd_release(&vmm->socket.listener));
	return r;
}

/* The outermost messages, and bytes of each, that an error shows. */
#define MESSAGES_MAX     16
#define MESSAGE_SIZE_MAX 1000

/* An answer that is an error: a JSON list of messages, from the outermost to the cause. */
static int reply_reject(const struct api_reply *reply, const struct vmm_launch *launch,
			struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_json_ json_t *messages = NULL;
	size_t count;

	error_set(err, VMCRED_FAILED, "the API refused it with status %d", reply->status);
	if (oem_list_is_quoted(vmm_hidden_list(launch), secret_span(&reply->body)))
		return error_hint(err,
				  "its answer is hidden because it repeats a credential; %s "
				  "shows it",
				  vmm_option(launch, "--expose=log", "expose: log"));
	if (json_parse(secret_span(&reply->body), "the answer", &messages, &ignored) < 0)
		return error_hint(err, "it gave no reason");
	count = json_array_size(messages) < MESSAGES_MAX ? json_array_size(messages) : MESSAGES_MAX;
	/* The cause first: error_wrap() puts each outer message before it. */
	for (size_t i = count; i > 0; i--) {
		const char *text = json_string_value(json_array_get(messages, i - 1));
		/* More lines are a backtrace. */
		int size = text ? (int)strcspn(text, "\n") : 0;

		size = size < MESSAGE_SIZE_MAX ? size : MESSAGE_SIZE_MAX;
		if (text && i == count)
			error_set(err, VMCRED_FAILED, "%.*s", size, text);
		else if (text)
			error_wrap(err, "%.*s", size, text);
	}
	return -(int)err->code;
}

/* Sends a request; any status but success is an error. `answer` may be NULL. */
static int request(struct vmm *vmm, struct api_call call, struct secret *answer, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	int r;

	call.fd = vmm->socket.client;
	call.interrupts[0] = vmm->child.pid_fd;
	call.interrupts[1] = vmm->child.signal_fd;
	call.output = &vmm->output;
	call.timeout_ms = call.timeout_ms > 0 ? call.timeout_ms : CREATE_TIMEOUT_MS;
	r = api_call(&call, &reply, err);
	if (r == 0 && reply.status / 100 != 2)
		r = reply_reject(&reply, vmm->launch, err);
	if (r < 0)
		return r;
	report_message(vmm->launch->report, REPORT_DEBUG, "%s: status %d", call.resource,
		       reply.status);
	if (answer)
		secret_move(answer, &reply.body);
	return 0;
}

/* Whether the running program supports the keys that not every version does: it would ignore
 * unknown ones, and start another VM than the command line describes. */
static int needs_check(struct vmm *vmm, struct error *err)
{
	const struct api_call ping = {.method = "GET", .resource = "/api/v1/vmm.ping"};
	_cleanup_secret_ struct secret answer = {0};
	int r;

	if (vmm->config->need_count == 0)
		return 0;
	r = request(vmm, ping, &answer, err);
	if (r < 0)
		return error_wrap(err, "asking for its version");
	return cloud_hypervisor_needs_check(vmm->config, secret_span(&answer), err);
}

/*
 * Whether the VMM knows all merged members, which it would ignore otherwise. It is asked before it
 * gets the OEM strings, because its answer repeats the configuration.
 */
static int merge_check(struct vmm *vmm, struct error *err)
{
	const struct api_call info = {.method = "GET", .resource = "/api/v1/vm.info"};
	const struct api_call drop = {.resource = "/api/v1/vm.delete"};
	struct api_call create = {.resource = "/api/v1/vm.create"};
	_cleanup_secret_ struct secret body = {0};
	_cleanup_secret_ struct secret answer = {0};
	int r;

	if (!vmm->config->merged)
		return 0;
	r = cloud_hypervisor_config_body(vmm->config, &(struct oem_list){0}, &body, err);
	create.body = secret_span(&body);
	if (r == 0)
		r = request(vmm, create, NULL, err);
	if (r == 0)
		r = request(vmm, info, &answer, err);
	if (r == 0)
		r = cloud_hypervisor_merge_check(vmm->config, secret_span(&answer), err);
	if (r == 0)
		r = request(vmm, drop, NULL, err);
	return r < 0 ? error_wrap(err, "merging the VM's configuration") : 0;
}

/* Adds an interface with its descriptors. */
static int interface_add(struct vmm *vmm, const json_t *interface, struct error *err)
{
	const json_t *descriptors = interface_fds(interface);
	_cleanup_json_ json_t *plain = json_copy((json_t *)interface);
	_cleanup_secret_ struct secret body = {0};
	int fds[FD_SEND_MAX];
	struct api_call call = {.resource = "/api/v1/vm.add-net",
				.fds = fds,
				.fd_count = json_array_size(descriptors)};
	int r;

	if (!plain)
		return error_no_memory(err);
	for (size_t i = 0; i < call.fd_count; i++)
		fds[i] = (int)json_integer_value(json_array_get(descriptors, i));
	json_object_del(plain, "fds");
	r = json_append_value(&body, plain, JSON_COMPACT, err);
	call.body = secret_span(&body);
	return r < 0 ? r : request(vmm, call, NULL, err);
}

/* Creates the VM with its interfaces, and boots it. */
static int vm_boot(struct vmm *vmm, struct error *err)
{
	const struct api_call create = {.resource = "/api/v1/vm.create",
					.body = secret_span(&vmm->config->body)};
	const struct api_call boot = {.resource = "/api/v1/vm.boot", .timeout_ms = BOOT_TIMEOUT_MS};
	const json_t *net = json_object_get(vmm->config->vm, "net");
	int r = needs_check(vmm, err);

	if (r == 0)
		r = merge_check(vmm, err);
	if (r == 0 && request(vmm, create, NULL, err) < 0)
		r = error_wrap(err, "creating the VM");
	for (size_t i = cloud_hypervisor_interfaces_at_once(vmm->config);
	     i < json_array_size(net) && r == 0; i++) {
		r = interface_add(vmm, json_array_get(net, i), err);
		if (r < 0)
			error_wrap(err, "adding interface %zu", i + 1);
	}
	/* The VMM has its own copies now. */
	for (size_t i = 0; i < json_array_size(net); i++) {
		const json_t *fds = interface_fds(json_array_get(net, i));

		for (size_t j = 0; j < json_array_size(fds); j++)
			close((int)json_integer_value(json_array_get(fds, j)));
	}
	if (r == 0 && request(vmm, boot, NULL, err) < 0)
		r = error_wrap(err, "booting the VM");
	return r;
}

/*
 * A request while the VM runs. After a request without an answer the connection is useless: a
 * second signal would read the first one's answer.
 */
static int control_request(struct vmm *vmm, const char *resource, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.fd = vmm->socket.client,
		.interrupts = {vmm->child.pid_fd, -1},
		.timeout_ms = CONTROL_TIMEOUT_MS,
		.resource = resource,
		.output = &vmm->output,
	};
	int r;

	if (vmm->socket.client < 0)
		return error_set(err, VMCRED_FAILED, "%s: the API stopped answering", resource);
	r = api_call(&call, &reply, err);
	if (r < 0) {
		close(fd_release(&vmm->socket.client));
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

int cloud_hypervisor_boot(struct vmm_launch *launch, struct cloud_hypervisor_config *config,
			  struct notify *notify, struct error *err)
{
	struct vmm vmm = {
		.launch = launch,
		.config = config,
		.socket = API_SOCKET_NONE,
		.initrd = INITRD_NONE,
		.child = CHILD_NONE,
		.output = STDERR_RELAY_NONE,
	};
	int r = descriptors_claim(config, err);

	if (r == 0)
		r = api_socket_create(config->api_socket, &vmm.socket, err);
	if (r == 0)
		r = initrd_replace(&vmm, err);
	if (r == 0)
		r = vmm_start(&vmm, err);
	/* Only the VMM keeps it. */
	initrd_destroy(&vmm.initrd);
	if (r == 0) {
		r = vm_boot(&vmm, err);
		if (r < 0)
			r = supervise_abandon(&vmm.child, &vmm.output, vmm.socket.client, err);
		else
			stderr_relay_trust(&vmm.output);
		secret_destroy(&config->body);
		oem_list_destroy(&launch->list);
		if (r == 0)
			r = supervise(&(struct supervision){
				.child = &vmm.child,
				.output = &vmm.output,
				.notify = notify,
				.discard = -1,
				.stop_timeout_ms = launch->stop_timeout_ms,
				.report = launch->report,
				.power_off = guest_power_off,
				.quit = vmm_quit,
				.vmm = &vmm,
			});
		vsock_socket_remove(&vmm);
	}
	stderr_relay_destroy(&vmm.output);
	api_socket_destroy(&vmm.socket);
	return r;
}
