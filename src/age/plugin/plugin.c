/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipients and identities of plugins (C2SP age-plugin.md), and the two state machines. All keys
 * of a list that belong to one plugin go through one session.
 */
#include "age/plugin/plugin.h"

#include <sys/random.h>

#include <stdlib.h>

#include "age/bech32.h"
#include "age/keys.h"
#include "base/cleanup.h"
#include "base/text.h"

#define RECIPIENT_PREFIX "age1"
#define IDENTITY_PREFIX  "AGE-PLUGIN-"

struct plugin_recipient {
	struct age_recipient base;
	struct secret identity; /* NUL-terminated; empty: base.text is the key */
};

struct plugin_identity {
	struct age_identity base;
	struct secret text; /* NUL-terminated */
};

static const char *text_of(const struct age_identity *identity)
{
	return (const char *)((const struct plugin_identity *)identity)->text.data;
}

/* Sends a random stanza now and then, so that plugins keep ignoring unknown ones ("Grease"). */
static int grease_send(struct plugin *plugin, struct error *err)
{
	uint8_t random[4] = {0};
	char line[64];

	if (getrandom(random, sizeof(random), 0) != sizeof(random) || random[0] % 2 == 0)
		return 0;
	snprintf(line, sizeof(line), "grease-%02x%02x %u", random[1], random[2], random[3]);
	return plugin_send(plugin, line, span_of(random, random[1] % sizeof(random)), err);
}

/* Sends `command text`. */
static int argument_send(struct plugin *plugin, const char *command, const char *text,
			 struct error *err)
{
	_cleanup_secret_ struct secret line = {0};
	int r = secret_append_text(&line, command, err);

	if (r == 0)
		r = secret_append_text(&line, " ", err);
	if (r == 0)
		r = secret_append(&line, span_of(text, strlen(text) + 1), err);
	if (r == 0)
		r = plugin_send(plugin, (const char *)line.data, span_of(NULL, 0), err);
	return r;
}

static bool is_of_plugin(const char *group, const char *plugin)
{
	return group && strcmp(group, plugin) == 0;
}

static bool is_command(const struct age_stanza *stanza, const char *command)
{
	return span_equal(age_stanza_argument(stanza, 0), span_of_text(command));
}

/* A session handles one file, whose index is 0. */
static bool is_for_file(const struct age_stanza *stanza)
{
	return span_equal(age_stanza_argument(stanza, 1), span_of_text("0"));
}

/* Sends the keys of the recipient `index` and all others of its plugin. */
static int recipients_send(struct plugin *plugin, const struct age_recipients *recipients,
			   size_t index, struct span file_key, struct error *err)
{
	int r = 0;

	for (size_t i = index; r == 0 && i < recipients->count; i++) {
		const struct age_recipient *recipient = recipients->items[i];
		const struct secret *identity =
			&((const struct plugin_recipient *)recipient)->identity;

		if (!is_of_plugin(recipient->group, plugin->name))
			continue;
		r = identity->size > 0
			    ? argument_send(plugin, "add-identity", (const char *)identity->data,
					    err)
			    : argument_send(plugin, "add-recipient", recipient->text, err);
	}
	if (r == 0)
		r = grease_send(plugin, err);
	if (r == 0)
		r = plugin_send(plugin, "wrap-file-key", file_key, err);
	if (r == 0)
		r = plugin_send(plugin, "extension-labels", span_of(NULL, 0), err);
	return r < 0 ? r : plugin_send(plugin, "done", span_of(NULL, 0), err);
}

/* The results of a recipient session. */
struct wrapping {
	struct secret *header;
	size_t stanzas;
	char *labels; /* owned; NULL until received */
};

/* `recipient-stanza 0 TYPE ARGUMENT...`: a stanza for the header. */
static int stanza_take(struct plugin *plugin, const struct age_stanza *stanza,
		       struct wrapping *wrapping, struct error *err)
{
	_cleanup_free_ char *line = NULL;
	struct span type = age_stanza_argument(stanza, 2);
	int r;

	if (age_stanza_argument_count(stanza) < 3 || !is_for_file(stanza))
		return error_set(err, VMCRED_FAILED, "malformed recipient-stanza");
	line = strndup((const char *)type.data,
		       (size_t)(stanza->line.data + stanza->line.size - type.data));
	if (!line)
		return error_no_memory(err);
	r = age_stanza_append(wrapping->header, line, stanza->body, err);
	wrapping->stanzas++;
	return r < 0 ? r : plugin_send(plugin, "ok", span_of(NULL, 0), err);
}

/* `labels LABEL...`: sorted, because they are a set. */
static int labels_take(struct plugin *plugin, const struct age_stanza *stanza,
		       struct wrapping *wrapping, struct error *err)
{
	size_t count = age_stanza_argument_count(stanza) - 1;
	_cleanup_free_ struct span *labels = calloc(count + 1, sizeof(*labels));
	char *to;

	if (wrapping->labels)
		return error_set(err, VMCRED_FAILED, "duplicate labels");
	wrapping->labels = to = malloc(stanza->line.size + 1);
	if (!labels || !to)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++)
		labels[i] = age_stanza_argument(stanza, i + 1);
	qsort(labels, count, sizeof(*labels), spans_compare);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			*to++ = ' ';
		memcpy(to, labels[i].data, labels[i].size);
		to += labels[i].size;
	}
	*to = '\0';
	return plugin_send(plugin, "ok", span_of(NULL, 0), err);
}

static int wrapping_receive(struct plugin *plugin, struct wrapping *wrapping, struct error *err)
{
	int r;

	for (;;) {
		struct age_stanza stanza;

		r = plugin_receive(plugin, &stanza, err);
		if (r == 0 && is_command(&stanza, "done"))
			break;
		if (r == 0 && is_command(&stanza, "recipient-stanza"))
			r = stanza_take(plugin, &stanza, wrapping, err);
		else if (r == 0 && is_command(&stanza, "labels"))
			r = labels_take(plugin, &stanza, wrapping, err);
		else if (r == 0 && is_command(&stanza, "error"))
			r = plugin_error(plugin, &stanza, err);
		else if (r == 0)
			r = plugin_answer(plugin, &stanza, err);
		if (r < 0)
			return r;
	}
	if (wrapping->stanzas == 0)
		return error_set(err, VMCRED_FAILED, "it returned no stanza");
	return 0;
}

static int recipients_wrap(const struct age_recipients *recipients, size_t index,
			   struct span file_key, struct secret *header, char **labels,
			   struct error *err)
{
	const struct age_recipient *recipient = recipients->items[index];
	_cleanup_plugin_ struct plugin plugin = {0};
	struct wrapping wrapping = {.header = header};
	int r;

	for (size_t i = 0; i < index; i++) {
		if (is_of_plugin(recipients->items[i]->group, recipient->group))
			return 0;
	}
	r = plugin_start(&plugin, recipient->group, "recipient-v1", recipient->prompt, err);
	if (r == 0)
		r = recipients_send(&plugin, recipients, index, file_key, err);
	if (r == 0)
		r = wrapping_receive(&plugin, &wrapping, err);
	*labels = wrapping.labels;
	if (r < 0)
		return error_wrap(err, "encrypting with the age plugin %s", recipient->group);
	if (!*labels)
		*labels = strdup("");
	return *labels ? 0 : error_no_memory(err);
}

static void recipient_destroy(struct age_recipient *base)
{
	secret_destroy(&((struct plugin_recipient *)base)->identity);
	age_recipient_free(base);
}

static const struct age_recipient_ops plugin_recipient_ops = {
	.wrap_group = recipients_wrap,
	.destroy = recipient_destroy,
};

static int identities_send(struct plugin *plugin, const struct age_identities *identities,
			   size_t index, const struct age_header *header, struct error *err)
{
	int r = 0;

	for (size_t i = index; r == 0 && i < identities->count; i++) {
		const struct age_identity *identity = identities->items[i];

		if (is_of_plugin(identity->group, plugin->name))
			r = argument_send(plugin, "add-identity", text_of(identity), err);
	}
	if (r == 0)
		r = grease_send(plugin, err);
	for (size_t i = 0; r == 0 && i < header->count; i++) {
		const struct age_stanza *stanza = &header->stanzas[i];
		_cleanup_free_ char *line =
			text_format("recipient-stanza 0 %.*s", (int)stanza->line.size,
				    (const char *)stanza->line.data);

		r = line ? plugin_send(plugin, line, stanza->body, err) : error_no_memory(err);
	}
	return r < 0 ? r : plugin_send(plugin, "done", span_of(NULL, 0), err);
}

/* `file-key 0` */
static int file_key_take(struct plugin *plugin, const struct age_stanza *stanza, bool *found,
			 uint8_t *file_key, struct error *err)
{
	if (age_stanza_argument_count(stanza) != 2 || !is_for_file(stanza) || *found ||
	    stanza->body.size != AGE_FILE_KEY_SIZE)
		return error_set(err, VMCRED_FAILED, "malformed file-key");
	memcpy(file_key, stanza->body.data, AGE_FILE_KEY_SIZE);
	*found = true;
	return plugin_send(plugin, "ok", span_of(NULL, 0), err);
}

static int file_key_receive(struct plugin *plugin, uint8_t *file_key, struct error *err)
{
	bool found = false;
	int r;

	for (;;) {
		struct age_stanza stanza;

		r = plugin_receive(plugin, &stanza, err);
		if (r == 0 && is_command(&stanza, "done"))
			return found;
		if (r == 0 && is_command(&stanza, "file-key"))
			r = file_key_take(plugin, &stanza, &found, file_key, err);
		else if (r == 0 && is_command(&stanza, "error"))
			r = plugin_error(plugin, &stanza, err);
		else if (r == 0)
			r = plugin_answer(plugin, &stanza, err);
		if (r < 0)
			return r;
	}
}

static int identities_unwrap(const struct age_identities *identities, size_t index,
			     const struct age_header *header, uint8_t *file_key, struct error *err)
{
	const struct age_identity *identity = identities->items[index];
	_cleanup_plugin_ struct plugin plugin = {0};
	int r;

	for (size_t i = 0; i < index; i++) {
		if (is_of_plugin(identities->items[i]->group, identity->group))
			return 0;
	}
	r = plugin_start(&plugin, identity->group, "identity-v1", identity->prompt, err);
	if (r == 0)
		r = identities_send(&plugin, identities, index, header, err);
	if (r == 0)
		r = file_key_receive(&plugin, file_key, err);
	if (r < 0) {
		/* Another identity may still open the file ("State machines"). */
		err->code = VMCRED_MISSING;
		return error_wrap(err, "the age plugin %s", identity->group);
	}
	return r;
}

static int identity_encode(const struct age_identity *base, struct secret *text, struct error *err)
{
	const struct secret *own = &((const struct plugin_identity *)base)->text;

	return secret_append(text, span_of(own->data, own->size - 1), err);
}

/* The plugin derives the public key, which only it knows. */
static int identity_recipients(struct age_identity *base, struct age_recipients *recipients,
			       struct error *err)
{
	const struct secret *own = &((const struct plugin_identity *)base)->text;
	struct plugin_recipient *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return error_no_memory(err);
	new->base.ops = &plugin_recipient_ops;
	new->base.text = strdup(base->recipient);
	new->base.group = strdup(base->group);
	r = new->base.text &&new->base.group ? secret_copy(&new->identity, secret_span(own), err)
					     : error_no_memory(err);
	return age_recipients_take(recipients, &new->base, r, err);
}

static void identity_destroy(struct age_identity *base)
{
	secret_destroy(&((struct plugin_identity *)base)->text);
	age_identity_free(base);
}

static const struct age_identity_ops plugin_identity_ops = {
	.unwrap_group = identities_unwrap,
	.recipients = identity_recipients,
	.encode = identity_encode,
	.destroy = identity_destroy,
};

/* The plugin's name in lower case, in new memory. */
static int name_read(struct span text, char **name, struct error *err)
{
	if (text.size == 0)
		return error_set(err, VMCRED_FAILED, "missing plugin name");
	*name = strndup((const char *)text.data, text.size);
	if (!*name)
		return error_no_memory(err);
	for (char *c = *name; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
		if ((*c < 'a' || *c > 'z') && (*c < '0' || *c > '9') && !strchr("+-._", *c))
			return error_set(err, VMCRED_FAILED, "invalid plugin name");
	}
	return 0;
}

int age_plugin_recipient_parse(struct span text, struct age_recipient **recipient,
			       struct error *err)
{
	struct plugin_recipient *new = calloc(1, sizeof(*new));
	size_t start = strlen(RECIPIENT_PREFIX), prefix_size = 0;
	int r;

	if (!new)
		return error_no_memory(err);
	*recipient = &new->base;
	new->base.ops = &plugin_recipient_ops;
	r = bech32_check(text, BECH32_LOWER, &prefix_size, err);
	if (r < 0)
		return r;
	return name_read(span_of(text.data + start, prefix_size > start ? prefix_size - start : 0),
			 &new->base.group, err);
}

int age_plugin_identity_parse(struct span text, struct age_identity **identity, struct error *err)
{
	struct plugin_identity *new = calloc(1, sizeof(*new));
	size_t start = strlen(IDENTITY_PREFIX), prefix_size = 0;
	int r;

	if (!new)
		return error_no_memory(err);
	*identity = &new->base;
	new->base.ops = &plugin_identity_ops;
	r = bech32_check(text, BECH32_UPPER, &prefix_size, err);
	/* The prefix ends with a '-' after the name. */
	if (r == 0 && (prefix_size <= start + 1 || text.data[prefix_size - 1] != '-'))
		r = error_set(err, VMCRED_FAILED, "missing plugin name");
	if (r == 0)
		r = name_read(span_of(text.data + start, prefix_size - start - 1), &new->base.group,
			      err);
	if (r == 0)
		r = secret_copy(&new->text, text, err);
	if (r == 0)
		r = secret_append(&new->text, span_of("", 1), err);
	if (r < 0)
		return r;
	new->base.recipient = text_format("<key of age-plugin-%s>", new->base.group);
	return new->base.recipient ? 0 : error_no_memory(err);
}

int age_identities_add_plugin(struct age_identities *identities, const char *name,
			      struct error *err)
{
	_cleanup_free_ char *prefix = NULL, *checked = NULL;
	_cleanup_secret_ struct secret text = {0};
	int r;

	/* Do not quote a secret key in a later error. */
	if (strncmp(name, "AGE-", strlen("AGE-")) == 0)
		return error_set(err, VMCRED_USAGE, "secret key given instead of a plugin's name");
	r = name_read(span_of_text(name), &checked, err);
	if (r == 0)
		prefix = text_format("age-plugin-%s-", checked);
	if (r == 0)
		r = prefix ? bech32_encode_secret(prefix, span_of(NULL, 0), &text, err)
			   : error_no_memory(err);
	return r < 0 ? r : age_identities_add(identities, secret_span(&text), err);
}
