/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What answers are made of: the declaration, its store and the machine's identities, as they are
 * now, and who asks for what.
 *
 * Plaintext is decrypted for each request and not kept: a document of the store holds one secret, a
 * unit asks for it once, and what is not there cannot be taken. A thousand units that share one
 * secret cost a thousand decryptions: a quarter of a second, a small part of what systemd spends on
 * starting them.
 */
#ifndef VMCRED_ACTIVATE_SERVE_SOURCE_H
#define VMCRED_ACTIVATE_SERVE_SOURCE_H

#include "activate/activate.h"
#include "activate/serve/address.h"
#include "activate/serve/declaration.h"
#include "activate/serve/identity.h"

struct serve_source {
	const struct serve_options *options;
	const struct report *report;
	struct serve_declaration declaration; /* starts as {.store_dirfd = -1} */
	struct serve_identity identity;
	/* The last one of each: it is told once, and to everyone as long as nothing was read. */
	struct error declaration_fault, identity_fault;
};

struct serve_request {
	struct ucred peer;
	struct serve_address asked; /* empty: not known */
	char credential[256];       /* its whole name; empty: not known */
	struct stat document;       /* that the answer began with */
};

/*
 * Reads anew what has changed, or all with `force`. A fault in it is reported once, and what was
 * there before stays in force; while nothing was, requests are refused.
 */
void serve_source_update(struct serve_source *source, bool force);

/* Who has connected. VMCRED_USAGE: it is neither root nor PID 1, and gets no answer at all. */
int serve_request_check_peer(int fd, struct serve_request *request, struct error *err);

/* Says in the request what the peer asks for. VMCRED_FAILED: it does not ask as systemd does. */
int serve_request_ask(int fd, struct serve_request *request, struct error *err);

/*
 * Decrypts what the request asks for. `*left_out`: it is optional and not
 * in the store, and `*value` stays empty. VMCRED_USAGE: the unit does not get it.
 */
int serve_request_read(const struct serve_source *source, struct serve_request *request,
		       struct secret *value, bool *left_out, struct error *err);

/* The same secret once more. VMCRED_FAILED: its document is another one by now. */
int serve_request_read_again(const struct serve_source *source, const struct serve_request *request,
			     struct secret *value, struct error *err);

void serve_source_release(struct serve_source *source);

#endif
