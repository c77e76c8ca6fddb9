/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"
#include "vars/script.h"
#include "vars/vars.h"

static int hex_append(struct secret *out, struct span bytes, struct error *err)
{
	static const char digits[] = "0123456789abcdef";
	int r = 0;

	for (size_t i = 0; r == 0 && i < bytes.size; i++) {
		const char pair[] = {digits[bytes.data[i] >> 4], digits[bytes.data[i] & 15]};

		r = secret_append(out, span_of(pair, sizeof(pair)), err);
	}
	return r;
}

static int kind_run(const struct config_kind *kind, struct secret *value, struct error *err)
{
	_cleanup_secret_ struct secret random = {0};
	int r = secret_append_random(&random, kind->size, err);

	if (r < 0)
		return r;
	if (kind->type == CONFIG_KIND_HEX)
		return hex_append(value, secret_span(&random), err);
	return base64_encode_secret(secret_span(&random), BASE64_PADDED, value, err);
}

int vars_generator_run(const struct config_generator *generator, struct vars_value *values,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < generator->file_count; i++)
		values[i].file = &generator->files[i];
	if (generator->script)
		return script_run(generator, values, err);
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = kind_run(&generator->files[i].kind, &values[i].plaintext, err);
	return r;
}

void vars_values_release(struct vars_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		secret_destroy(&values[i].plaintext);
}
