/* SPDX-License-Identifier: Apache-2.0 */
/* The serial of the last signed bundle. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "bundle/bundle.h"

#define RECORD_NAME     "bundle.json"
#define RECORD_SIZE_MAX ((size_t)64 * 1024)

/* A signer whose clock is ahead would keep out the others until then. Hosts without a battery start
 * with an old clock, so it cannot be less than what they may be wrong by for a moment. */
#define AHEAD_MAX (UINT64_C(24) * 60 * 60 * BUNDLE_SERIAL_SECOND)

void bundle_serial_text(uint64_t serial, char text[BUNDLE_TIME_SIZE])
{
	if (!text_time((int64_t)(serial / BUNDLE_SERIAL_SECOND), text))
		snprintf(text, BUNDLE_TIME_SIZE, "%" PRIu64, serial / BUNDLE_SERIAL_SECOND);
}

/* 0: there was none. */
static int record_read(int dirfd, uint64_t *serial, char digest[BUNDLE_DIGEST_SIZE],
		       struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *record = NULL;
	const char *found = NULL;
	json_int_t number = 0;
	size_t size;
	int r = file_read_text(dirfd, RECORD_NAME, RECORD_SIZE_MAX, &text, &size, err);

	*serial = 0;
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = json_parse(span_of(text, size), RECORD_NAME, &record, err);
	if (r == 0 && (json_unpack(record, "{s:I, s:s}", "serial", &number, "sha256", &found) < 0 ||
		       number <= 0 || strlen(found) != BUNDLE_DIGEST_SIZE - 1))
		r = error_set(err, VMCRED_FAILED, "%s is damaged", RECORD_NAME);
	if (r < 0)
		return error_hint(err, "remove /var/lib/vmcred/" RECORD_NAME
				       ": the next signed bundle is accepted then");
	*serial = (uint64_t)number;
	memcpy(digest, found, BUNDLE_DIGEST_SIZE);
	return 0;
}

int bundle_serial_check(int dirfd, const struct bundle_manifest *manifest, struct error *err)
{
	char digest[BUNDLE_DIGEST_SIZE], new[BUNDLE_TIME_SIZE], old[BUNDLE_TIME_SIZE];
	uint64_t last = 0;
	int r = dirfd < 0 ? 0 : record_read(dirfd, &last, digest, err);

	if (r < 0)
		return r;
	bundle_serial_text(manifest->serial, new);
	bundle_serial_text(last, old);
	if (manifest->serial > bundle_serial_now() + AHEAD_MAX) {
		error_set(err, VMCRED_INTEGRITY, "the bundle was signed at %s, in the future", new);
		return error_hint(err, "check the clocks of its signer and of this host");
	}
	if (manifest->serial > last ||
	    (manifest->serial == last && strcmp(manifest->digest, digest) == 0))
		return 0;
	error_set(err, VMCRED_INTEGRITY,
		  "the bundle was signed at %s, %s the last one (serials %" PRIu64 " and %" PRIu64
		  ")",
		  new, manifest->serial == last ? "like" : "before", manifest->serial, last);
	return error_hint(err, "export the current bundle; the last one was signed at %s", old);
}

int bundle_serial_write(int dirfd, const struct bundle_manifest *manifest, struct error *err)
{
	_cleanup_json_ json_t *record =
		json_pack("{s:s, s:I, s:s, s:s}", "machine", manifest->machine, "serial",
			  (json_int_t)manifest->serial, "sha256", manifest->digest, "signer",
			  manifest->signer);
	_cleanup_free_ char *text = record ? json_dumps(record, JSON_INDENT(2)) : NULL;

	int r = text ? 0 : error_no_memory(err);

	/* Those of killed runs. */
	if (r == 0)
		r = dir_remove_temporaries(dirfd, RECORD_NAME, false, err);
	return r < 0 ? r : file_replace(dirfd, RECORD_NAME, span_of_text(text), 0644, err);
}
