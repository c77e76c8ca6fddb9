/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generator's `rotateAfter`. A document says when its value was stored, and nothing needs to be
 * decrypted to read that.
 */
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "vars/check/check.h"
#include "vars/secrets/secrets.h"

#define DAY_SECONDS INT64_C(86400)

int rotation_check(const struct config_generator *generator, const struct sops_document *document,
		   char **detail, struct error *err)
{
	const int64_t age = time(NULL) - sops_document_modified(document);
	const int64_t limit = (int64_t)generator->rotate_days * DAY_SECONDS;

	/* Clocks differ, but not by a day: such a secret would never be overdue. */
	if (limit == 0 || (age <= limit && age > -DAY_SECONDS))
		return 0;
	*detail = age < 0 ? strdup("dated in the future")
			  : text_format("%lld days old, rotateAfter: %zud",
					(long long)(age / DAY_SECONDS), generator->rotate_days);
	return *detail ? 1 : error_no_memory(err);
}

int generator_rotation_check(int store_dirfd, const char *machine,
			     const struct config_generator *generator, char **detail,
			     struct error *err)
{
	int r = 0;

	*detail = NULL;
	for (size_t i = 0; r == 0 && generator->rotate_days > 0 && i < generator->file_count; i++) {
		const struct vars_location location = {machine, generator, &generator->files[i]};
		_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
		_cleanup_free_ char *reason = NULL;

		if (!location.file->secret)
			continue;
		r = stored_secret_open(store_dirfd, &location, false, &stored, err);
		if (r == 0)
			r = stored_secret_read(&stored, err);
		if (r == -(int)VMCRED_MISSING) {
			error_clear(err);
			r = 0;
			continue;
		}
		if (r == 0)
			r = rotation_check(generator, stored.document, &reason, err);
		if (r <= 0)
			continue;
		*detail = text_format("%s is %s", location.file->name, reason);
		r = *detail ? 1 : error_no_memory(err);
	}
	return r;
}
