/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An identity file that age encrypted with a passphrase. Nothing in it names its recipients, so it
 * is decrypted for the first file to open, and its identities are kept.
 */
#include <pthread.h>
#include <stdlib.h>

#include "age/age.h"
#include "age/file_key.h"
#include "age/keys.h"

struct encrypted_identity {
	struct age_identity base;
	char *what;         /* owned; the file's name */
	struct secret file; /* binary */
	pthread_mutex_t lock;
	struct age_identities identities; /* empty until the file is decrypted */
};

/* The caller holds the lock. */
static int identities_open(struct encrypted_identity *identity, struct error *err)
{
	const struct age_prompt *prompt = identity->base.prompt;
	_cleanup_age_identities_ struct age_identities passphrase = {.prompt = prompt};
	_cleanup_secret_ struct secret text = {0};
	struct age_identity *scrypt = NULL;
	int r = age_scrypt_identity_create(span_of(NULL, 0), identity->what, &scrypt, err);

	r = age_identities_take(&passphrase, scrypt, r, err);
	if (r == 0)
		r = age_decrypt(secret_span(&identity->file), &passphrase, &text, err);
	if (r == 0) {
		identity->identities.prompt = prompt;
		r = age_identities_parse_lines(secret_span(&text), identity->what,
					       &identity->identities, err);
	}
	if (r == 0)
		return 0;
	age_identities_destroy(&identity->identities);
	/* The identity is unusable; the file that it should open may be fine. */
	err->code = VMCRED_MISSING;
	return error_wrap(err, "opening the encrypted identity file %s", identity->what);
}

static int identity_open(struct encrypted_identity *identity, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&identity->lock);
	if (identity->identities.count == 0)
		r = identities_open(identity, err);
	pthread_mutex_unlock(&identity->lock);
	return r;
}

static int identity_unwrap(const struct age_identities *identities, size_t index,
			   const struct age_header *header, uint8_t *file_key, struct error *err)
{
	struct encrypted_identity *identity = (struct encrypted_identity *)identities->items[index];
	int r = identity_open(identity, err);

	return r < 0 ? r : age_file_key_search(header, &identity->identities, file_key, err);
}

static int identity_recipients(struct age_identity *base, struct age_recipients *recipients,
			       struct error *err)
{
	struct encrypted_identity *identity = (struct encrypted_identity *)base;
	int r = identity_open(identity, err);

	return r < 0 ? r : age_recipients_add_identities(recipients, &identity->identities, err);
}

static void identity_destroy(struct age_identity *base)
{
	struct encrypted_identity *identity = (struct encrypted_identity *)base;

	pthread_mutex_destroy(&identity->lock);
	age_identities_destroy(&identity->identities);
	secret_destroy(&identity->file);
	free(identity->what);
	age_identity_free(base);
}

static const struct age_identity_ops encrypted_identity_ops = {
	.unwrap_group = identity_unwrap,
	.recipients = identity_recipients,
	.destroy = identity_destroy,
};

int age_encrypted_identity_create(struct span file, const char *what,
				  struct age_identity **identity, struct error *err)
{
	_cleanup_age_header_ struct age_header header = {0};
	struct encrypted_identity *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	*identity = &new->base;
	new->base.ops = &encrypted_identity_ops;
	pthread_mutex_init(&new->lock, NULL);
	new->base.recipient = strdup("<encrypted identity file>");
	new->what = strdup(what);
	if (!new->base.recipient || !new->what)
		return error_no_memory(err);
	r = age_armor_detect(file) ? age_armor_decode(file, &new->file, err)
				   : secret_copy(&new->file, file, err);
	/* Report now if it cannot be opened later. */
	if (r == 0)
		r = age_header_parse(secret_span(&new->file), &header, err);
	if (r == 0 && (header.count != 1 || !span_equal(age_stanza_argument(&header.stanzas[0], 0),
							span_of_text("scrypt"))))
		r = error_set(err, VMCRED_FAILED, "encrypted, but not with a passphrase");
	return r;
}
