/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A P-256 key and its certificate (RFC 5280): an authority, a leaf signed by another generator's
 * authority, or a self-signed one. A leaf does not outlive its authority.
 */
#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "vars/builtin/builtin.h"
#include "vars/builtin/pem.h"

#define SERIAL_BITS 159 /* positive, and at most 20 bytes: RFC 5280, section 4.1.2.2 */

/* So that hosts with slow clocks accept a new certificate. */
#define BACKDATED_SECONDS 300

struct issuer {
	X509 *certificate; /* owned */
	EVP_PKEY *key;     /* owned */
	struct span chain; /* its certificate and the intermediates, in PEM; borrowed */
};

static void issuer_destroy(struct issuer *issuer)
{
	X509_free(issuer->certificate);
	EVP_PKEY_free(issuer->key);
}

static int input_find(const struct kind_task *task, const char *generator, const char *file,
		      struct span *value, struct error *err)
{
	_cleanup_free_ char *name = text_format("%s/%s", generator, file);

	return name ? inputs_find(task->inputs, name, value, err) : error_no_memory(err);
}

const struct config_file *kind_tls_authority(const struct config_generator *generator)
{
	for (size_t i = 0; generator && i < generator->file_count; i++) {
		const struct config_builtin *kind = &generator->files[i].builtin;

		if (kind->type == CONFIG_BUILTIN_TLS && kind->authority)
			return &generator->files[i];
	}
	return NULL;
}

static int issuer_check(const struct kind_task *task, const struct issuer *issuer,
			struct error *err)
{
	const char *name = task->file->builtin.issuer;

	if (X509_check_ca(issuer->certificate) == 0)
		return error_set(err, VMCRED_FAILED, "the certificate of %s is not an authority's",
				 name);
	if (X509_check_private_key(issuer->certificate, issuer->key) != 1) {
		key_failed(err, "");
		return error_set(err, VMCRED_FAILED,
				 "the key and the certificate of %s do not match", name);
	}
	if (X509_cmp_current_time(X509_get0_notAfter(issuer->certificate)) <= 0) {
		error_set(err, VMCRED_FAILED, "the certificate of the authority %s has expired",
			  name);
		return error_hint(err,
				  "`vmcred generate --generator %s --regenerate` replaces it "
				  "and all that it signed",
				  name);
	}
	return 0;
}

static int issuer_read(const struct kind_task *task, struct issuer *issuer, struct error *err)
{
	const struct config_file *authority = kind_tls_authority(config_generator_find(
		task->inputs->config, task->file->builtin.issuer, task->inputs->machine));
	struct span text = {0};
	int r;

	if (!authority)
		return error_set(err, VMCRED_FAILED, "the generator %s has no authority",
				 task->file->builtin.issuer);
	r = input_find(task, task->file->builtin.issuer, authority->name, &text, err);
	if (r == 0)
		r = key_private_read(text, &issuer->key, err);
	if (r == 0)
		r = input_find(task, task->file->builtin.issuer, authority->builtin.public_file,
			       &text, err);
	if (r == 0)
		r = certificate_read(text, &issuer->certificate, err);
	/* Clients have the root and must be sent the intermediates: RFC 8446, section 4.4.2. */
	if (r == 0 && X509_check_issued(issuer->certificate, issuer->certificate) != X509_V_OK)
		issuer->chain = text;
	return r < 0 ? error_wrap(err, "issuer %s", task->file->builtin.issuer)
		     : issuer_check(task, issuer, err);
}

static bool serial_set(X509 *certificate)
{
	BIGNUM *number = BN_new();
	bool done = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
		    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

	BN_free(number);
	return done;
}

static bool name_set(X509_NAME *name, const char *subject)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject,
					  -1, -1, 0) == 1;
}

/* From now for the given days, but no longer than the issuer. */
static bool validity_set(X509 *certificate, size_t days, const X509 *issuer)
{
	const time_t now = time(NULL);
	ASN1_TIME *end = ASN1_TIME_adj(NULL, now, (int)days, 0);
	const ASN1_TIME *last = end;
	bool done;

	if (end && issuer && ASN1_TIME_compare(X509_get0_notAfter(issuer), end) < 0)
		last = X509_get0_notAfter(issuer);
	done = end && ASN1_TIME_adj(X509_getm_notBefore(certificate), now, 0, -BACKDATED_SECONDS) &&
	       X509_set1_notAfter(certificate, last) == 1;
	ASN1_TIME_free(end);
	return done;
}

static bool extension_add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool done;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	done = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static int names_add(X509 *certificate, X509 *issuer, char *const *names, struct error *err)
{
	_cleanup_strings_ struct strings list = {0};
	_cleanup_free_ char *text = NULL;

	/* The declaration accepts no names that are more than a name in OpenSSL's syntax. */
	for (; names && *names; names++) {
		if (strings_add_format(&list, err, "%s:%s", is_address(*names) ? "IP" : "DNS",
				       *names) < 0)
			return -(int)err->code;
	}
	if (list.count == 0)
		return 0;
	text = strings_join(&list, ",");
	if (!text)
		return error_no_memory(err);
	return extension_add(certificate, issuer, NID_subject_alt_name, text)
		       ? 0
		       : key_failed(err, "add the names to the certificate");
}

static bool extensions_add(X509 *certificate, X509 *issuer, const struct config_builtin *kind)
{
	const bool ca = kind->authority;

	return extension_add(certificate, issuer, NID_basic_constraints,
			     ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	       extension_add(certificate, issuer, NID_key_usage,
			     ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
	       (ca ||
		extension_add(certificate, issuer, NID_ext_key_usage, "serverAuth,clientAuth")) &&
	       extension_add(certificate, issuer, NID_subject_key_identifier, "hash") &&
	       extension_add(certificate, issuer, NID_authority_key_identifier, "keyid");
}

static int certificate_make(const struct kind_task *task, EVP_PKEY *key,
			    const struct issuer *issuer, X509 *certificate, struct error *err)
{
	const struct config_builtin *kind = &task->file->builtin;
	const char *subject = kind->subject ? kind->subject : task->generator->name;
	X509 *signer = issuer->certificate ? issuer->certificate : certificate;
	int r;

	if (X509_set_version(certificate, X509_VERSION_3) != 1 || !serial_set(certificate) ||
	    !name_set(X509_get_subject_name(certificate), subject) ||
	    X509_set_issuer_name(certificate, X509_get_subject_name(signer)) != 1 ||
	    !validity_set(certificate, kind->days, issuer->certificate) ||
	    X509_set_pubkey(certificate, key) != 1 || !extensions_add(certificate, signer, kind))
		return key_failed(err, "create the certificate");
	r = names_add(certificate, signer, kind->names, err);
	if (r < 0)
		return r;
	return X509_sign(certificate, issuer->key ? issuer->key : key, EVP_sha256()) > 0
		       ? 0
		       : key_failed(err, "sign the certificate");
}

int kind_tls_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err)
{
	__attribute__((cleanup(issuer_destroy))) struct issuer issuer = {0};
	_cleanup_key_ EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	_cleanup_certificate_ X509 *certificate = X509_new();
	int r = key && certificate ? 0 : key_failed(err, "create a key");

	if (r == 0 && task->file->builtin.issuer)
		r = issuer_read(task, &issuer, err);
	if (r == 0)
		r = certificate_make(task, key, &issuer, certificate, err);
	if (r == 0)
		r = key_private_pem(key, content, err);
	if (r == 0)
		r = certificate_pem(certificate, public_half, err);
	return r < 0 || issuer.chain.size == 0 ? r : secret_append(public_half, issuer.chain, err);
}
