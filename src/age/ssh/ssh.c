/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH keys as recipients and identities. An encrypted private key is decrypted when the first
 * stanza with its public key's tag is found, and then kept.
 */
#include <pthread.h>
#include <stdlib.h>

#include "age/keys.h"
#include "age/ssh/stanza.h"

struct ssh_recipient {
	struct age_recipient base;
	struct ssh_public_key key;
};

struct ssh_identity {
	struct age_identity base;
	char *what; /* owned; the file's name */
	struct ssh_private_file file;
	pthread_mutex_t lock;
	bool is_open;
	struct ssh_private_key key; /* once it is open */
};

static const struct ssh_stanza_ops *ops_of(const struct ssh_public_key *key)
{
	return key->type == SSH_RSA ? &ssh_rsa_stanza_ops : &ssh_ed25519_stanza_ops;
}

static int recipient_wrap(const struct age_recipient *base, struct span file_key,
			  struct secret *header, struct error *err)
{
	const struct ssh_public_key *key = &((const struct ssh_recipient *)base)->key;

	return ops_of(key)->wrap(key, file_key, header, err);
}

static void recipient_destroy(struct age_recipient *base)
{
	ssh_public_key_destroy(&((struct ssh_recipient *)base)->key);
	age_recipient_free(base);
}

static const struct age_recipient_ops ssh_recipient_ops = {
	.wrap = recipient_wrap,
	.destroy = recipient_destroy,
};

int age_ssh_recipient_parse(struct span text, struct age_recipient **recipient, struct error *err)
{
	struct ssh_recipient *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	*recipient = &new->base;
	new->base.ops = &ssh_recipient_ops;
	r = ssh_public_key_parse(text, &new->key, err);
	return r < 0 ? r : ops_of(&new->key)->check(&new->key, err);
}

/* The caller holds the lock. */
static int key_open(struct ssh_identity *identity, struct error *err)
{
	_cleanup_secret_ struct secret passphrase = {0};
	int r = 0;

	if (identity->file.encryption.cipher)
		r = age_passphrase_ask(identity->base.prompt, identity->what, &passphrase, err);
	if (r == 0)
		r = ssh_private_file_open(&identity->file, secret_span(&passphrase), &identity->key,
					  err);
	if (r == 0) {
		identity->is_open = true;
		return 0;
	}
	/* The identity is unusable; the file that it should open may be fine. */
	err->code = VMCRED_MISSING;
	return error_wrap(err, "opening the SSH private key %s", identity->what);
}

static int identity_unwrap(struct age_identity *base, const struct age_stanza *stanza,
			   uint8_t *file_key, struct error *err)
{
	struct ssh_identity *identity = (struct ssh_identity *)base;
	const struct ssh_public_key *key = &identity->file.public_key;
	const struct ssh_stanza_ops *ops = ops_of(key);
	int r = 0;

	if (age_stanza_argument_count(stanza) != ops->arguments)
		return age_stanza_malformed(stanza, "wrong number of arguments", err);
	if (!span_equal(age_stanza_argument(stanza, 1), span_of_text(key->tag)))
		return 0;
	pthread_mutex_lock(&identity->lock);
	if (!identity->is_open)
		r = key_open(identity, err);
	pthread_mutex_unlock(&identity->lock);
	return r < 0 ? r : ops->unwrap(key, &identity->key, stanza, file_key, err);
}

static void identity_destroy(struct age_identity *base)
{
	struct ssh_identity *identity = (struct ssh_identity *)base;

	pthread_mutex_destroy(&identity->lock);
	ssh_private_key_destroy(&identity->key);
	ssh_private_file_destroy(&identity->file);
	free(identity->what);
	age_identity_free(base);
}

static const struct age_identity_ops ssh_identity_ops = {
	.unwrap = identity_unwrap,
	.destroy = identity_destroy,
};

int age_ssh_identity_parse(struct span text, struct span public_text, const char *what,
			   struct age_identity **identity, struct error *err)
{
	struct ssh_identity *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	*identity = &new->base;
	new->base.ops = &ssh_identity_ops;
	pthread_mutex_init(&new->lock, NULL);
	r = ssh_private_file_parse(text, public_text, &new->file, err);
	if (r < 0)
		return r;
	new->base.stanza_type = ssh_key_type_name(new->file.public_key.type);
	new->base.recipient = ssh_public_key_format(&new->file.public_key);
	new->what = strdup(what);
	return new->base.recipient &&new->what ? 0 : error_no_memory(err);
}

int age_identities_add_converted(struct age_identities *identities, struct span text,
				 const char *what, struct error *err)
{
	__attribute__((cleanup(ssh_private_file_destroy))) struct ssh_private_file file = {0};
	_cleanup_ssh_private_key_ struct ssh_private_key key = {0};
	_cleanup_secret_ struct secret scalar = {0};
	struct age_identity *identity = NULL;
	int r = ssh_private_file_parse(text, span_of(NULL, 0), &file, err);

	if (r == 0 && file.public_key.type != SSH_ED25519)
		r = error_set(err, VMCRED_FAILED,
			      "only an Ed25519 key can be converted to an age key, not an RSA key");
	if (r == 0)
		r = ssh_private_file_open(&file, span_of(NULL, 0), &key, err);
	if (r == 0)
		r = ssh_ed25519_scalar(key.seed, &scalar, err);
	if (r == 0)
		r = age_x25519_identity_create(&scalar, &identity, err);
	if (r < 0)
		r = error_wrap(err, "%s", what);
	return age_identities_take(identities, identity, r, err);
}
