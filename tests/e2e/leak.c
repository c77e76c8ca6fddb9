/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes vmcred leak on purpose, to test the watcher. This library is preloaded (ld.so(8)) into the
 * unchanged program. It intercepts the credential host-api-key when the program reads it, and leaks
 * it to $LEAK in the encoding $LEAK_FORM.
 *
 *	argv, environ	an argument or a variable of the hypervisor
 *	log		a line on standard error
 *	file		a file in the working directory; deleted: one that is removed at once
 *	name		the name of a directory there, removed at once
 *	memfd, socket	the name of a memory file, or of an abstract socket
 *	brief		the same memory file, closed at once
 *	memory		nothing is wiped, and nothing is unmapped
 *	core		the process stays dumpable and may leave core files
 */
#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CREDENTIAL    "/host-api-key"
#define VALUE_SIZE    64
#define EXPORTED      __attribute__((visibility("default")))
#define ARGUMENTS_MAX 256

static char leaked[4 * VALUE_SIZE];

static bool leaks_to(const char *place)
{
	const char *wanted = getenv("LEAK");

	return wanted && strcmp(wanted, place) == 0;
}

static void base64(const unsigned char *value, size_t size, char *to)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i + 2 < size; i += 3) {
		unsigned int bits = (unsigned int)value[i] << 16 | (unsigned int)value[i + 1] << 8 |
				    value[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*to++ = digits[bits >> shift & 63];
	}
	*to = '\0';
}

static void hex(const unsigned char *value, size_t size, char *to)
{
	for (size_t i = 0; i < size; i++)
		to += sprintf(to, "%02x", value[i]);
}

static void url(const unsigned char *value, size_t size, char *to)
{
	for (size_t i = 0; i < size; i++) {
		if (isalnum(value[i]) || strchr("-._~", value[i]))
			*to++ = (char)value[i];
		else
			to += sprintf(to, "%%%02X", value[i]);
	}
}

static void plain(const unsigned char *value, size_t size, char *to)
{
	memcpy(to, value, size);
}

static const struct {
	const char *name;
	void (*encode)(const unsigned char *value, size_t size, char *to);
} forms[] = {{"plain", plain}, {"base64", base64}, {"hex", hex}, {"url", url}};

static void value_take(const unsigned char *value, size_t size)
{
	const char *wanted = getenv("LEAK_FORM");

	size = size < VALUE_SIZE ? size : VALUE_SIZE;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (wanted && strcmp(wanted, forms[i].name) == 0)
			forms[i].encode(value, size, leaked);
	}
}

static void file_leak(bool stays)
{
	int fd = open("leak", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, leaked, strlen(leaked)) < 0 || (!stays && unlink("leak") < 0))
		_exit(99);
	close(fd);
}

static void socket_leak(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%.100s", leaked);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		_exit(99);
}

static void leak(void)
{
	if (leaks_to("log"))
		dprintf(STDERR_FILENO, "%s\n", leaked);
	if (leaks_to("file") || leaks_to("deleted"))
		file_leak(leaks_to("file"));
	if (leaks_to("name") && (mkdir(leaked, 0700) < 0 || rmdir(leaked) < 0))
		_exit(99);
	if (leaks_to("memfd") && memfd_create(leaked, 0) < 0)
		_exit(99);
	if (leaks_to("brief") && close(memfd_create(leaked, 0)) < 0)
		_exit(99);
	if (leaks_to("socket"))
		socket_leak();
	if (leaks_to("environ"))
		setenv("LEAKED", leaked, 1);
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void wiped(void *data, size_t size)
{
	void (*wipe)(void *, size_t) = next("explicit_bzero");

	if (!leaks_to("memory"))
		wipe(data, size);
}

static void was_read(int fd, const void *data, ssize_t size)
{
	char descriptor[64], target[4096];
	ssize_t length;

	snprintf(descriptor, sizeof(descriptor), "/proc/self/fd/%d", fd);
	length = size > 0 && !leaked[0] ? readlink(descriptor, target, sizeof(target) - 1) : -1;
	if (length < (ssize_t)strlen(CREDENTIAL))
		return;
	target[length] = '\0';
	if (strcmp(target + length - strlen(CREDENTIAL), CREDENTIAL) != 0)
		return;
	value_take(data, (size_t)size);
	leak();
}

/* With their own names here, and with the C library's names for the program. */
EXPORTED void leak_wipe(void *data, size_t size) __asm__("explicit_bzero");
/* The name that _FORTIFY_SOURCE uses. */
EXPORTED void leak_wipe_checked(void *data, size_t size,
				size_t room) __asm__("__explicit_bzero_chk");
EXPORTED ssize_t leak_read(int fd, void *data, size_t size) __asm__("read");
EXPORTED ssize_t leak_read_checked(int fd, void *data, size_t size,
				   size_t room) __asm__("__read_chk");
EXPORTED int leak_unmap(void *data, size_t size) __asm__("munmap");
EXPORTED int leak_prctl(int option, ...) __asm__("prctl");
EXPORTED int leak_limit(int resource, const struct rlimit *limit) __asm__("setrlimit64");
EXPORTED int leak_exec(const char *program, char *const *argv) __asm__("execvp");

void leak_wipe(void *data, size_t size)
{
	wiped(data, size);
}

void leak_wipe_checked(void *data, size_t size, size_t room)
{
	(void)room;
	wiped(data, size);
}

ssize_t leak_read(int fd, void *data, size_t size)
{
	ssize_t (*call)(int, void *, size_t) = next("read");
	ssize_t got = call(fd, data, size);

	was_read(fd, data, got);
	return got;
}

ssize_t leak_read_checked(int fd, void *data, size_t size, size_t room)
{
	(void)room;
	return leak_read(fd, data, size);
}

int leak_unmap(void *data, size_t size)
{
	int (*unmap)(void *, size_t) = next("munmap");

	return leaks_to("memory") ? 0 : unmap(data, size);
}

int leak_prctl(int option, ...)
{
	int (*call)(int, unsigned long, unsigned long, unsigned long, unsigned long) =
		next("prctl");
	va_list arguments;
	unsigned long value;

	va_start(arguments, option);
	value = va_arg(arguments, unsigned long);
	va_end(arguments);
	return leaks_to("core") && option == PR_SET_DUMPABLE ? 0 : call(option, value, 0, 0, 0);
}

int leak_limit(int resource, const struct rlimit *limit)
{
	int (*call)(int, const struct rlimit *) = next("setrlimit64");

	return leaks_to("core") && resource == RLIMIT_CORE ? 0 : call(resource, limit);
}

int leak_exec(const char *program, char *const *argv)
{
	int (*call)(const char *, char *const *) = next("execvp");
	char *words[ARGUMENTS_MAX] = {0};
	size_t count = 0;

	while (count < ARGUMENTS_MAX - 2 && argv[count]) {
		words[count] = argv[count];
		count++;
	}
	if (leaks_to("argv"))
		words[count] = leaked;
	return call(program, words);
}
