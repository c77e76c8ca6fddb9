/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t mapping_size(size_t capacity)
{
	return capacity + 2 * page_size();
}

/* Larger pages are rare and would only be unused locked memory. */
#define KEPT_SIZE_MAX ((size_t)16 * 1024)

/* Initial-exec: one pointer always fits into the static TLS block, and needs no function call. */
static _Thread_local struct secret_pages *pages_kept __attribute__((tls_model("initial-exec")));

void secret_pages_keep(struct secret_pages *pages)
{
#ifdef __SANITIZE_ADDRESS__
	/* Unmap released pages, to detect a use after release. */
	(void)pages;
#else
	pages_kept = pages;
#endif
}

void secret_pages_release(struct secret_pages *pages)
{
	pages_kept = NULL;
	while (pages->count > 0) {
		pages->count--;
		munmap(pages->kept[pages->count].data - page_size(),
		       mapping_size(pages->kept[pages->count].capacity));
	}
}

/* The most recently released pages that are large enough, or NULL. */
static uint8_t *kept_take(size_t *capacity)
{
	struct secret_pages *pages = pages_kept;

	for (size_t i = pages ? pages->count : 0; i-- > 0;) {
		uint8_t *data = pages->kept[i].data;

		if (pages->kept[i].capacity < *capacity)
			continue;
		*capacity = pages->kept[i].capacity;
		pages->kept[i] = pages->kept[--pages->count];
		return data;
	}
	return NULL;
}

static bool kept_put(uint8_t *data, size_t capacity)
{
	struct secret_pages *pages = pages_kept;

	if (!pages || pages->count == SECRET_PAGES_KEPT_MAX || capacity > KEPT_SIZE_MAX)
		return false;
	pages->kept[pages->count].data = data;
	pages->kept[pages->count++].capacity = capacity;
	return true;
}

/* Pages for `*capacity` bytes, which is rounded up, with an inaccessible page on either side. */
static uint8_t *pages_map(size_t *capacity, struct error *err)
{
	size_t page = page_size(), usable;
	uint8_t *mapping = kept_take(capacity);

	if (mapping)
		return mapping;
	if (__builtin_add_overflow(*capacity, page - 1, &usable) || usable > SIZE_MAX / 2) {
		error_no_memory(err);
		return NULL;
	}
	usable = usable / page * page;
	if (usable == 0)
		usable = page;
	mapping = mmap(NULL, mapping_size(usable), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED) {
		error_no_memory(err);
		return NULL;
	}
	if (mprotect(mapping + page, usable, PROT_READ | PROT_WRITE) < 0) {
		munmap(mapping, mapping_size(usable));
		error_no_memory(err);
		return NULL;
	}
	/* process_harden() reports a refused lock; old kernels may not know the advice. */
	(void)mlock(mapping + page, usable);
	(void)madvise(mapping + page, usable, MADV_DONTDUMP);
	(void)madvise(mapping + page, usable, MADV_WIPEONFORK);
	*capacity = usable;
	return mapping + page;
}

static void pages_unmap(uint8_t *data, size_t capacity)
{
	memory_wipe(data, capacity);
	/* munmap(2) also unlocks. */
	if (!kept_put(data, capacity))
		munmap(data - page_size(), mapping_size(capacity));
}

int secret_create(struct secret *secret, size_t capacity, struct error *err)
{
	uint8_t *data = pages_map(&capacity, err);

	if (!data)
		return -(int)err->code;
	*secret = (struct secret){.data = data, .size = 0, .capacity = capacity};
	return 0;
}

int secret_copy(struct secret *secret, struct span bytes, struct error *err)
{
	int r = secret_create(secret, bytes.size, err);

	return r < 0 ? r : secret_append(secret, bytes, err);
}

int secret_reserve(struct secret *secret, size_t capacity, struct error *err)
{
	uint8_t *data;

	if (secret->data && capacity <= secret->capacity)
		return 0;
	/* Doubling makes appending byte by byte take linear time. */
	if (capacity < secret->capacity * 2)
		capacity = secret->capacity * 2;
	data = pages_map(&capacity, err);
	if (!data)
		return -(int)err->code;
	if (secret->data) {
		memcpy(data, secret->data, secret->size);
		pages_unmap(secret->data, secret->capacity);
	}
	secret->data = data;
	secret->capacity = capacity;
	return 0;
}

int secret_append(struct secret *secret, struct span bytes, struct error *err)
{
	size_t size;
	int r;

	if (__builtin_add_overflow(secret->size, bytes.size, &size))
		return error_no_memory(err);
	r = secret_reserve(secret, size, err);
	if (r < 0)
		return r;
	if (bytes.size > 0)
		memcpy(secret->data + secret->size, bytes.data, bytes.size);
	secret->size = size;
	return 0;
}

int secret_append_text(struct secret *secret, const char *text, struct error *err)
{
	return secret_append(secret, span_of_text(text), err);
}

/* The rest of a regular file, so that one reservation is enough; else 0. */
static size_t size_expected(int fd, size_t size_max)
{
	struct stat status;
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (at < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size <= at)
		return 0;
	return (uintmax_t)(status.st_size - at) < size_max ? (size_t)(status.st_size - at)
							   : size_max;
}

int secret_read(struct secret *secret, int fd, size_t size_max, const char *what, struct error *err)
{
	int r = secret_reserve(secret, secret->size + size_expected(fd, size_max) + 1, err);

	while (r == 0) {
		ssize_t got;

		if (secret->size == secret->capacity) {
			r = secret_reserve(secret, secret->size + 1, err);
			if (r < 0)
				break;
		}
		got = read(fd, secret->data + secret->size, secret->capacity - secret->size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			r = error_set_errno(err, errno, "reading %s", what);
			break;
		}
		if (got == 0)
			return 0;
		secret->size += (size_t)got;
		if (secret->size > size_max)
			r = error_set(err, VMCRED_FAILED, "%s is larger than %zu bytes", what,
				      size_max);
	}
	secret_destroy(secret);
	return r;
}

int secret_append_random(struct secret *secret, size_t size, struct error *err)
{
	size_t end;
	int r;

	if (__builtin_add_overflow(secret->size, size, &end))
		return error_no_memory(err);
	r = secret_reserve(secret, end, err);
	if (r < 0)
		return r;
	while (secret->size < end) {
		ssize_t got = getrandom(secret->data + secret->size, end - secret->size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "getting random bytes from the kernel");
		secret->size += (size_t)got;
	}
	return 0;
}

void secret_clear(struct secret *secret)
{
	if (secret->data)
		memory_wipe(secret->data, secret->capacity);
	secret->size = 0;
}

void secret_move(struct secret *to, struct secret *from)
{
	*to = *from;
	*from = (struct secret){0};
}

struct span secret_span(const struct secret *secret)
{
	return span_of(secret->data, secret->size);
}

bool secret_equal(struct span a, struct span b)
{
	volatile uint8_t difference = 0;

	if (a.size != b.size)
		return false;
	for (size_t i = 0; i < a.size; i++)
		difference = (uint8_t)(difference | (a.data[i] ^ b.data[i]));
	return difference == 0;
}

void secret_destroy(struct secret *secret)
{
	if (secret->data)
		pages_unmap(secret->data, secret->capacity);
	*secret = (struct secret){0};
}

void memory_wipe(void *data, size_t size)
{
	explicit_bzero(data, size);
}
