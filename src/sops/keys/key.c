/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/keys/key.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "sops/tree/timestamp.h"

/* stores/stores.go and each type's ToString() in sops's sources; fields in alphabetical order. */
static const struct sops_key_type_row rows[SOPS_KEY_TYPES] = {
	[SOPS_KEY_KMS] = {.name = "kms",
			  .fields = {{"arn", SOPS_FIELD_TEXT},
				     {"aws_profile", SOPS_FIELD_TEXT},
				     {"created_at", SOPS_FIELD_TIME},
				     {"enc", SOPS_FIELD_ENC},
				     {"role", SOPS_FIELD_OPTIONAL}},
			  .text = "$0"},
	[SOPS_KEY_GCP_KMS] = {.name = "gcp_kms",
			      .fields = {{"created_at", SOPS_FIELD_TIME},
					 {"enc", SOPS_FIELD_ENC},
					 {"resource_id", SOPS_FIELD_TEXT}},
			      .text = "$2",
			      .text_field = 2},
	[SOPS_KEY_HCKMS] = {.name = "hckms",
			    .fields = {{"created_at", SOPS_FIELD_TIME},
				       {"enc", SOPS_FIELD_ENC},
				       {"key_id", SOPS_FIELD_TEXT}},
			    .text = "$2",
			    .text_field = 2},
	[SOPS_KEY_AZURE_KV] = {.name = "azure_kv",
			       .fields = {{"created_at", SOPS_FIELD_TIME},
					  {"enc", SOPS_FIELD_ENC},
					  {"name", SOPS_FIELD_TEXT},
					  {"vault_url", SOPS_FIELD_TEXT},
					  {"version", SOPS_FIELD_TEXT}},
			       .text = "$3/keys/$2/$4",
			       .text_field = 3},
	[SOPS_KEY_HC_VAULT] = {.name = "hc_vault",
			       .always_in_group = true,
			       .fields = {{"created_at", SOPS_FIELD_TIME},
					  {"enc", SOPS_FIELD_ENC},
					  {"engine_path", SOPS_FIELD_TEXT},
					  {"key_name", SOPS_FIELD_TEXT},
					  {"vault_address", SOPS_FIELD_TEXT}},
			       .text = "$4/v1/$2/keys/$3",
			       .text_field = 4},
	[SOPS_KEY_PGP] = {.name = "pgp",
			  .supported = true,
			  .fields = {{"created_at", SOPS_FIELD_TIME},
				     {"enc", SOPS_FIELD_ENC},
				     {"fp", SOPS_FIELD_TEXT}},
			  .text = "$2",
			  .text_field = 2},
	[SOPS_KEY_AGE] = {.name = "age",
			  .supported = true,
			  .always_in_group = true,
			  .fields = {{"enc", SOPS_FIELD_ENC}, {"recipient", SOPS_FIELD_TEXT}},
			  .text = "$1",
			  .text_field = 1},
};

const struct sops_key_type_row *sops_key_type_row(enum sops_key_type type)
{
	return &rows[type];
}

const char *sops_key_type_name(enum sops_key_type type)
{
	return rows[type].name;
}

bool sops_key_type_is_supported(enum sops_key_type type)
{
	return rows[type].supported;
}

static size_t enc_field(enum sops_key_type type)
{
	size_t i = 0;

	while (rows[type].fields[i].use != SOPS_FIELD_ENC)
		i++;
	return i;
}

const char *sops_key_enc(const struct sops_key *key)
{
	const char *enc = key->fields[enc_field(key->type)];

	return enc ? enc : "";
}

void sops_key_enc_set(struct sops_key *key, char *enc)
{
	char **field = &key->fields[enc_field(key->type)];

	free(*field);
	*field = enc;
}

int sops_key_compare(const struct sops_key *a, const struct sops_key *b)
{
	int order = strcmp(a->text, b->text);

	return order != 0 ? order : (int)a->type - (int)b->type;
}

void sops_key_destroy(struct sops_key *key)
{
	free(key->text);
	for (size_t i = 0; i < SOPS_KEY_FIELDS_MAX; i++)
		free(key->fields[i]);
	for (size_t i = 0; i < key->context_count; i++) {
		free(key->context[i].name);
		free(key->context[i].value);
	}
	free(key->context);
	*key = (struct sops_key){0};
}

/* Copies NULL as NULL. */
static bool text_copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

int sops_key_copy(struct sops_key *to, const struct sops_key *from, struct error *err)
{
	bool done;

	*to = (struct sops_key){.type = from->type};
	done = text_copy(&to->text, from->text);
	for (size_t i = 0; i < SOPS_KEY_FIELDS_MAX; i++)
		done = text_copy(&to->fields[i], from->fields[i]) && done;
	if (from->context_count > 0)
		to->context = calloc(from->context_count, sizeof(*to->context));
	done = done && (to->context || from->context_count == 0);
	for (size_t i = 0; done && i < from->context_count; i++) {
		to->context_count++;
		done = text_copy(&to->context[i].name, from->context[i].name) &&
		       text_copy(&to->context[i].value, from->context[i].value);
	}
	if (done)
		return 0;
	sops_key_destroy(to);
	return error_no_memory(err);
}

int sops_key_group_take(struct sops_key_group *group, struct sops_key *key, struct error *err)
{
	int r = array_extend(&group->keys, group->count, sizeof(*key), err);

	if (r < 0) {
		sops_key_destroy(key);
		return r;
	}
	group->keys[group->count++] = *key;
	*key = (struct sops_key){0};
	return 0;
}

static void without_spaces(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text != ' ')
			*to++ = *text;
	}
	*to = '\0';
}

int sops_key_group_add(struct sops_key_group *group, enum sops_key_type type, struct span text,
		       struct error *err)
{
	const struct sops_key_type_row *row = &rows[type];
	char now[SOPS_TIMESTAMP_SIZE_MAX];
	struct sops_key key = {.type = type};
	bool done = true;
	int r = sops_timestamp_now(now, err);

	if (r < 0)
		return r;
	key.text = strndup((const char *)text.data, text.size);
	if (key.text && type == SOPS_KEY_PGP)
		without_spaces(key.text);
	for (size_t i = 0; key.text && row->fields[i].name; i++) {
		if (row->fields[i].use == SOPS_FIELD_TIME)
			done = text_copy(&key.fields[i], now) && done;
		else if (i == row->text_field)
			done = text_copy(&key.fields[i], key.text) && done;
	}
	if (!key.text || !done) {
		sops_key_destroy(&key);
		return error_no_memory(err);
	}
	return sops_key_group_take(group, &key, err);
}

void sops_key_group_destroy(struct sops_key_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		sops_key_destroy(&group->keys[i]);
	free(group->keys);
	*group = (struct sops_key_group){0};
}
