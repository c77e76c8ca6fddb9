/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a secret is encrypted to those who may read it, and how it comes to be. Who may read it
 * is said by the declaration (its machines, the default groups or all users) and by the users and
 * groups that it was given to besides, which are links in its folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sops/sops.h"
#include "vars/key.h"
#include "vars/placing.h"
#include "vars/store.h"

/* A certificate in PEM. */
#define CERTIFICATE_SIZE_MAX ((size_t)64 * 1024)

/* A secret's folder, what is in it, and what it should be. */
struct secret_state {
	int dirfd;                      /* owned */
	char *path;                     /* owned; of the document, for errors */
	struct sops_document *document; /* owned */
	struct access is, wanted;
	struct age_recipients recipients; /* that `wanted` leads to */
};

static void state_destroy(struct secret_state *state)
{
	if (state->dirfd >= 0)
		close(state->dirfd);
	free(state->path);
	sops_document_destroy(&state->document);
	access_destroy(&state->is);
	access_destroy(&state->wanted);
	age_recipients_destroy(&state->recipients);
}

static int folder_open(int store_dirfd, const struct vars_location *location,
		       struct secret_state *state, struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	char *slash;

	state->path = vars_location_path(location);
	folder = state->path ? strdup(state->path) : NULL;
	slash = folder ? strrchr(folder, '/') : NULL;
	if (!slash)
		return error_no_memory(err);
	*slash = '\0';
	state->dirfd = openat(store_dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->dirfd < 0 && errno == ENOENT)
		return error_set(err, VMCRED_MISSING, "there is no %s", state->path);
	return state->dirfd < 0 ? error_set_errno(err, errno, "opening %s", folder) : 0;
}

static int document_read(struct secret_state *state, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = file_read_secret(state->dirfd, "secret", VARS_DOCUMENT_SIZE_MAX, &text, err);

	if (r == 0)
		r = sops_document_read(sops_store_named("binary"), &text, state->path,
				       &state->document, err);
	return r;
}

/* The machines that the location is for, if it is deployed. `all` has room for every machine. */
static char *const *location_machines(const struct config *config,
				      const struct vars_location *location, char **all)
{
	if (!location->generator || !location->file->deploy)
		return NULL;
	if (location->machine) {
		all[0] = config_machine_find(config, location->machine)->name;
		all[1] = NULL;
		return all;
	}
	if (location->generator->machines && location->generator->machines[0])
		return location->generator->machines;
	for (size_t i = 0; i < config->machine_count; i++)
		all[i] = config->machines[i].name;
	all[config->machine_count] = NULL;
	return all;
}

/* `writer` is the user for whom a secret is because they make it, or NULL. */
static int access_want(const struct config *config, int store_dirfd,
		       const struct vars_location *location, const struct vars_departing *departing,
		       const char *writer, struct secret_state *state, struct error *err)
{
	_cleanup_free_ char **all = calloc(config->machine_count + 2, sizeof(char *));
	_cleanup_access_ struct access declared = {0};
	int r;

	if (!all)
		return error_no_memory(err);
	r = access_declared(config, store_dirfd, location_machines(config, location, all), writer,
			    &declared, err);
	for (int kind = 0; r == 0 && kind < STORE_KINDS; kind++)
		r = access_keep(store_dirfd, &declared, (enum store_kind)kind, departing,
				&state->wanted, err);
	/* Users and groups that it was given to besides. Machines are the declaration's alone. */
	if (r == 0)
		r = access_keep(store_dirfd, &state->is, STORE_USERS, departing, &state->wanted,
				err);
	if (r == 0)
		r = access_keep(store_dirfd, &state->is, STORE_GROUPS, departing, &state->wanted,
				err);
	return r < 0 ? r
		     : access_recipients(store_dirfd, &state->wanted, departing, &state->recipients,
					 err);
}

static int state_read(const struct config *config, int store_dirfd,
		      const struct vars_location *location, const struct vars_departing *departing,
		      struct secret_state *state, struct error *err)
{
	int r = folder_open(store_dirfd, location, state, err);

	if (r == 0)
		r = document_read(state, err);
	if (r == 0)
		r = access_read(state->dirfd, &state->is, err);
	return r < 0 ? r : access_want(config, store_dirfd, location, departing, NULL, state, err);
}

static bool recipients_have(const struct age_recipients *recipients, const char *text)
{
	for (size_t i = 0; i < recipients->count; i++) {
		if (strcmp(age_recipient_text(recipients->items[i]), text) == 0)
			return true;
	}
	return false;
}

/* How many recipients the document lacks, and has too many. Keys that are no recipients of age are
 * kept when it is rewritten, and not counted. */
static void recipients_count(const struct secret_state *state, size_t *lacking, size_t *excess)
{
	const struct sops_policy *policy = sops_document_policy(state->document);
	size_t kept = 0;

	*excess = 0;
	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			const struct sops_key *key = &policy->groups[i].keys[j];
			bool wanted = key->type == SOPS_KEY_AGE &&
				      recipients_have(&state->recipients, key->text);

			kept += wanted;
			*excess += key->type == SOPS_KEY_AGE && !wanted;
		}
	}
	*lacking = state->recipients.count -
		   (kept < state->recipients.count ? kept : state->recipients.count);
}

/* Returns 1 if something is not as it should be; `*detail` says what. */
static int state_compare(const struct secret_state *state, char **detail, struct error *err)
{
	size_t lacking, excess;

	recipients_count(state, &lacking, &excess);
	if (lacking == 0 && excess == 0 && access_equal(&state->is, &state->wanted))
		return 0;
	if (lacking == 0 && excess == 0) {
		*detail = strdup("links only");
		return *detail ? 1 : error_no_memory(err);
	}
	if (asprintf(detail, "%zu recipient%s to add, %zu to remove", lacking,
		     lacking == 1 ? "" : "s", excess) < 0) {
		*detail = NULL;
		return error_no_memory(err);
	}
	return 1;
}

/* A public certificate of the kind tls. */
static int certificate_check(int store_dirfd, const struct vars_location *location,
			     enum vars_fault *fault, char **detail, struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(location), *text = NULL;
	_cleanup_certificate_ X509 *certificate = NULL;
	size_t size = 0;
	int r = path ? file_read_text(store_dirfd, path, CERTIFICATE_SIZE_MAX, &text, &size, err)
		     : error_no_memory(err);

	if (r == 0)
		r = certificate_read(span_of(text, size), &certificate, err);
	if (r < 0)
		return error_wrap(err, "%s", path ? path : "");
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0)
		return 0;
	*fault = VARS_EXPIRED;
	*detail = strdup("the certificate has expired");
	return *detail ? 0 : error_no_memory(err);
}

static bool is_certificate(const struct vars_location *location)
{
	for (size_t i = 0; i < location->generator->file_count; i++) {
		const struct config_kind *kind = &location->generator->files[i].kind;

		if (kind->type == CONFIG_KIND_TLS && kind->public_file &&
		    strcmp(kind->public_file, location->file->name) == 0)
			return !location->file->secret;
	}
	return false;
}

static int readers_check(const struct config *config, int store_dirfd,
			 const struct vars_location *location, enum vars_fault *fault,
			 char **detail, struct error *err)
{
	__attribute__((cleanup(state_destroy))) struct secret_state state = {.dirfd = -1};
	const struct vars_departing nobody = {0};
	int r = state_read(config, store_dirfd, location, &nobody, &state, err);

	if (r == 0)
		r = state_compare(&state, detail, err);
	if (r == 1)
		*fault = VARS_READERS;
	return r < 0 ? r : 0;
}

int vars_check(const struct config *config, int store_dirfd, const struct vars_location *location,
	       enum vars_fault *fault, char **detail, struct error *err)
{
	int r = vars_store_has(store_dirfd, location, err);

	*detail = NULL;
	*fault = VARS_FINE;
	if (r < 0)
		return r;
	if (r == 0) {
		*fault = VARS_NOT_THERE;
		return 0;
	}
	r = vars_validation_changed(store_dirfd, location->machine, location->generator, err);
	if (r != 0) {
		*fault = VARS_OUTDATED;
		return r < 0 ? r : 0;
	}
	if (location->file->secret)
		return readers_check(config, store_dirfd, location, fault, detail, err);
	return is_certificate(location)
		       ? certificate_check(store_dirfd, location, fault, detail, err)
		       : 0;
}

static int document_rewrite(const struct secret_state *state, int store_dirfd,
			    vars_identities_fn identities, void *data, struct error *err)
{
	struct sops_keyring keyring = {0};
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_secret_ struct secret text = {0};
	int r = identities(&keyring.identities, data, err);

	if (r == 0)
		r = sops_policy_for_age(&policy, &state->recipients, err);
	if (r == 0)
		r = sops_document_keys_update(state->document, &policy, 0, &keyring, err);
	if (r == 0)
		r = sops_document_write(state->document, sops_store_named("binary"), NULL, &text,
					err);
	return r < 0 ? r
		     : placing_file(store_dirfd, state->dirfd, "secret", secret_span(&text), err);
}

int vars_fix(const struct config *config, int store_dirfd, const struct vars_location *location,
	     const struct vars_departing *departing, vars_identities_fn identities, void *data,
	     char **detail, struct error *err)
{
	__attribute__((cleanup(state_destroy))) struct secret_state state = {.dirfd = -1};
	size_t lacking, excess;
	int r = state_read(config, store_dirfd, location, departing, &state, err);

	*detail = NULL;
	if (r == 0)
		r = state_compare(&state, detail, err);
	if (r <= 0)
		return r;
	if (state.recipients.count == 0) {
		error_set(err, VMCRED_USAGE, "%s would be for nobody", state.path);
		return error_hint(err, "register a user first: `vmcred user add`");
	}
	recipients_count(&state, &lacking, &excess);
	r = access_links_add(state.dirfd, store_up(location), &state.wanted, err);
	if (r == 0 && (lacking > 0 || excess > 0))
		r = document_rewrite(&state, store_dirfd, identities, data, err);
	if (r == 0)
		r = access_links_remove(state.dirfd, &state.wanted, err);
	return r < 0 ? r : 1;
}

int vars_set(const struct config *config, int store_dirfd, const struct vars_location *location,
	     const char *writer, struct span plaintext, struct error *err)
{
	__attribute__((cleanup(state_destroy))) struct secret_state state = {.dirfd = -1};
	_cleanup_secret_ struct secret document = {0};
	const struct vars_departing nobody = {0};
	_cleanup_free_ char *folder = NULL;
	char *slash;
	int r;

	state.path = vars_location_path(location);
	folder = state.path ? strdup(state.path) : NULL;
	slash = folder ? strrchr(folder, '/') : NULL;
	if (!slash)
		return error_no_memory(err);
	*slash = '\0';
	state.dirfd = dir_make(store_dirfd, folder, 0755, err);
	if (state.dirfd < 0)
		return state.dirfd;
	if (!location->file->secret)
		return placing_file(store_dirfd, state.dirfd, "value", plaintext, err);
	r = access_read(state.dirfd, &state.is, err);
	if (r == 0)
		r = access_want(config, store_dirfd, location, &nobody, writer, &state, err);
	if (r == 0 && state.recipients.count == 0)
		r = error_set(err, VMCRED_USAGE, "%s would be for nobody", state.path);
	if (r == 0)
		r = sops_binary_encrypt(plaintext, &state.recipients, &document, err);
	if (r == 0)
		r = access_links_add(state.dirfd, store_up(location), &state.wanted, err);
	if (r == 0)
		r = placing_file(store_dirfd, state.dirfd, "secret", secret_span(&document), err);
	return r < 0 ? r : access_links_remove(state.dirfd, &state.wanted, err);
}
