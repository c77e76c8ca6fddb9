/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "activate/serve/policy.h"
#include "base/cleanup.h"

/* Which machine's secrets; the declaration may have become another one. */
static const char *machine_get(const struct serve_source *source, struct error *err)
{
	const struct config *config = &source->declaration.config;
	const char *machine = source->options->machine;

	if (machine)
		return config_machine_get(config, machine, err) ? machine : NULL;
	if (config->machine_count == 1)
		return config->machines[0].name;
	error_set(err, VMCRED_USAGE, "%s declares %zu machines", config->path,
		  config->machine_count);
	error_hint(err, "say which with --machine NAME");
	return NULL;
}

/* `had_one`: was read before. That the first one was read is nothing to tell. */
static void update_tell(const struct serve_source *source, int r, const char *path, bool had_one,
			struct error *fault, struct error *err)
{
	_cleanup_free_ char *before = fault->text ? error_line(fault) : NULL;
	_cleanup_free_ char *line = r < 0 ? error_line(err) : NULL;

	if (r == 0)
		return;
	error_clear(fault);
	if (r > 0) {
		if (had_one || before)
			report_message(source->report, REPORT_INFO, "read %s", path);
		return;
	}
	*fault = *err;
	*err = (struct error){0};
	if (before && line && strcmp(line, before) == 0)
		return;
	report_message(source->report, REPORT_WARNING, "%s: %s",
		       had_one ? "going on with what was read before" : "nothing can be given",
		       line ? line : "out of memory");
}

static bool has_declaration(const struct serve_source *source)
{
	return source->declaration.store_dirfd >= 0;
}

static bool has_identity(const struct serve_source *source)
{
	return source->identity.identities.count > 0;
}

static void declaration_update(struct serve_source *source, bool force)
{
	_cleanup_error_ struct error err = {0};
	bool had_one = has_declaration(source);
	int r = serve_declaration_update(&source->declaration, source->options->config, force,
					 &err);

	update_tell(source, r, source->declaration.config.path, had_one, &source->declaration_fault,
		    &err);
}

static void identity_update(struct serve_source *source, bool force)
{
	_cleanup_error_ struct error err = {0};
	bool had_one = has_identity(source);
	int r = serve_identity_update(&source->identity, source->options->identity, force, &err);

	update_tell(source, r, source->options->identity, had_one, &source->identity_fault, &err);
}

void serve_source_update(struct serve_source *source, bool force)
{
	if (force) {
		error_clear(&source->declaration_fault);
		error_clear(&source->identity_fault);
	}
	declaration_update(source, force);
	identity_update(source, force);
}

int serve_request_check_peer(int fd, struct serve_request *request, struct error *err)
{
	struct ucred *peer = &request->peer;
	socklen_t size = sizeof(*peer);

	/* systemd asks as itself, or as its child before that drops its rights. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0)
		return error_set_errno(err, errno, "asking who the peer is");
	if (peer->uid != 0 && peer->pid != 1)
		return error_set(err, VMCRED_USAGE, "the peer is the user %u: only root may ask",
				 (unsigned int)peer->uid);
	return 0;
}

/* What the declaration gives for the request, and its document as it is now. */
struct found {
	const char *machine;
	const struct config_vm *vm;
	const struct config_load *load;
	struct vars_location location;
};

/* Why nothing was read yet. */
static int fault_set(const struct error *fault, struct error *err)
{
	_cleanup_free_ char *line = error_line(fault);

	error_set(err, fault->code, "%s", line ? line : "out of memory");
	return -(int)VMCRED_FAILED;
}

static int request_find(const struct serve_source *source, const struct serve_request *request,
			struct found *found, struct error *err)
{
	if (!has_declaration(source))
		return fault_set(&source->declaration_fault, err);
	if (!has_identity(source))
		return fault_set(&source->identity_fault, err);
	found->machine = machine_get(source, err);
	if (!found->machine)
		return -(int)VMCRED_USAGE;
	return serve_policy_find(&source->declaration.config, found->machine, &request->asked,
				 &found->vm, &found->load, &found->location, err);
}

static int document_stat(const struct serve_source *source, const struct found *found,
			 struct stat *document, struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(&found->location);

	*document = (struct stat){0};
	if (!path)
		return error_no_memory(err);
	/* What cannot be looked at cannot be read either, which says why. */
	(void)fstatat(source->declaration.store_dirfd, path, document, 0);
	return 0;
}

/* All credentials of a unit together, each of which counts with its name: systemd.exec(5), and
 * CREDENTIALS_TOTAL_SIZE_MAX in systemd. What the others of the unit have is not known here. */
#define UNIT_CREDENTIALS_SIZE_MAX ((size_t)1024 * 1024)

static int size_check(const struct found *found, size_t size, struct error *err)
{
	const size_t name_size = strlen(found->load->credential);

	if (size <= UNIT_CREDENTIALS_SIZE_MAX - name_size)
		return 0;
	return error_set(err, VMCRED_FAILED,
			 "%s/%s is larger than systemd takes: with the credential's name it has "
			 "%zu bytes, and a unit's credentials may have %zu together",
			 found->load->generator, found->load->file, size + name_size,
			 UNIT_CREDENTIALS_SIZE_MAX);
}

static int found_read(const struct serve_source *source, const struct found *found,
		      struct secret *value, struct error *err)
{
	const struct sops_keyring keyring = {.identities = &source->identity.identities};
	int r = vars_store_read(source->declaration.store_dirfd, &found->location, &keyring, value,
				err);

	if (r == 0)
		r = size_check(found, value->size, err);
	if (r < 0)
		secret_destroy(value);
	return r;
}

/* A secret that is not there, which is something else than one that cannot be opened. */
static bool may_leave_out(const struct serve_source *source, const struct found *found)
{
	_cleanup_error_ struct error ignored = {0};

	return config_vm_is_optional(found->vm, found->load->credential) &&
	       vars_store_has(source->declaration.store_dirfd, &found->location, &ignored) == 0;
}

int serve_request_ask(int fd, struct serve_request *request, struct error *err)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0)
		return error_set_errno(err, errno, "asking for the peer's address");
	return serve_address_parse(&address, size, &request->asked, err);
}

int serve_request_read(const struct serve_source *source, struct serve_request *request,
		       struct secret *value, bool *left_out, struct error *err)
{
	struct found found = {0};
	int r;

	*left_out = false;
	r = request_find(source, request, &found, err);
	if (r < 0)
		return r;
	(void)snprintf(request->credential, sizeof(request->credential), "%s",
		       found.load->credential);
	r = document_stat(source, &found, &request->document, err);
	if (r == 0)
		r = found_read(source, &found, value, err);
	if (r == -(int)VMCRED_MISSING && may_leave_out(source, &found)) {
		error_clear(err);
		*left_out = true;
		r = 0;
	}
	return r;
}

int serve_request_read_again(const struct serve_source *source, const struct serve_request *request,
			     struct secret *value, struct error *err)
{
	struct found found = {0};
	struct stat document = {0};
	int r = request_find(source, request, &found, err);

	if (r == 0)
		r = found_read(source, &found, value, err);
	/* After it was read: it was the same before the first time and is after this one. */
	if (r == 0)
		r = document_stat(source, &found, &document, err);
	if (r < 0 || (document.st_ino != 0 && serve_watch_is_same(&document, &request->document)))
		return r;
	secret_destroy(value);
	return error_set(err, VMCRED_FAILED,
			 "the secret has become another one since its beginning was sent");
}

void serve_source_release(struct serve_source *source)
{
	serve_declaration_release(&source->declaration);
	serve_identity_release(&source->identity);
	error_clear(&source->declaration_fault);
	error_clear(&source->identity_fault);
}
