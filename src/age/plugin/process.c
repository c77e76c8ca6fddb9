/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "age/plugin/plugin.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/program.h"
#include "base/text.h"

/* The user may have to fetch a token; a plugin that is silent for longer is broken. */
#define SILENCE_MAX_MINUTES 10
#define SILENCE_MAX_MS      ((int64_t)SILENCE_MAX_MINUTES * 60 * 1000)

/* As in age. */
#define WAITING_MS 5000

#define GOODBYE_MAX_MS  5000
#define GOODBYE_STEP_MS 10

/* Plenty: a stanza of a hybrid recipient has 1,600 bytes. */
#define RECEIVED_SIZE_MAX ((size_t)1024 * 1024)
#define STANZAS_MAX       10000

#define ERROR_TEXT_MAX 400

/* The environment without keys. The strings are not copied. */
static char **environment_make(void)
{
	static const char secret[] = "SOPS_AGE_KEY=";
	size_t count = 0, kept = 0;
	char **made;

	while (environ && environ[count])
		count++;
	made = calloc(count + 1, sizeof(char *));
	for (size_t i = 0; made && i < count; i++) {
		if (strncmp(environ[i], secret, strlen(secret)) != 0)
			made[kept++] = environ[i];
	}
	return made;
}

/* Writing to a plugin that has exited must be an error, not kill the process. */
static void pipe_signal_block(struct plugin *plugin)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	plugin->pipe_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe, &plugin->signals);
}

static void pipe_signal_restore(struct plugin *plugin)
{
	const struct timespec now = {0};
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (!plugin->pipe_pending)
		(void)sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &plugin->signals, NULL);
}

int plugin_start(struct plugin *plugin, const char *name, const char *machine,
		 const struct age_prompt *prompt, struct error *err)
{
	_cleanup_free_ char *file = text_format("age-plugin-%s", name), *path = NULL;
	_cleanup_free_ char *option = text_format("--age-plugin=%s", machine);
	_cleanup_free_ char **environment = environment_make();
	_cleanup_close_ int child_in = -1, child_out = -1;
	struct program program = {.environment = environment, .directory = "/"};
	char *argv[3] = {NULL, option};
	int in[2], out[2], r;

	*plugin = (struct plugin){
		.name = name, .prompt = prompt, .in_fd = -1, .out_fd = -1, .error_fd = -1};
	pipe_signal_block(plugin);
	if (!file || !option || !environment)
		return error_no_memory(err);
	r = program_find(file, &path, err);
	if (r < 0) {
		err->code = VMCRED_MISSING;
		return error_hint(err, "https://age-encryption.org/awesome#plugins lists plugins");
	}
	plugin->error_fd = memfd_create("age-plugin-stderr", MFD_CLOEXEC);
	if (plugin->error_fd < 0 || pipe2(in, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	child_in = in[0];
	plugin->in_fd = in[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "creating a pipe");
	plugin->out_fd = out[0];
	child_out = out[1];
	/* Only our end: a plugin that does not read must not block us forever. */
	if (fcntl(plugin->in_fd, F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "setting up a pipe");
	program.file = argv[0] = path;
	program.argv = argv;
	program.fds[0] = child_in;
	program.fds[1] = child_out;
	program.fds[2] = plugin->error_fd;
	if (program_start(&program, &plugin->pid, err) < 0) {
		plugin->pid = 0;
		err->code = VMCRED_MISSING;
		return -(int)err->code;
	}
	return 0;
}

/* Whether the process ends within GOODBYE_MAX_MS. */
static bool process_has_ended(pid_t pid)
{
	for (int waited = 0; waited < GOODBYE_MAX_MS; waited += GOODBYE_STEP_MS) {
		const struct timespec step = {.tv_nsec = GOODBYE_STEP_MS * 1000000L};
		pid_t ended = waitpid(pid, NULL, WNOHANG);

		if (ended == pid || (ended < 0 && errno != EINTR))
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

static void process_end(pid_t pid)
{
	/* As age does, so that plugins expect it. */
	kill(pid, SIGINT);
	if (process_has_ended(pid))
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void plugin_stop(struct plugin *plugin)
{
	if (!plugin->name)
		return;
	cleanup_close_fd(&plugin->in_fd);
	cleanup_close_fd(&plugin->out_fd);
	cleanup_close_fd(&plugin->error_fd);
	if (plugin->pid > 0)
		process_end(plugin->pid);
	secret_destroy(&plugin->received);
	secret_destroy(&plugin->body);
	pipe_signal_restore(plugin);
	*plugin = (struct plugin){0};
}

/* The error for a plugin that exited early, with the last line of its standard error. */
static int exited(struct plugin *plugin, struct error *err)
{
	char text[ERROR_TEXT_MAX + 1];
	_cleanup_free_ char *shown = NULL;
	off_t end, start;
	ssize_t size;
	char *line;

	/* It may have closed its pipes first, and print the reason now. */
	if (process_has_ended(plugin->pid))
		plugin->pid = 0;
	end = lseek(plugin->error_fd, 0, SEEK_END);
	start = end > ERROR_TEXT_MAX ? end - ERROR_TEXT_MAX : 0;
	size = pread(plugin->error_fd, text, ERROR_TEXT_MAX, start);
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	if (size <= 0)
		return error_set(err, VMCRED_MISSING, "it exited without an answer");
	line = memrchr(text, '\n', (size_t)size);
	line = line ? line + 1 : text;
	shown = plugin_text(span_of(line, (size_t)(text + size - line)));
	if (!shown)
		return error_no_memory(err);
	return error_set(err, VMCRED_MISSING, "it exited without an answer: %s", shown);
}

static void waiting_show(struct plugin *plugin)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_free_ char *text = text_format("waiting for age-plugin-%s…", plugin->name);

	if (plugin->waited || !plugin->prompt || !plugin->prompt->show)
		return;
	plugin->waited = true;
	if (text)
		(void)plugin->prompt->show(plugin->prompt->context, text, &reason);
}

/* Waits until a descriptor is ready. */
static int ready_wait(struct plugin *plugin, int fd, short events, struct error *err)
{
	int64_t start = clock_now_ms();

	for (;;) {
		int64_t passed = clock_now_ms() - start;
		struct pollfd one = {.fd = fd, .events = events};
		int64_t limit = passed < WAITING_MS ? WAITING_MS : SILENCE_MAX_MS;
		int got;

		if (passed >= SILENCE_MAX_MS)
			return error_set(err, VMCRED_MISSING, "it did not answer within %d minutes",
					 SILENCE_MAX_MINUTES);
		got = poll(&one, 1, (int)(limit - passed));
		if (got > 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return error_set_errno(err, errno, "waiting for it");
		if (got == 0)
			waiting_show(plugin);
	}
}

int plugin_send(struct plugin *plugin, const char *line, struct span body, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = age_stanza_append(&text, line, body, err);

	for (size_t sent = 0; r == 0 && sent < text.size;) {
		ssize_t wrote = write(plugin->in_fd, text.data + sent, text.size - sent);

		if (wrote > 0)
			sent += (size_t)wrote;
		else if (wrote < 0 && errno == EAGAIN)
			r = ready_wait(plugin, plugin->in_fd, POLLOUT, err);
		else if (wrote < 0 && errno != EINTR)
			r = exited(plugin, err);
	}
	return r;
}

/* Discards consumed bytes and reads more. */
static int more_read(struct plugin *plugin, struct error *err)
{
	struct secret *received = &plugin->received;
	ssize_t got;
	int r;

	if (plugin->taken > 0) {
		size_t left = received->size - plugin->taken;

		memmove(received->data, received->data + plugin->taken, left);
		memory_wipe(received->data + left, plugin->taken);
		received->size = left;
		plugin->taken = 0;
	}
	if (received->size > RECEIVED_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "it sent more than %zu bytes at a time",
				 RECEIVED_SIZE_MAX);
	r = secret_reserve(received, received->size + 4096, err);
	if (r == 0)
		r = ready_wait(plugin, plugin->out_fd, POLLIN, err);
	if (r < 0)
		return r;
	got = read(plugin->out_fd, received->data + received->size,
		   received->capacity - received->size);
	if (got == 0)
		return exited(plugin, err);
	if (got < 0 && errno != EINTR)
		return error_set_errno(err, errno, "reading from it");
	received->size += got > 0 ? (size_t)got : 0;
	return 0;
}

int plugin_receive(struct plugin *plugin, struct age_stanza *stanza, struct error *err)
{
	struct span text;
	size_t size;
	int r;

	if (++plugin->stanzas > STANZAS_MAX)
		return error_set(err, VMCRED_FAILED, "it sent more than %d stanzas", STANZAS_MAX);
	for (;;) {
		text = secret_span(&plugin->received);
		if (text.size > 0)
			text = span_skip(text, plugin->taken);
		size = age_stanza_size(text);
		if (size > 0)
			break;
		r = more_read(plugin, err);
		if (r < 0)
			return r;
	}
	plugin->taken += size;
	text.size = size;
	secret_destroy(&plugin->body);
	r = secret_create(&plugin->body, AGE_STANZA_BODY_MAX(size), err);
	if (r == 0 && age_stanza_parse(&text, plugin->body.data, stanza, err) < 0) {
		error_clear(err);
		r = error_set(err, VMCRED_FAILED, "it sent a malformed stanza");
	}
	return r;
}
