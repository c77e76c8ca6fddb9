/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets, which exist nowhere else in the process.
 *
 * Each secret has its own pages between two guard pages, locked into RAM (mlock(2)), excluded from
 * core dumps (MADV_DONTDUMP), not inherited by a child (MADV_WIPEONFORK) and overwritten before
 * they are released. If the system refuses to lock them, the secret is stored anyway: a VM that
 * does not start because of RLIMIT_MEMLOCK would only send its user back to plaintext files.
 * process_harden() warns about it once, before the first secret is read.
 *
 * `_cleanup_secret_` wipes a secret when it goes out of scope. A `struct secret` cannot be printed.
 * `struct secret s = {0}` is an empty secret that owns nothing.
 */
#ifndef VMCRED_BASE_SECRET_H
#define VMCRED_BASE_SECRET_H

#include "base/error.h"
#include "base/span.h"

struct secret {
	uint8_t *data;   /* owned */
	size_t size;     /* bytes in use */
	size_t capacity; /* bytes available without a new mapping */
};

#define _cleanup_secret_ __attribute__((cleanup(secret_destroy)))

/* An empty secret with room for `capacity` bytes. `*secret` must own nothing. */
int secret_create(struct secret *secret, size_t capacity, struct error *err);

/* A copy of `bytes` in secret memory. `*secret` must own nothing. */
int secret_copy(struct secret *secret, struct span bytes, struct error *err);

/* Makes room for at least `capacity` bytes; if the secret moves, its old pages are wiped. */
int secret_reserve(struct secret *secret, size_t capacity, struct error *err);

/* Adds bytes at the end. `bytes` must not point into the secret itself. */
int secret_append(struct secret *secret, struct span bytes, struct error *err);
int secret_append_text(struct secret *secret, const char *text, struct error *err);

/*
 * Reads a descriptor to its end, directly into secret memory. `what` names it in the error. On
 * failure, such as more than `size_max` bytes, the secret is empty.
 */
int secret_read(struct secret *secret, int fd, size_t size_max, const char *what,
		struct error *err);

/* Adds random bytes from the kernel (getrandom(2)) at the end. */
int secret_append_random(struct secret *secret, size_t size, struct error *err);

/* Wipes the content and keeps the pages for reuse. */
void secret_clear(struct secret *secret);

/* Moves the pages: `*to` must own nothing, `*from` owns nothing afterwards. */
void secret_move(struct secret *to, struct secret *from);

struct span secret_span(const struct secret *secret);

/* Compares in a time that depends only on the sizes. */
bool secret_equal(struct span a, struct span b);

/* Wipes and releases; the secret is empty afterwards. */
void secret_destroy(struct secret *secret);

#define SECRET_PAGES_KEPT_MAX 16

/*
 * For a thread that creates and releases many secrets: mapping and locking pages takes longer than
 * encrypting their content. While it is in use, the pages of released secrets, wiped as always, are
 * kept for the thread's next ones. Starts as {0}, on the thread's own stack.
 */
struct secret_pages {
	struct {
		uint8_t *data; /* owned */
		size_t capacity;
	} kept[SECRET_PAGES_KEPT_MAX];
	size_t count;
};

/* Applies to the calling thread until it calls secret_pages_release(). Not nested. */
void secret_pages_keep(struct secret_pages *pages);
void secret_pages_release(struct secret_pages *pages);

/* Overwrites memory outside of a `struct secret`, such as a stack buffer. */
void memory_wipe(void *data, size_t size);

#endif
