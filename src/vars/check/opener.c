/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "vars/check/check.h"
#include "vars/secrets/secrets.h"

int opener_load(struct opener *opener, bool has_pgp, struct error *err)
{
	const struct age_identities *loaded;
	int r = 0;

	if (opener->is_loaded)
		return 0;
	r = keyring_load(has_pgp, opener->identities, opener->data, &opener->keyring, err);
	if (r < 0)
		return r;
	opener->is_loaded = true;
	loaded = opener->keyring.identities;
	for (size_t i = 0; loaded && i < loaded->count; i++)
		opener->has_plugin |= age_identity_is_plugin(loaded->items[i]);
	return 0;
}

/* What the calling thread has left for the pool. */
struct rest {
	size_t first;
	void (*work)(void *context, size_t index);
	void (*watch)(void *context, size_t done);
	void *context;
};

static void rest_work(void *context, size_t index)
{
	const struct rest *rest = context;

	rest->work(rest->context, rest->first + index);
}

static void rest_watch(void *context, size_t done)
{
	const struct rest *rest = context;

	rest->watch(rest->context, rest->first + done);
}

void opener_run(const struct opener *opener, bool opens, size_t count,
		void (*work)(void *context, size_t index),
		void (*watch)(void *context, size_t done), void *context)
{
	struct rest rest = {.work = work, .watch = watch, .context = context};

	for (; opens && rest.first < count && (!opener->is_open || opener->has_plugin);
	     rest.first++) {
		watch(context, rest.first);
		work(context, rest.first);
	}
	pool_run_watched(count - rest.first, rest_work, rest_watch, &rest);
}
