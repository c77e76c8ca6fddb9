/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the credentials of the boot with the host's manifest, and reports the result. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/text.h"
#include "delivery/delivery.h"
#include "guest/guest.h"
#include "guest/host.h"
#include "oem/oem.h"

/* Where the manifest and all other credentials can be: systemd before 262 leaves them in an initrd
 * that is the root file system. */
static const struct place {
	const char *directory, *suffix;
} places[] = {
	{GUEST_CREDENTIALS "/" GUEST_SYSTEM, ""},
	{GUEST_EXTRA, GUEST_EXTRA_SUFFIX},
};

struct verify {
	const struct place *place;        /* that of the manifest */
	int dirfd;                        /* owned; of its directory */
	struct strings listed;            /* the manifest's names */
	struct channel_finding *findings; /* owned */
	size_t count;
	size_t wrong; /* of them, those that are not only unexpected */
	const struct report *report;
};

static void verify_release(struct verify *verify)
{
	cleanup_close_fd(&verify->dirfd);
	strings_destroy(&verify->listed);
	free(verify->findings);
}

static int finding_add(struct verify *verify, const char *name, enum channel_problem problem,
		       struct error *err)
{
	struct channel_finding *finding;

	if (array_extend(&verify->findings, verify->count, sizeof(*finding), err) < 0)
		return -(int)err->code;
	finding = &verify->findings[verify->count++];
	*finding = (struct channel_finding){.problem = problem};
	memcpy(finding->credential, name, strnlen(name, CREDENTIAL_NAME_SIZE_MAX));
	verify->wrong += problem != CHANNEL_UNEXPECTED;
	report_message(verify->report, REPORT_WARNING, "verify: %s: %s", name,
		       channel_problem_name(problem));
	return 0;
}

static int credential_read(const struct verify *verify, const char *name, size_t size_max,
			   struct secret *value, struct error *err)
{
	_cleanup_free_ char *file = text_format("%s%s", name, verify->place->suffix);

	return file ? file_read_secret(verify->dirfd, file, size_max, value, err)
		    : error_no_memory(err);
}

static int entry_check(struct verify *verify, const struct delivery_manifest *manifest,
		       const struct delivery_entry *entry, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	enum channel_problem problem;
	int r = credential_read(verify, entry->name, oem_limit_max(OEM_LIMIT_CREDENTIAL), &value,
				err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return finding_add(verify, entry->name, CHANNEL_MISSING, err);
	}
	if (r < 0)
		return r;
	problem = delivery_entry_check(manifest, entry, secret_span(&value));
	return problem == CHANNEL_MORE ? 0 : finding_add(verify, entry->name, problem, err);
}

static int entries_check(struct verify *verify, struct span text, struct error *err)
{
	struct delivery_manifest manifest;
	struct delivery_entry entry;
	bool is_one = true;
	int r = delivery_manifest_read(text, &manifest, err);

	while (r == 0 && is_one) {
		r = delivery_manifest_next(&manifest, &entry, &is_one, err);
		if (r == 0 && is_one)
			r = strings_add(&verify->listed, entry.name, err);
		if (r == 0 && is_one)
			r = entry_check(verify, &manifest, &entry, err);
	}
	return r;
}

static int unexpected_find(void *context, const char *file, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *extra = NULL;
	struct verify *verify = context;
	const bool is_extra = *verify->place->suffix;
	int r = is_extra ? guest_extra_name(file, &extra, err) : 0;
	const char *name = is_extra ? extra : file;

	if (r < 0 || !name || strcmp(name, DELIVERY_MANIFEST) == 0 ||
	    strings_contain(&verify->listed, name) || credential_name_check(name, &ignored) < 0)
		return r;
	return finding_add(verify, name, CHANNEL_UNEXPECTED, err);
}

static int manifest_find(struct verify *verify, struct secret *text, struct error *err)
{
	int r = -VMCRED_MISSING;

	for (size_t i = 0; r == -VMCRED_MISSING && i < sizeof(places) / sizeof(places[0]); i++) {
		error_clear(err);
		cleanup_close_fd(&verify->dirfd);
		verify->place = &places[i];
		verify->dirfd = dir_open(AT_FDCWD, places[i].directory, err);
		r = verify->dirfd < 0 ? verify->dirfd
				      : credential_read(verify, DELIVERY_MANIFEST,
							DELIVERY_MANIFEST_SIZE_MAX, text, err);
	}
	return r;
}

/* Finds what is wrong. Without a whole manifest, nothing else is known. */
static int credentials_check(struct verify *verify, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = manifest_find(verify, &text, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return finding_add(verify, DELIVERY_MANIFEST, CHANNEL_MISSING, err);
	}
	if (r == 0)
		r = entries_check(verify, secret_span(&text), err);
	if (r == -(int)VMCRED_INTEGRITY) {
		error_clear(err);
		verify->count = verify->wrong = 0;
		return finding_add(verify, DELIVERY_MANIFEST, CHANNEL_CHANGED, err);
	}
	return r < 0 ? r : dir_each(verify->dirfd, ".", unexpected_find, verify, err);
}

static int result_send(const struct verify *verify, const char *host, struct error *err)
{
	_cleanup_secret_ struct secret answer = {0};
	uint8_t request[CHANNEL_REQUEST_SIZE_MAX];
	size_t size = channel_report_write(request);
	bool fits = true;
	int r;

	for (size_t i = 0; fits && i < verify->count; i++)
		fits = channel_report_add(request, &size, &verify->findings[i]);
	r = host_ask(host, span_of(request, size), CHANNEL_RECORDED, 0, &answer, err);
	return r < 0 ? error_wrap(err, "reporting to the host") : 0;
}

int guest_verify(const char *host, const struct report *report, struct error *err)
{
	__attribute__((cleanup(verify_release))) struct verify verify = {.dirfd = -1,
									 .report = report};
	int r = credentials_check(&verify, err);

	if (r == 0)
		r = result_send(&verify, host, err);
	if (r < 0)
		return r;
	if (verify.wrong == 0) {
		report_message(report, REPORT_INFO, "verify: all %zu credentials are whole",
			       verify.listed.count);
		return 0;
	}
	if (strcmp(verify.findings[0].credential, DELIVERY_MANIFEST) == 0 &&
	    verify.findings[0].problem == CHANNEL_MISSING) {
		error_set(err, VMCRED_MISSING, "the host sent no manifest, or it did not arrive");
		return error_hint(err, "declare channelCredentials for the VM");
	}
	return error_set(err, VMCRED_INTEGRITY, "%zu credential%s did not arrive whole",
			 verify.wrong, verify.wrong == 1 ? "" : "s");
}
