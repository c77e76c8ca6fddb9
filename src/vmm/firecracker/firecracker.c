/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/firecracker/firecracker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "initrd/initrd.h"
#include "vmm/api.h"
#include "vmm/driver.h"
#include "vmm/supervise.h"
#include "vmm/unix_socket.h"

/* Creating a VM takes milliseconds, unless the guest's memory must be backed at once. */
#define START_TIMEOUT_MS 60000
#define BOOT_TIMEOUT_MS  600000
#define PAUSE_MS         2

/* How long it may take until the threads of the processors exist before its API is asked. */
#define PATIENCE_MS 5000

/* src/vmm/src/vstate/vcpu.rs; a thread's name has at most 15 characters. */
#define PROCESSOR_THREAD "fc_vcpu "
#define NAME_SIZE_MAX    32

/* Pressing keys takes no time, unless the VMM is busy with another client's request. */
#define CONTROL_TIMEOUT_MS 2000

static void firecracker_destroy(void *prepared)
{
	struct firecracker_config *config = prepared;

	json_decref(config->vm);
	free(config);
}

/* Its parser answers these wherever they are: src/utils/src/arg_parser.rs. */
static bool firecracker_is_query(char *const *argv)
{
	static const char *const queries[] = {
		"-h", "--help", "--snapshot-version", "--describe-snapshot", "--version", NULL};

	while (*++argv && strcmp(*argv, "--") != 0) {
		if (texts_contain((char *const *)queries, *argv))
			return true;
	}
	return false;
}

static int firecracker_prepare(struct vmm_launch *launch, struct error *err)
{
	struct firecracker_config *config = calloc(1, sizeof(*config));
	const json_t *vsock;
	int r;

	if (!config)
		return error_no_memory(err);
	launch->prepared = config;
	r = firecracker_config_read(launch->argv, config, err);
	if (r == 0)
		r = firecracker_config_credentials(config, launch, &launch->list, err);
	vsock = json_object_get(config->vm, "vsock");
	launch->vsock.socket = json_string_value(json_object_get(vsock, "uds_path"));
	if (launch->vsock.socket)
		launch->vsock.cid =
			(uint32_t)json_integer_value(json_object_get(vsock, "guest_cid"));
	return r;
}

/* Options of vmcred that are not possible here. */
static int options_check(const struct vmm_launch *launch, struct error *err)
{
	const char *exec = vmm_option(launch, "--exec", "exec");

	if (launch->parent == VMM_PARENT_EXEC) {
		error_set(err, VMCRED_USAGE,
			  "%s is not supported: a parent process overwrites the credentials after "
			  "boot",
			  exec);
		return error_hint(err, "remove %s", exec);
	}
	if (launch->expose & VMM_EXPOSE_ARGV)
		return error_set(err, VMCRED_USAGE,
				 "%s is not supported: it has no option for OEM strings",
				 vmm_option(launch, "--expose=argv", "expose: argv"));
	if (launch->transport != VMM_TRANSPORT_DEFAULT && launch->transport != VMM_TRANSPORT_INITRD)
		return error_set(err, VMCRED_USAGE, "%s must be initrd",
				 vmm_option(launch, "--transport", "transport"));
	return 0;
}

static int firecracker_check(struct vmm_launch *launch, struct error *err)
{
	const struct firecracker_config *config = launch->prepared;
	int r = options_check(launch, err);

	if (r < 0 || !vmm_has_strings(launch))
		return r;
	if (!config->vm) {
		error_set(err, VMCRED_USAGE,
			  "without --config-file the VM is configured through the API, and cannot "
			  "get credentials");
		return error_hint(err, "use --config-file");
	}
	if (!config->initrd) {
		error_set(
			err, VMCRED_USAGE,
			"credentials are delivered in the initrd, and the configuration has none");
		return error_hint(err, "add boot-source.initrd_path");
	}
	return initrd_check(&launch->list, err);
}

struct vmm {
	struct vmm_launch *launch;
	const struct firecracker_config *config;
	struct initrd initrd;
	struct child child;
	struct stderr_relay output;
	int api; /* connected, non-blocking; -1: not connected */
};

/* Firecracker does not start if these exist; one that was killed leaves them. */
static void sockets_remove(const struct vmm *vmm)
{
	if (vmm->config->api_socket)
		unix_socket_remove_stale(vmm->config->api_socket);
	if (vmm->launch->vsock.socket)
		unix_socket_remove_stale(vmm->launch->vsock.socket);
}

/* The command line with the descriptor of the configuration that was read. */
static int arguments_create(struct vmm *vmm, int config_fd, struct strings *argv, struct error *err)
{
	char *path = text_format("/dev/fd/%d", config_fd);
	int r = path ? strings_add_all(argv, vmm->launch->argv, err) : error_no_memory(err);

	if (r < 0) {
		free(path);
		return r;
	}
	free(argv->items[vmm->config->argument]);
	argv->items[vmm->config->argument] = path;
	return 0;
}

static int vmm_start(struct vmm *vmm, struct error *err)
{
	struct vmm_launch *launch = vmm->launch;
	_cleanup_strings_ struct strings argv = {0};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_free_ char *initrd = NULL;
	_cleanup_close_ int config_fd = -1;
	struct child_command start = {0};
	int inherited[2], r = 0;

	if (vmm_has_strings(launch)) {
		r = initrd_create(vmm->config->initrd, &launch->list, &vmm->initrd, err);
		if (r < 0)
			return error_wrap(err, "adding the credentials to the initrd");
		initrd = text_format("/dev/fd/%d", vmm->initrd.fd);
		if (!initrd)
			return error_no_memory(err);
		inherited[start.inherited_count++] = vmm->initrd.fd;
	}
	r = firecracker_config_text(vmm->config, initrd, &launch->list, &text, err);
	if (r < 0)
		return r;
	config_fd = vmm_secret_fd(secret_span(&text), false, err);
	if (config_fd < 0)
		return config_fd;
	inherited[start.inherited_count++] = config_fd;
	r = arguments_create(vmm, config_fd, &argv, err);
	if (r < 0)
		return r;
	sockets_remove(vmm);
	start.argv = argv.items;
	start.inherited = inherited;
	return vmm_child_start(launch, &start, &vmm->child, &vmm->output, err);
}

/* Waits for a moment, in which the VMM's output is forwarded. */
static int pause_for(struct vmm *vmm, int64_t deadline, const char *what, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = vmm->child.pid_fd, .events = POLLIN},
		{.fd = vmm->child.signal_fd, .events = POLLIN},
		stderr_relay_poll(&vmm->output),
	};

	if (clock_now_ms() > deadline)
		return error_set(err, VMCRED_FAILED, "it did not %s within %d s", what,
				 START_TIMEOUT_MS / 1000);
	if (poll(fds, 3, PAUSE_MS) > 0 && (fds[0].revents || fds[1].revents))
		return error_set(err, VMCRED_FAILED, "interrupted");
	stderr_relay_forward(&vmm->output);
	return 0;
}

/* Whether the threads of its processors exist: then the guest's memory has the initrd. */
static bool has_processors(const struct vmm *vmm)
{
	_cleanup_free_ char *path = text_format("/proc/%d/task", (int)vmm->child.pid);
	_cleanup_close_dir_ DIR *threads = path ? opendir(path) : NULL;
	_cleanup_error_ struct error ignored = {0};
	const struct dirent *thread;
	bool found = false;

	while (threads && !found && (thread = readdir(threads))) {
		_cleanup_free_ char *file = text_format("%s/comm", thread->d_name);
		_cleanup_free_ char *name = NULL;

		found = file &&
			file_read_text(dirfd(threads), file, NAME_SIZE_MAX, &name, NULL,
				       &ignored) == 0 &&
			strncmp(name, PROCESSOR_THREAD, strlen(PROCESSOR_THREAD)) == 0;
		error_clear(&ignored);
	}
	return found;
}

static int api_connect(struct vmm *vmm, struct error *err)
{
	const int64_t deadline = clock_now_ms() + START_TIMEOUT_MS;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int r = fd < 0 ? error_set_errno(err, errno, "creating a socket")
		       : unix_socket_address(vmm->config->api_socket, &address, err);

	while (r == 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN)
			r = error_set_errno(err, errno, "connecting to %s",
					    vmm->config->api_socket);
		else
			r = pause_for(vmm, deadline, "create its API socket", err);
	}
	if (r == 0)
		vmm->api = fd_release(&fd);
	return r;
}

/* It answers once the VM of --config-file runs. */
static int api_await(struct vmm *vmm, struct error *err)
{
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.fd = vmm->api,
		.interrupts = {vmm->child.pid_fd, vmm->child.signal_fd},
		.timeout_ms = BOOT_TIMEOUT_MS,
		.method = "GET",
		.resource = "/",
		.output = &vmm->output,
	};
	int r = api_call(&call, &reply, err);

	if (r == 0 && reply.status / 100 != 2)
		r = error_set(err, VMCRED_FAILED, "the API answered with status %d", reply.status);
	return r;
}

/*
 * Waits until the VM runs. A request that waits for the answer makes Firecracker crash instead of
 * reporting a bad configuration, so it is not sent at once.
 */
static int boot_await(struct vmm *vmm, struct error *err)
{
	const bool has_api = vmm->config->api_socket;
	const int64_t now = clock_now_ms(), deadline = now + START_TIMEOUT_MS;
	int r = 0;

	while (r == 0 && !has_processors(vmm) && !(has_api && clock_now_ms() > now + PATIENCE_MS))
		r = pause_for(vmm, deadline, "start its VM", err);
	if (r == 0 && has_api)
		r = api_connect(vmm, err);
	return r == 0 && has_api ? api_await(vmm, err) : r;
}

/* A guest on x86 restarts, and Firecracker ends when it does. */
static int guest_power_off(void *data, struct error *err)
{
	static const char body[] = "{\"action_type\":\"SendCtrlAltDel\"}";
	struct vmm *vmm = data;
	_cleanup_api_reply_ struct api_reply reply = {0};
	const struct api_call call = {
		.fd = vmm->api,
		.interrupts = {vmm->child.pid_fd, -1},
		.timeout_ms = CONTROL_TIMEOUT_MS,
		.resource = "/actions",
		.body = span_of(body, strlen(body)),
		.output = &vmm->output,
	};
	int r = vmm->api < 0 ? error_set(err, VMCRED_FAILED, "it has no API")
			     : api_call(&call, &reply, err);

	/* After a request without an answer the connection is useless. */
	if (r < 0 && vmm->api >= 0)
		close(fd_release(&vmm->api));
	if (r == 0 && reply.status / 100 != 2)
		r = error_set(err, VMCRED_FAILED, "status %d", reply.status);
	return r < 0 ? error_wrap(err, "SendCtrlAltDel") : 0;
}

/* Its API cannot end it, so SIGTERM does. */
static int vmm_quit(void *data, struct error *err)
{
	(void)data;
	return error_set(err, VMCRED_FAILED, "ending it with SIGTERM");
}

static int firecracker_supervise(struct vmm *vmm, struct notify *notify, struct error *err)
{
	struct vmm_launch *launch = vmm->launch;
	int r = boot_await(vmm, err);

	if (r < 0)
		r = supervise_abandon(&vmm->child, &vmm->output, vmm->api, err);
	else
		stderr_relay_trust(&vmm->output);
	initrd_wipe(&vmm->initrd);
	initrd_destroy(&vmm->initrd);
	oem_list_destroy(&launch->list);
	if (r == 0)
		r = supervise(&(struct supervision){
			.child = &vmm->child,
			.output = &vmm->output,
			.notify = notify,
			.discard = -1,
			.stop_timeout_ms = launch->stop_timeout_ms,
			.report = launch->report,
			.power_off = guest_power_off,
			.quit = vmm_quit,
			.vmm = vmm,
		});
	sockets_remove(vmm);
	return r;
}

static int firecracker_start(struct vmm_launch *launch, struct notify *notify, struct error *err)
{
	struct vmm vmm = {
		.launch = launch,
		.config = launch->prepared,
		.initrd = INITRD_NONE,
		.child = CHILD_NONE,
		.output = STDERR_RELAY_NONE,
		.api = -1,
	};
	int r;

	if (!vmm.config->vm) {
		notify_exec(notify);
		return vmm_exec(launch, launch->argv, err);
	}
	r = vmm_start(&vmm, err);
	if (r == 0)
		r = firecracker_supervise(&vmm, notify, err);
	stderr_relay_destroy(&vmm.output);
	initrd_destroy(&vmm.initrd);
	cleanup_close_fd(&vmm.api);
	return r;
}

const struct vmm_ops vmm_firecracker = {
	.name = "Firecracker",
	.programs = (const char *const[]){"firecracker", "firecracker-v*", NULL},
	.transport = VMM_TRANSPORT_INITRD,
	.is_query = firecracker_is_query,
	.prepare = firecracker_prepare,
	.check = firecracker_check,
	.start = firecracker_start,
	.destroy = firecracker_destroy,
};
