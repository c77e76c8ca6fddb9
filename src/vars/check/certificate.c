/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/x509v3.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "vars/builtin/builtin.h"
#include "vars/builtin/pem.h"
#include "vars/check/check.h"

/* A certificate in PEM, with its intermediates. */
#define CERTIFICATE_SIZE_MAX ((size_t)64 * 1024)

#define DAY_SECONDS INT64_C(86400)

/* Renewed in the last third of its time, but at most its last thirty days: enough for a person to
 * run `generate` in time. */
#define RENEWAL_DAYS_MAX 30
#define RENEWAL_PART     3

/* The kind whose public certificate the file is, or NULL. */
static const struct config_builtin *certificate_kind(const struct vars_location *location)
{
	const struct config_generator *generator = location->generator;

	for (size_t i = 0; !location->file->secret && i < generator->file_count; i++) {
		const struct config_builtin *kind = &generator->files[i].builtin;

		if (kind->type == CONFIG_BUILTIN_TLS && kind->public_file &&
		    strcmp(kind->public_file, location->file->name) == 0)
			return kind;
	}
	return NULL;
}

/* Returns 1 and the certificate, or 0 if it does not exist. */
static int stored_read(int store_dirfd, const struct vars_location *location, X509 **certificate,
		       struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(location), *text = NULL;
	size_t size = 0;
	int r = path ? file_read_text(store_dirfd, path, CERTIFICATE_SIZE_MAX, &text, &size, err)
		     : error_no_memory(err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = certificate_read(span_of(text, size), certificate, err);
	return r < 0 ? error_wrap(err, "%s", path ? path : "") : 1;
}

/* Returns 1 if it has expired or will soon. */
static int time_check(const X509 *certificate, char **detail, struct error *err)
{
	const ASN1_TIME *start = X509_get0_notBefore(certificate);
	const ASN1_TIME *end = X509_get0_notAfter(certificate);
	int days = 0, seconds = 0, left_days = 0, left_seconds = 0;
	int64_t left, renewal;
	struct tm when;

	if (ASN1_TIME_diff(&days, &seconds, start, end) != 1 ||
	    ASN1_TIME_diff(&left_days, &left_seconds, NULL, end) != 1 ||
	    ASN1_TIME_to_tm(end, &when) != 1)
		return key_failed(err, "read a certificate's validity");
	left = left_days * DAY_SECONDS + left_seconds;
	renewal = (days * DAY_SECONDS + seconds) / RENEWAL_PART;
	if (renewal > RENEWAL_DAYS_MAX * DAY_SECONDS)
		renewal = RENEWAL_DAYS_MAX * DAY_SECONDS;
	if (left > 0 && left > renewal)
		return 0;
	*detail = text_format("%s on %04d-%02d-%02d", left > 0 ? "expires" : "expired",
			      when.tm_year + 1900, when.tm_mon + 1, when.tm_mday);
	return *detail ? 1 : error_no_memory(err);
}

/* Returns 1 if the authority's certificate is not the one that signed. */
static int issuer_check(const struct config *config, int store_dirfd,
			const struct vars_location *location, const struct config_builtin *kind,
			X509 *certificate, char **detail, struct error *err)
{
	const struct config_generator *generator =
		config_generator_find(config, kind->issuer, location->machine);
	const struct config_file *authority = kind_tls_authority(generator);
	_cleanup_certificate_ X509 *issuer = NULL;
	struct vars_location of = {.generator = generator};
	int r;

	of.file = authority ? config_file_find(generator, authority->builtin.public_file) : NULL;
	if (!of.file || of.file->secret)
		return 0;
	of.machine = generator->share ? NULL : location->machine;
	r = stored_read(store_dirfd, &of, &issuer, err);
	if (r <= 0 || X509_check_issued(issuer, certificate) == X509_V_OK)
		return r < 0 ? r : 0;
	*detail =
		text_format("%s has a new certificate, which did not sign this one", kind->issuer);
	return *detail ? 1 : error_no_memory(err);
}

int64_t certificate_end(struct span text)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	_cleanup_error_ struct error ignored = {0};
	_cleanup_certificate_ X509 *certificate = NULL;
	struct tm when;

	if (!memmem(text.data, text.size, begin, strlen(begin)) ||
	    certificate_read(text, &certificate, &ignored) < 0 ||
	    ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1)
		return 0;
	return timegm(&when);
}

int certificate_check(const struct config *config, int store_dirfd,
		      const struct vars_location *location, char **detail, struct error *err)
{
	const struct config_builtin *kind = certificate_kind(location);
	_cleanup_certificate_ X509 *certificate = NULL;
	int r = kind ? stored_read(store_dirfd, location, &certificate, err) : 0;

	*detail = NULL;
	if (r <= 0)
		return r;
	r = time_check(certificate, detail, err);
	if (r == 0 && kind->issuer)
		r = issuer_check(config, store_dirfd, location, kind, certificate, detail, err);
	return r;
}
