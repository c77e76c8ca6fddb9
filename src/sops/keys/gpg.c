/* SPDX-License-Identifier: Apache-2.0 */
/* The program gpg, which finds its keyring, its agent and the terminal itself. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "sops/keys/key.h"

/* A wrapped data key takes a few kilobytes, an error message a few lines. */
#define MESSAGE_SIZE_MAX ((size_t)1024 * 1024)
#define ERRORS_SIZE_MAX  4096

static void fd_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A socket, because writing to a pipe without a reader raises a signal. */
static void input_send(int *fd, struct span *input)
{
	ssize_t sent = send(*fd, input->data, input->size, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (sent > 0)
		*input = span_of(input->data + sent, input->size - (size_t)sent);
	if (sent < 0 || input->size == 0)
		fd_end(fd);
}

/* Reads a piece. At most `size_max` bytes are kept. */
static int output_receive(int *fd, struct secret *output, size_t size_max, struct error *err)
{
	ssize_t got;
	int r = secret_reserve(output, output->size + 4096, err);

	if (r < 0)
		return r;
	got = read(*fd, output->data + output->size, output->capacity - output->size);
	if (got > 0)
		output->size += (size_t)got;
	else if (got == 0 || errno != EINTR)
		fd_end(fd);
	if (output->size > size_max)
		output->size = size_max;
	return 0;
}

/* Sends the input and receives output and errors until gpg closes them. */
static int converse(int fds[3], struct span input, struct secret *output, struct secret *errors,
		    const char *gpg, struct error *err)
{
	const size_t size_max = output->size + MESSAGE_SIZE_MAX;

	while (fds[0] >= 0 || fds[1] >= 0 || fds[2] >= 0) {
		struct pollfd ends[] = {
			{.fd = fds[0], .events = POLLOUT},
			{.fd = fds[1], .events = POLLIN},
			{.fd = fds[2], .events = POLLIN},
		};
		int r = 0;

		if (poll(ends, 3, -1) < 0 && errno != EINTR)
			return error_set_errno(err, errno, "waiting for %s", gpg);
		if (ends[0].revents)
			input_send(&fds[0], &input);
		if (ends[1].revents)
			r = output_receive(&fds[1], output, size_max, err);
		if (r == 0 && output->size == size_max)
			r = error_set(err, VMCRED_FAILED, "%s writes more than %zu bytes", gpg,
				      MESSAGE_SIZE_MAX);
		if (r == 0 && ends[2].revents)
			r = output_receive(&fds[2], errors, ERRORS_SIZE_MAX, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One line without control characters. */
static int errors_tidy(struct secret *errors, struct error *err)
{
	while (errors->size > 0 && errors->data[errors->size - 1] == '\n')
		errors->size--;
	for (size_t i = 0; i < errors->size; i++) {
		if (errors->data[i] == '\n')
			errors->data[i] = ';';
		else if (errors->data[i] < ' ' || errors->data[i] == 0x7f)
			errors->data[i] = '?';
	}
	return secret_append(errors, span_of("", 1), err);
}

static void fds_end(int (*fds)[3])
{
	for (int i = 0; i < 3; i++)
		fd_end(&(*fds)[i]);
}

static int run(const char *const *argv, struct span input, struct secret *output, struct error *err)
{
	__attribute__((cleanup(fds_end))) int ours[3] = {-1, -1, -1};
	__attribute__((cleanup(fds_end))) int theirs[3] = {-1, -1, -1};
	struct program program = {.file = argv[0], .argv = (char *const *)argv};
	_cleanup_secret_ struct secret errors = {0};
	_cleanup_error_ struct error ignored = {0};
	int ends[2], status = -1, r;
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		r = i == 0 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)
			   : pipe2(ends, O_CLOEXEC);
		if (r < 0)
			return error_set_errno(err, errno, "creating pipes for %s", argv[0]);
		ours[i] = ends[0];
		program.fds[i] = theirs[i] = ends[1];
	}
	if (program_start(&program, &pid, err) < 0) {
		err->code = VMCRED_MISSING;
		return -VMCRED_MISSING;
	}
	fds_end(&theirs);
	r = converse(ours, input, output, &errors, argv[0], err);
	fds_end(&ours);
	(void)program_wait(pid, &status, &ignored);
	if (r == 0)
		r = errors_tidy(&errors, err);
	if (r == 0 && status != 0)
		r = error_set(err, VMCRED_MISSING, "%s failed: %s", argv[0],
			      errors.size > 1 ? (const char *)errors.data : "no error message");
	return r;
}

/* The key's long ID, including a '!' that selects exactly this key. */
static const char *long_id(const char *fingerprint)
{
	size_t size = strlen(fingerprint), wanted = 16;

	if (size > 0 && fingerprint[size - 1] == '!')
		wanted++;
	return size > wanted ? fingerprint + size - wanted : fingerprint;
}

int sops_gpg_encrypt(const char *gpg, const char *fingerprint, struct span plaintext,
		     struct secret *message, struct error *err)
{
	/* The arguments of sops. */
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
		return error_wrap(err, "encrypting to the PGP key %s", fingerprint);
	while (message->size > start && strchr(" \t\r\n", message->data[message->size - 1]))
		message->size--;
	return 0;
}

int sops_gpg_decrypt(const char *gpg, struct span message, struct secret *plaintext,
		     struct error *err)
{
	const char *const argv[] = {gpg, "-d", NULL};
	size_t start = plaintext->size;
	int r = run(argv, message, plaintext, err);

	/* An old gpg ignores a message that it does not understand, and succeeds. */
	if (r == 0 && plaintext->size == start)
		r = error_set(err, VMCRED_MISSING, "%s returned no data", gpg);
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
