/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/builtin/builtin.h"

#include <string.h>

static const struct {
	enum config_builtin_type type;
	kind_fn make;
} rows[] = {
	{CONFIG_BUILTIN_BASE64, kind_base64_make},
	{CONFIG_BUILTIN_BASE64URL, kind_base64url_make},
	{CONFIG_BUILTIN_HEX, kind_hex_make},
	{CONFIG_BUILTIN_ALPHANUMERIC, kind_alphanumeric_make},
	{CONFIG_BUILTIN_PIN, kind_pin_make},
	{CONFIG_BUILTIN_UUID, kind_uuid_make},
	{CONFIG_BUILTIN_MACHINE_ID, kind_machine_id_make},
	{CONFIG_BUILTIN_PASSPHRASE, kind_passphrase_make},
	{CONFIG_BUILTIN_SSH_KEY, kind_ssh_key_make},
	{CONFIG_BUILTIN_AGE_KEY, kind_age_key_make},
	{CONFIG_BUILTIN_WIREGUARD, kind_wireguard_make},
	{CONFIG_BUILTIN_TLS, kind_tls_make},
	{CONFIG_BUILTIN_JWT, kind_jwt_make},
	/* Last: it is of another file, which may be made by any of the others. */
	{CONFIG_BUILTIN_PASSWORD_HASH, kind_password_hash_make},
};

static struct secret *value_of(struct vars_value *values, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++) {
		if (strcmp(values[i].file->name, name) == 0)
			return &values[i].plaintext;
	}
	return NULL;
}

static int file_make(const struct kind_task *task, kind_fn make, struct vars_value *values,
		     size_t index, struct error *err)
{
	_cleanup_secret_ struct secret unwanted = {0};
	struct secret *public_half =
		value_of(values, task->generator->file_count, task->file->builtin.public_file);
	int r = make(task, &values[index].plaintext, public_half ? public_half : &unwanted, err);

	return r < 0 ? error_wrap(err, "making %s/%s", task->generator->name, task->file->name) : 0;
}

int kinds_run(const struct config_generator *generator, const struct vars_inputs *inputs,
	      struct vars_value *values, struct error *err)
{
	struct kind_task task = {.generator = generator, .inputs = inputs, .values = values};
	int r = 0;

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
			task.file = &generator->files[i];
			if (task.file->builtin.type == rows[row].type)
				r = file_make(&task, rows[row].make, values, i, err);
		}
	}
	return r;
}
