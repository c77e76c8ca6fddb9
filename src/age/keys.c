/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of recipients and identities, and the tables of their types. */
#include "age/keys.h"

#include <stdlib.h>

#include "age/age.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/secret.h"
#include "base/text.h"

static const struct {
	const char *prefix;
	int (*parse)(struct span text, struct age_recipient **recipient, struct error *err);
} recipient_types[] = {
	{"age1pq1", age_hybrid_recipient_parse},
	{"age1", age_x25519_recipient_parse},
	{"ssh-", age_ssh_recipient_parse},
};

static const struct {
	const char *prefix;
	int (*parse)(struct span text, struct age_identity **identity, struct error *err);
} identity_types[] = {
	{"AGE-SECRET-KEY-1", age_x25519_identity_parse},
	{"AGE-SECRET-KEY-PQ-1", age_hybrid_identity_parse},
	{"AGE-PLUGIN-", age_plugin_identity_parse},
};

#define RECIPIENT_TYPES (sizeof(recipient_types) / sizeof(recipient_types[0]))
#define IDENTITY_TYPES  (sizeof(identity_types) / sizeof(identity_types[0]))

/* The types by prefix; a second '1' follows the name of a plugin, since no key contains a '1'. */
static int recipient_parse(struct span text, struct age_recipient **recipient, struct error *err)
{
	size_t type = 0, prefix = 0;

	for (; type < RECIPIENT_TYPES; type++) {
		prefix = strlen(recipient_types[type].prefix);
		if (span_starts_with(text, span_of_text(recipient_types[type].prefix)))
			break;
	}
	/* Do not quote a secret key. */
	if (span_starts_with(text, span_of_text("AGE-")))
		return error_set(err, VMCRED_USAGE,
				 "secret key given instead of a public key (age1…)");
	if (type == RECIPIENT_TYPES)
		return error_set(err, VMCRED_USAGE, "a recipient is not an age public key (age1…)");
	if (recipient_types[type].parse == age_x25519_recipient_parse &&
	    memchr(text.data + prefix, '1', text.size - prefix))
		return age_plugin_recipient_parse(text, recipient, err);
	return recipient_types[type].parse(text, recipient, err);
}

static bool is_printable(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return true;
}

int age_recipients_take(struct age_recipients *recipients, struct age_recipient *recipient, int r,
			struct error *err)
{
	if (r == 0)
		r = recipient ? array_extend(&recipients->items, recipients->count, sizeof(void *),
					     err)
			      : error_no_memory(err);
	if (r < 0) {
		if (recipient)
			recipient->ops->destroy(recipient);
		return r;
	}
	recipients->items[recipients->count++] = recipient;
	recipient->prompt = recipients->prompt;
	return 0;
}

int age_recipients_add(struct age_recipients *recipients, struct span text, struct error *err)
{
	struct age_recipient *recipient = NULL;
	struct span type;
	int r;

	/* The comment of an SSH key can be any text. */
	if (!is_printable(text) && !age_ssh_is_public_key(text, &type))
		return error_set(err, VMCRED_USAGE, "a recipient is not an age public key (age1…)");
	r = recipient_parse(text, &recipient, err);
	if (r == -(int)VMCRED_FAILED) {
		err->code = VMCRED_USAGE;
		r = error_wrap(err, "\"%.*s\" is not an age public key", (int)text.size,
			       (const char *)text.data);
	}
	if (r == 0 && recipient) {
		recipient->text = strndup((const char *)text.data, text.size);
		if (!recipient->text)
			r = error_no_memory(err);
	}
	return age_recipients_take(recipients, recipient, r, err);
}

int age_recipients_add_identities(struct age_recipients *recipients,
				  const struct age_identities *identities, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < identities->count; i++) {
		struct age_identity *identity = identities->items[i];

		r = identity->ops->recipients
			    ? identity->ops->recipients(identity, recipients, err)
			    : age_recipients_add(recipients, span_of_text(identity->recipient),
						 err);
	}
	return r;
}

int age_recipients_add_passphrase(struct age_recipients *recipients, struct span passphrase,
				  unsigned int work_factor, struct error *err)
{
	struct age_recipient *recipient = NULL;
	int r = age_scrypt_recipient_create(passphrase, work_factor, &recipient, err);

	return age_recipients_take(recipients, recipient, r, err);
}

int age_recipients_parse(struct span text, const char *what, struct age_recipients *recipients,
			 struct error *err)
{
	size_t before = recipients->count;
	struct span line, type;

	for (size_t number = 1; span_take_line(&text, &line); number++) {
		_cleanup_error_ struct error reason = {0};
		int r;

		if (line.size > 0 && line.data[line.size - 1] == '\r')
			line.size--;
		if (line.size == 0 || line.data[0] == '#')
			continue;
		r = age_recipients_add(recipients, line, &reason);
		/* As in a file of authorized keys. */
		if (r == -(int)VMCRED_USAGE && age_ssh_is_public_key(line, &type)) {
			report_message(recipients->report, REPORT_WARNING,
				       "%s: line %zu: ignoring unsupported SSH key of type %.*s",
				       what, number, (int)type.size, (const char *)type.data);
			continue;
		}
		/* The reason quotes the line, and the file may contain anything. */
		if (r == -(int)VMCRED_USAGE)
			return error_set(err, VMCRED_USAGE, "%s: line %zu is not an age public key",
					 what, number);
		if (r < 0) {
			error_move(err, &reason);
			return error_wrap(err, "%s: line %zu", what, number);
		}
	}
	return recipients->count == before
		       ? error_set(err, VMCRED_USAGE, "%s: contains no public key", what)
		       : 0;
}

void age_recipient_free(struct age_recipient *recipient)
{
	free(recipient->text);
	free(recipient->group);
	free(recipient);
}

void age_recipients_destroy(struct age_recipients *recipients)
{
	for (size_t i = 0; i < recipients->count; i++)
		recipients->items[i]->ops->destroy(recipients->items[i]);
	free(recipients->items);
	*recipients = (struct age_recipients){.prompt = recipients->prompt};
}

const char *age_recipient_text(const struct age_recipient *recipient)
{
	return recipient->text;
}

int age_identities_take(struct age_identities *identities, struct age_identity *identity, int r,
			struct error *err)
{
	if (r == 0)
		r = identity ? array_extend(&identities->items, identities->count, sizeof(void *),
					    err)
			     : error_no_memory(err);
	if (r < 0) {
		if (identity)
			identity->ops->destroy(identity);
		return r;
	}
	identities->items[identities->count++] = identity;
	identity->prompt = identities->prompt;
	return 0;
}

int age_identities_add(struct age_identities *identities, struct span text, struct error *err)
{
	struct age_identity *identity = NULL;

	for (size_t i = 0; i < IDENTITY_TYPES; i++) {
		int r;

		if (!span_starts_with(text, span_of_text(identity_types[i].prefix)))
			continue;
		r = identity_types[i].parse(text, &identity, err);
		if (r < 0)
			r = error_wrap(err, "the secret key is not valid");
		return age_identities_take(identities, identity, r, err);
	}
	if (span_starts_with(text, span_of_text("age1")))
		return error_set(err, VMCRED_FAILED, "public key instead of a secret key");
	return error_set(err, VMCRED_FAILED, "not an age secret key (AGE-SECRET-KEY-1…)");
}

int age_identities_add_passphrase(struct age_identities *identities, struct span passphrase,
				  struct error *err)
{
	struct age_identity *identity = NULL;
	int r = age_scrypt_identity_create(passphrase, "the file", &identity, err);

	return age_identities_take(identities, identity, r, err);
}

int age_identities_generate(struct age_identities *identities, enum age_key_type type,
			    struct error *err)
{
	struct age_identity *identity = NULL;
	int r = type == AGE_HYBRID ? age_hybrid_identity_generate(&identity, err)
				   : age_x25519_identity_generate(&identity, err);

	return age_identities_take(identities, identity, r, err);
}

int age_identities_parse_lines(struct span text, const char *what,
			       struct age_identities *identities, struct error *err)
{
	size_t before = identities->count;
	struct span line;

	for (size_t number = 1; span_take_line(&text, &line); number++) {
		if (line.size > 0 && line.data[line.size - 1] == '\r')
			line.size--;
		if (line.size == 0 || line.data[0] == '#')
			continue;
		if (age_identities_add(identities, line, err) < 0)
			return error_wrap(err, "%s: line %zu", what, number);
	}
	if (identities->count > before)
		return 0;
	error_set(err, VMCRED_FAILED, "%s: contains no secret key", what);
	return error_hint(err, "generate one with `vmcred keygen --output FILE`");
}

void age_identity_free(struct age_identity *identity)
{
	free(identity->recipient);
	free(identity->group);
	free(identity);
}

void age_identities_destroy(struct age_identities *identities)
{
	for (size_t i = 0; i < identities->count; i++)
		identities->items[i]->ops->destroy(identities->items[i]);
	free(identities->items);
	*identities = (struct age_identities){.prompt = identities->prompt};
}

bool age_identity_is_plugin(const struct age_identity *identity)
{
	return identity->group != NULL;
}

const char *age_identity_recipient(const struct age_identity *identity)
{
	return identity->recipient;
}

int age_passphrase_ask(const struct age_prompt *prompt, const char *what, struct secret *answer,
		       struct error *err)
{
	_cleanup_free_ char *question = text_format("Enter passphrase for %s:", what);

	if (!prompt || !prompt->ask)
		return error_set(err, VMCRED_MISSING,
				 "encrypted with a passphrase, and there is nobody to ask");
	if (!question)
		return error_no_memory(err);
	if (prompt->ask(prompt->context, question, true, answer, err) < 0) {
		err->code = VMCRED_MISSING;
		return error_wrap(err, "asking for its passphrase");
	}
	return answer->size == 0 ? error_set(err, VMCRED_MISSING, "no passphrase given") : 0;
}
