/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/pgp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "sops/sops.h"

/* A wrapped data key has a few kilobytes; what the program says, a few lines. */
#define MESSAGE_SIZE_MAX ((size_t)1024 * 1024)
#define WORDS_SIZE_MAX   4096

/* What the program writes and says. */
struct talk {
	int in, out, words; /* descriptors, -1 once they are closed */
	struct span input;
	struct secret *output;
	char text[WORDS_SIZE_MAX];
	size_t text_size;
};

static void talk_close(struct talk *talk)
{
	int *const descriptors[] = {&talk->in, &talk->out, &talk->words};

	for (size_t i = 0; i < 3; i++) {
		if (*descriptors[i] >= 0)
			close(*descriptors[i]);
		*descriptors[i] = -1;
	}
}

static void end(int *fd)
{
	close(*fd);
	*fd = -1;
}

/* A socket, because a write to a pipe that nobody reads any more is a signal. */
static void input_send(struct talk *talk)
{
	ssize_t sent = send(talk->in, talk->input.data, talk->input.size, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (sent > 0)
		talk->input = span_of(talk->input.data + sent, talk->input.size - (size_t)sent);
	if (sent < 0 || talk->input.size == 0)
		end(&talk->in);
}

static int output_receive(struct talk *talk, const char *gpg, struct error *err)
{
	struct secret *out = talk->output;
	ssize_t got;
	int r = secret_reserve(out, out->size + 4096, err);

	if (r < 0)
		return r;
	got = read(talk->out, out->data + out->size, out->capacity - out->size);
	if (got > 0)
		out->size += (size_t)got;
	else if (got == 0 || errno != EINTR)
		end(&talk->out);
	if (out->size > MESSAGE_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "%s writes more than %zu bytes", gpg,
				 MESSAGE_SIZE_MAX);
	return 0;
}

/* Keeps the beginning and drops the rest. */
static void words_receive(struct talk *talk)
{
	char part[512];
	ssize_t got = read(talk->words, part, sizeof(part));
	size_t room = sizeof(talk->text) - talk->text_size;
	size_t kept = got > 0 && (size_t)got < room ? (size_t)got : room;

	if (got > 0) {
		memcpy(talk->text + talk->text_size, part, kept);
		talk->text_size += kept;
	} else if (got == 0 || errno != EINTR) {
		end(&talk->words);
	}
}

static int converse(struct talk *talk, const char *gpg, struct error *err)
{
	while (talk->in >= 0 || talk->out >= 0 || talk->words >= 0) {
		struct pollfd fds[] = {
			{.fd = talk->in, .events = POLLOUT},
			{.fd = talk->out, .events = POLLIN},
			{.fd = talk->words, .events = POLLIN},
		};
		int r = 0;

		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_set_errno(err, errno, "waiting for %s", gpg);
		}
		if (fds[0].revents)
			input_send(talk);
		if (fds[1].revents)
			r = output_receive(talk, gpg, err);
		if (fds[2].revents)
			words_receive(talk);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Its words on one line, without control characters. */
static void words_tidy(struct talk *talk)
{
	size_t size =
		talk->text_size < sizeof(talk->text) ? talk->text_size : sizeof(talk->text) - 1;

	while (size > 0 && talk->text[size - 1] == '\n')
		size--;
	talk->text[size] = '\0';
	for (char *c = talk->text; *c; c++) {
		if (*c == '\n')
			*c = ';';
		else if ((uint8_t)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
}

static int start(const char *const *argv, const int fds[3], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return r;
	r = posix_spawnattr_init(&attributes);
	for (int i = 0; r == 0 && i < 3; i++)
		r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	sigemptyset(&none);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (r == 0)
		r = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Starts the program with one end of each connection; `talk` gets the others. */
static int connect_and_start(const char *const *argv, struct talk *talk, pid_t *pid,
			     struct error *err)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, words[2] = {-1, -1};
	int r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 ||
	    pipe2(out, O_CLOEXEC) < 0 || pipe2(words, O_CLOEXEC) < 0)
		r = errno;
	talk->in = in[1];
	talk->out = out[0];
	talk->words = words[0];
	if (r == 0)
		r = start(argv, (const int[]){in[0], out[1], words[1]}, pid);
	for (size_t i = 0; i < 3; i++) {
		int fd = ((const int[]){in[0], out[1], words[1]})[i];

		if (fd >= 0)
			close(fd);
	}
	if (r == ENOENT)
		return error_set(err, VMCRED_MISSING, "the program %s is not installed", argv[0]);
	return r == 0 ? 0 : error_set_errno(err, r, "starting %s", argv[0]);
}

static int run(const char *const *argv, struct span input, struct secret *output, struct error *err)
{
	__attribute__((cleanup(talk_close))) struct talk talk = {
		.in = -1,
		.out = -1,
		.words = -1,
		.input = input,
		.output = output,
	};
	int status = 0, r;
	pid_t pid = -1;

	r = connect_and_start(argv, &talk, &pid, err);
	if (r < 0)
		return r;
	r = converse(&talk, argv[0], err);
	talk_close(&talk);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	words_tidy(&talk);
	if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		r = error_set(err, VMCRED_MISSING, "%s failed: %s", argv[0],
			      *talk.text ? talk.text : "it said nothing");
	return r;
}

/* The key's long ID, with the '!' that stands for just this key (shortenFingerprint in pgp/). */
static const char *long_id(const char *fingerprint)
{
	size_t size = strlen(fingerprint), wanted = 16;

	if (size > 0 && fingerprint[size - 1] == '!')
		wanted++;
	return size > wanted ? fingerprint + size - wanted : fingerprint;
}

static void white_space_trim(struct secret *text, size_t start)
{
	while (text->size > start && strchr(" \t\r\n", text->data[text->size - 1]))
		text->size--;
}

int pgp_encrypt(const char *gpg, const char *fingerprint, struct span plaintext,
		struct secret *message, struct error *err)
{
	const char *const argv[] = {gpg,
				    "--no-default-recipient",
				    "--yes",
				    "--encrypt",
				    "-a",
				    "-r",
				    fingerprint,
				    "--trusted-key",
				    long_id(fingerprint),
				    "--no-encrypt-to",
				    NULL};
	size_t start = message->size;
	int r = run(argv, plaintext, message, err);

	if (r < 0)
		return error_wrap(err, "encrypting for the PGP key %s", fingerprint);
	white_space_trim(message, start);
	return 0;
}

int pgp_decrypt(const char *gpg, struct span message, struct secret *plaintext, struct error *err)
{
	const char *const argv[] = {gpg, "-d", NULL};
	size_t start = plaintext->size;
	int r = run(argv, message, plaintext, err);

	/* An old gpg skips a message that it does not understand, and succeeds. */
	if (r == 0 && plaintext->size == start)
		r = error_set(err, VMCRED_MISSING, "%s gives nothing", gpg);
	return r;
}

const char *sops_gpg(void)
{
	const char *gpg = getenv("SOPS_GPG_EXEC");

	return gpg && *gpg ? gpg : "gpg";
}

int sops_gpg_key_check(const char *gpg, const char *fingerprint, struct error *err)
{
	const char *const argv[] = {gpg, "--batch", "--list-keys", "--", fingerprint, NULL};
	_cleanup_secret_ struct secret listed = {0};

	return run(argv, span_of("", 0), &listed, err);
}

bool sops_gpg_has_secret(const char *gpg, const char *fingerprint)
{
	const char *const argv[] = {gpg, "--batch", "--list-secret-keys", "--", fingerprint, NULL};
	_cleanup_secret_ struct secret listed = {0};
	_cleanup_error_ struct error ignored = {0};

	return run(argv, span_of("", 0), &listed, &ignored) == 0;
}
