/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets, the only place where they live inside the process.
 *
 * Each secret has its own pages between two guard pages, locked into RAM (mlock(2)), left out of
 * core dumps (MADV_DONTDUMP), not inherited by a child (MADV_WIPEONFORK) and overwritten before
 * they are released. Where the system refuses to lock, the secret is held all the same: a program
 * that could not start its VM because of RLIMIT_MEMLOCK would only send its user back to plaintext
 * files. process_harden() warns about it once, before the first secret is read.
 *
 * `_cleanup_secret_` on the declaration wipes a secret when it goes out of scope. A `struct secret`
 * cannot be printed: there is no function for it. Start with `struct secret s = {0}`, which is an
 * empty secret that owns nothing.
 */
#ifndef VMCRED_BASE_SECRET_H
#define VMCRED_BASE_SECRET_H

#include "base/error.h"
#include "base/span.h"

struct secret {
	uint8_t *data;   /* owned */
	size_t size;     /* bytes in use */
	size_t capacity; /* bytes that can be used without a new mapping */
};

#define _cleanup_secret_ __attribute__((cleanup(secret_destroy)))

/* An empty secret with room for `capacity` bytes. `*secret` must own nothing. */
int secret_create(struct secret *secret, size_t capacity, struct error *err);

/* A copy of `bytes` in secret memory. `*secret` must own nothing. */
int secret_copy(struct secret *secret, struct span bytes, struct error *err);

/* Makes room for at least `capacity` bytes; a move wipes the old pages. */
int secret_reserve(struct secret *secret, size_t capacity, struct error *err);

/* Adds bytes at the end, growing as needed. `bytes` may not point into the secret itself. */
int secret_append(struct secret *secret, struct span bytes, struct error *err);
int secret_append_text(struct secret *secret, const char *text, struct error *err);

/*
 * Reads a descriptor to its end, straight into secret memory. More than `size_max` bytes are an
 * error, and the secret is left empty. `what` names the source in the error.
 */
int secret_read(struct secret *secret, int fd, size_t size_max, const char *what,
		struct error *err);

/* Random bytes from the kernel (getrandom(2)) added at the end. */
int secret_append_random(struct secret *secret, size_t size, struct error *err);

/* Wipes what is in it and keeps its pages, for the next one. */
void secret_clear(struct secret *secret);

/* Takes the pages over: `*to` must own nothing, `*from` owns nothing afterwards. */
void secret_move(struct secret *to, struct secret *from);

struct span secret_span(const struct secret *secret);

/* Compares in a time that depends on the sizes alone. */
bool secret_equal(struct span a, struct span b);

/* Wipes and releases; the secret is empty afterwards. */
void secret_destroy(struct secret *secret);

#define SECRET_PAGES_KEPT_MAX 16

/*
 * For a thread that makes and releases many secrets: making and locking pages takes longer than
 * encrypting what is in them. While it lives, the pages of the thread's released secrets, wiped as
 * ever, are kept for its next ones. Starts as {0}, on the thread's own stack.
 */
struct secret_pages {
	struct {
		uint8_t *data; /* owned */
		size_t capacity;
	} kept[SECRET_PAGES_KEPT_MAX];
	size_t count;
};

/* The calling thread's secrets use them, from now on to secret_pages_release(), which the same
 * thread calls. They have no others at that time. */
void secret_pages_keep(struct secret_pages *pages);
void secret_pages_release(struct secret_pages *pages);

/* Overwrites memory that is not a `struct secret`, such as a stack buffer of a primitive. */
void memory_wipe(void *data, size_t size);

#endif
