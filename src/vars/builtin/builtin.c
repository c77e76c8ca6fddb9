/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/builtin/builtin.h"

#include <string.h>

static const struct {
	enum config_builtin_type type;
	kind_fn make;
} kinds[] = {
	{CONFIG_BUILTIN_BASE64, kind_random_make},
	{CONFIG_BUILTIN_BASE64URL, kind_random_make},
	{CONFIG_BUILTIN_HEX, kind_random_make},
	{CONFIG_BUILTIN_ALPHANUMERIC, kind_random_make},
	{CONFIG_BUILTIN_PIN, kind_random_make},
	{CONFIG_BUILTIN_UUID, kind_random_make},
	{CONFIG_BUILTIN_MACHINE_ID, kind_random_make},
	{CONFIG_BUILTIN_PASSPHRASE, kind_passphrase_make},
	{CONFIG_BUILTIN_SSH_KEY, kind_ssh_key_make},
	{CONFIG_BUILTIN_AGE_KEY, kind_age_key_make},
	{CONFIG_BUILTIN_WIREGUARD, kind_wireguard_make},
	{CONFIG_BUILTIN_TLS, kind_tls_make},
	{CONFIG_BUILTIN_JWT, kind_jwt_make},
	/* Last: it hashes a file that any of the others may create. */
	{CONFIG_BUILTIN_PASSWORD_HASH, kind_password_hash_make},
};

int builtin_run(const struct config_generator *generator, const struct inputs *inputs,
		struct value *values, struct error *err)
{
	struct kind_task task = {.generator = generator, .inputs = inputs, .values = values};

	for (size_t row = 0; row < sizeof(kinds) / sizeof(kinds[0]); row++) {
		for (size_t i = 0; i < generator->file_count; i++) {
			_cleanup_secret_ struct secret unused = {0};
			struct secret *public_half = &unused;
			const char *public_file = generator->files[i].builtin.public_file;

			if (generator->files[i].builtin.type != kinds[row].type)
				continue;
			task.file = &generator->files[i];
			for (size_t j = 0; public_file && j < generator->file_count; j++) {
				if (strcmp(values[j].file->name, public_file) == 0)
					public_half = &values[j].plaintext;
			}
			if (kinds[row].make(&task, &values[i].plaintext, public_half, err) < 0)
				return error_wrap(err, "creating %s/%s", generator->name,
						  task.file->name);
		}
	}
	return 0;
}
