/* SPDX-License-Identifier: Apache-2.0 */
/* Signed bundles: a manifest, its signature, and the bundle. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "bundle/bundle.h"
#include "bundle/ssh.h"
#include "bundle/tar.h"

#define MANIFEST_NAME  "manifest"
#define SIGNATURE_NAME "manifest.sig"
#define CONTENT_NAME   "bundle.tar"

#define MANIFEST_FORMAT        \
	"vmcred-bundle 1\n"    \
	"machine %s\n"         \
	"serial %" PRIu64 "\n" \
	"sha256 %s\n"

/* The name of a machine is that of a file. */
#define MANIFEST_SIZE_MAX  ((size_t)1024)
#define SIGNATURE_SIZE_MAX ((size_t)64 * 1024)

#define DIGEST_SIZE 32

_Static_assert(BUNDLE_DIGEST_SIZE == 2 * DIGEST_SIZE + 1, "SHA-256 in hexadecimal");

void bundle_manifest_release(struct bundle_manifest *manifest)
{
	free(manifest->machine);
	free(manifest->signer);
	*manifest = (struct bundle_manifest){0};
}

static int digest_make(struct span content, char digest[BUNDLE_DIGEST_SIZE], struct error *err)
{
	uint8_t bytes[DIGEST_SIZE];

	if (EVP_Digest(content.data, content.size, bytes, NULL, EVP_sha256(), NULL) != 1)
		return error_set(err, VMCRED_FAILED, "SHA-256 is not available");
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		snprintf(digest + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

uint64_t bundle_serial_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * BUNDLE_SERIAL_SECOND + (uint64_t)now.tv_nsec / 1000;
}

int bundle_sign(const struct bundle_bytes *content, const char *machine, const char *key,
		struct bundle_bytes *bundle, struct error *err)
{
	const struct span bytes = span_of(content->data, content->size);
	char digest[BUNDLE_DIGEST_SIZE];
	_cleanup_free_ char *manifest = NULL, *signature = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	int r = digest_make(bytes, digest, err);

	if (r < 0)
		return r;
	manifest = text_format(MANIFEST_FORMAT, machine, bundle_serial_now(), digest);
	if (!manifest)
		return error_no_memory(err);
	r = ssh_sign(key, span_of_text(manifest), &signature, err);
	if (r < 0)
		return r;
	stream = open_memstream(&bundle->data, &bundle->size);
	if (!stream)
		return error_no_memory(err);
	r = tar_add(stream, MANIFEST_NAME, span_of_text(manifest), err);
	if (r == 0)
		r = tar_add(stream, SIGNATURE_NAME, span_of_text(signature), err);
	if (r == 0)
		r = tar_add(stream, CONTENT_NAME, bytes, err);
	return r < 0 ? r : tar_finish(pointer_release(&stream), err);
}

/* The value of the next line, which must have that key; else an empty text. */
static const char *value_take(char **rest, const char *key)
{
	const char *line = strsep(rest, "\n");
	const size_t size = strlen(key);

	return line && strncmp(line, key, size) == 0 && line[size] == ' ' ? line + size + 1 : "";
}

/* Reads the text, which must be what bundle_sign() makes of the same values. */
static int manifest_read(struct span text, struct bundle_manifest *manifest, struct error *err)
{
	_cleanup_free_ char *copy = strndup((const char *)text.data, text.size), *correct = NULL;
	const char *machine, *digest;
	char *rest = copy;

	if (!copy)
		return error_no_memory(err);
	(void)value_take(&rest, "vmcred-bundle");
	machine = value_take(&rest, "machine");
	manifest->serial = strtoull(value_take(&rest, "serial"), NULL, 10);
	digest = value_take(&rest, "sha256");
	correct = text_format(MANIFEST_FORMAT, machine, manifest->serial, digest);
	manifest->machine = strdup(machine);
	if (!correct || !manifest->machine)
		return error_no_memory(err);
	if (!span_equal(text, span_of_text(correct)) || manifest->serial > INT64_MAX ||
	    strlen(digest) != BUNDLE_DIGEST_SIZE - 1) {
		error_set(err, VMCRED_INTEGRITY, "the bundle's manifest cannot be read");
		return error_hint(err, "it may come from a newer version of vmcred");
	}
	memcpy(manifest->digest, digest, BUNDLE_DIGEST_SIZE);
	return 0;
}

/* The three files of a signed bundle. Returns 1, or 0 if it is not a signed one. */
static int files_take(struct span bytes, struct span files[3], struct error *err)
{
	static const struct {
		const char *name;
		size_t size_max;
	} expected[3] = {
		{MANIFEST_NAME, MANIFEST_SIZE_MAX},
		{SIGNATURE_NAME, SIGNATURE_SIZE_MAX},
		{CONTENT_NAME, BUNDLE_SIZE_MAX},
	};
	struct tar_file file;
	int r = 0;

	for (size_t i = 0; i < 3; i++) {
		r = tar_take(&bytes, &file, err);
		if (i == 0 && (r <= 0 || strcmp(file.path, expected[i].name) != 0))
			return r < 0 ? r : 0;
		if (r < 0)
			return r;
		if (r == 0 || strcmp(file.path, expected[i].name) != 0 ||
		    file.content.size > expected[i].size_max)
			return error_set(err, VMCRED_INTEGRITY,
					 "the signed bundle must contain %s; %s is missing",
					 "manifest, manifest.sig and bundle.tar", expected[i].name);
		files[i] = file.content;
	}
	r = tar_take(&bytes, &file, err);
	return r <= 0 ? (r < 0 ? r : 1)
		      : error_set(err, VMCRED_INTEGRITY, "the signed bundle also contains %s",
				  file.path);
}

int bundle_unwrap(struct span bytes, const char *allowed_signers, struct span *content,
		  struct bundle_manifest *manifest, struct error *err)
{
	struct span files[3];
	char digest[BUNDLE_DIGEST_SIZE];
	int r = files_take(bytes, files, err);

	if (r < 0)
		return r;
	if (r == 0 && allowed_signers) {
		error_set(err, VMCRED_INTEGRITY, "the bundle is not signed, but %s exists",
			  allowed_signers);
		return error_hint(err, "use `vmcred export --sign KEY`");
	}
	*content = bytes;
	if (r == 0)
		return 0;
	*content = files[2];
	if (allowed_signers)
		r = ssh_verify(allowed_signers, files[0], files[1], &manifest->signer, err);
	if (r >= 0)
		r = manifest_read(files[0], manifest, err);
	if (r == 0)
		r = digest_make(files[2], digest, err);
	if (r == 0 && strcmp(digest, manifest->digest) != 0)
		return error_set(err, VMCRED_INTEGRITY,
				 "the bundle is not the one that was signed: its digest differs");
	return r;
}
