/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/ssh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/program.h"
#include "base/text.h"

/* ssh-keygen writes a signature, some names or a message. */
#define OUTPUT_SIZE_MAX ((size_t)64 * 1024)

#define ARGUMENTS_MAX 12

/* A run of ssh-keygen. */
struct keygen {
	const char *argv[ARGUMENTS_MAX]; /* NULL-terminated */
	struct span message;             /* its standard input */
	int signature_fd;                /* inherited; -1: none */
	bool may_ask;                    /* keeps our standard error */
};

/* Returns the exit status, 0 or 1, or a negative code. The caller frees `*output`, which is text.
 */
static int keygen_run(const struct keygen *keygen, char **output, struct error *err)
{
	_cleanup_close_ int message = memory_file_create("vmcred-message", keygen->message, err);
	_cleanup_close_ int out = memfd_create("vmcred-output", MFD_CLOEXEC);
	struct program program = {
		.file = keygen->argv[0],
		.argv = (char *const *)keygen->argv,
		.fds = {message, out, keygen->may_ask ? STDERR_FILENO : out},
		.inherited = &keygen->signature_fd,
		.inherited_count = keygen->signature_fd >= 0,
	};
	ssize_t size;
	int status, r;
	pid_t pid;

	if (message < 0)
		return message;
	if (out < 0)
		return error_set_errno(err, errno, "running ssh-keygen");
	*output = calloc(OUTPUT_SIZE_MAX + 1, 1);
	if (!*output)
		return error_no_memory(err);
	r = program_start(&program, &pid, err);
	if (r < 0)
		return r;
	r = program_wait(pid, &status, err);
	if (r < 0)
		return r;
	size = pread(out, *output, OUTPUT_SIZE_MAX, 0);
	if (size < 0 || strlen(*output) != (size_t)size)
		return error_set(err, VMCRED_FAILED, "ssh-keygen printed something else than text");
	return status != 0;
}

int ssh_sign(const char *key, struct span message, char **signature, struct error *err)
{
	const struct keygen keygen = {
		.argv = {"ssh-keygen", "-q", "-Y", "sign", "-n", SSH_NAMESPACE, "-f", key},
		.message = message,
		.signature_fd = -1,
		.may_ask = true,
	};
	_cleanup_free_ char *output = NULL;
	int r;

	/* ssh-keygen would print it. */
	if (strchr(key, '\n'))
		return error_set(err, VMCRED_USAGE,
				 "secret key given instead of the name of its file");
	r = keygen_run(&keygen, &output, err);
	if (r > 0)
		error_set(err, VMCRED_FAILED, "ssh-keygen failed");
	if (r != 0)
		return error_wrap(err, "signing with %s", key);
	*signature = pointer_release(&output);
	return 0;
}

static int signature_reject(const char *output, struct error *err)
{
	const int length = (int)strcspn(output, "\r\n");

	return error_set(err, VMCRED_INTEGRITY, "the bundle's signature is not valid: %.*s", length,
			 length > 0 ? output : "ssh-keygen failed");
}

/* Tries the names of the key's line in the file of allowed signers. */
static int principals_try(const char *allowed_signers, const char *signature_path,
			  const struct keygen *common, char *principals, char **signer,
			  struct error *err)
{
	struct keygen keygen = *common;
	char *rest = NULL;
	int r = 1;

	for (const char *name = strtok_r(principals, "\n", &rest); r > 0 && name;
	     name = strtok_r(NULL, "\n", &rest)) {
		const char *const argv[] = {"ssh-keygen",  "-Y", "verify",        "-n",
					    SSH_NAMESPACE, "-f", allowed_signers, "-I",
					    name,          "-s", signature_path,  NULL};
		_cleanup_free_ char *output = NULL;

		memcpy(keygen.argv, argv, sizeof(argv));
		error_clear(err);
		r = keygen_run(&keygen, &output, err);
		if (r > 0)
			signature_reject(output, err);
		else if (r == 0)
			*signer = strdup(name);
	}
	if (r == 0 && !*signer)
		return error_no_memory(err);
	return r == 0 ? 0 : -(int)err->code;
}

int ssh_verify(const char *allowed_signers, struct span message, struct span signature,
	       char **signer, struct error *err)
{
	_cleanup_close_ int fd = memory_file_create("vmcred-signature", signature, err);
	_cleanup_free_ char *path = text_format("/proc/self/fd/%d", fd), *principals = NULL;
	const struct keygen keygen = {
		.argv = {"ssh-keygen", "-Y", "find-principals", "-f", allowed_signers, "-s", path},
		.message = message,
		.signature_fd = fd,
	};
	int r;

	if (fd < 0)
		return fd;
	if (!path)
		return error_no_memory(err);
	r = keygen_run(&keygen, &principals, err);
	if (r < 0)
		return r;
	if (r > 0 || principals[0] == '\0') {
		error_set(err, VMCRED_INTEGRITY, "the bundle's signer is not in %s",
			  allowed_signers);
		return error_hint(err, "sign it with an allowed key, or add the signer");
	}
	return principals_try(allowed_signers, path, &keygen, principals, signer, err);
}
