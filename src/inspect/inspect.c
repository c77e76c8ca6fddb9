/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "inspect/subject.h"
#include "oem/oem.h"
#include "vars/vars.h"

enum {
	GENERATE,
	SEAL,
	ACTIVATE,
	LOAD,
	COMPOSE,
	LAUNCH,
	RECEIVE,
	PROVE
};

static const char *const stage_names[INSPECT_STAGE_COUNT] = {
	"generate", "seal", "activate", "load", "compose", "launch", "receive", "prove",
};

static void generate_look(const struct subject *subject, struct inspect_stage *stage)
{
	size_t scripts = 0, kinds = 0, others = 0;

	for (size_t i = 0; i < subject->count; i++) {
		const struct subject_credential *credential = &subject->credentials[i];

		if (!credential->load)
			others++;
		else if (credential->generator->script)
			scripts++;
		else
			kinds++;
	}
	stage_set(stage, INSPECT_SEEN,
		  "%zu secrets declared: %zu by a script, %zu built in, %zu from elsewhere",
		  subject->count, scripts, kinds, others);
}

static void seal_look(const struct subject *subject, struct inspect_stage *stage)
{
	size_t sealed = 0, wanted = 0;

	for (size_t i = 0; i < subject->count; i++) {
		const struct subject_credential *credential = &subject->credentials[i];

		if (!credential->load)
			continue;
		wanted++;
		sealed += credential->sealed;
		if (credential->damaged) {
			stage_set(stage, INSPECT_WRONG, "the document of %s/%s was changed",
				  credential->load->generator, credential->load->file);
			return;
		}
	}
	stage_set(stage, sealed < wanted ? INSPECT_MISSING : INSPECT_SEEN,
		  "%zu of %zu SOPS documents open with the identity of %s, their MACs match",
		  sealed, wanted, subject->machine);
}

static char *below_root(const struct subject *subject, const char *path)
{
	return path_join(subject->options->root ? subject->options->root : "/", path);
}

/* Whether /run holds the value of the store, and not a disk. */
static bool credential_is_active(const struct subject *subject,
				 const struct subject_credential *credential, bool *on_disk)
{
	_cleanup_secret_ struct secret content = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *path = NULL, *full = NULL;
	_cleanup_close_ int fd = -1;

	path = config_load_path(credential->load);
	/* Without its first '/', below the root. */
	full = path ? below_root(subject, path + 1) : NULL;
	fd = full ? file_open(AT_FDCWD, full, &ignored) : -1;
	if (fd < 0)
		return false;
	*on_disk = *on_disk || !fd_is_on_memory(fd);
	return secret_read(&content, fd, VARS_SECRET_SIZE_MAX, full, &ignored) == 0 &&
	       secret_equal(secret_span(&content), secret_span(&credential->value));
}

static bool is_loaded_from(const struct subject *subject, enum config_needed_for needed_for)
{
	for (size_t i = 0; i < subject->count; i++) {
		const struct config_load *load = subject->credentials[i].load;

		if (load && load->needed_for == needed_for)
			return true;
	}
	return false;
}

/* Where the VM's secrets are: "/run/secrets" or several such places. NULL without memory; the
 * caller frees it. */
static char *places_text(const struct subject *subject)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;

	stream = open_memstream(&text, &size);
	for (size_t i = 0; stream && i < CONFIG_PHASES; i++) {
		if (is_loaded_from(subject, (enum config_needed_for)i))
			fprintf(stream, "%s%s", ftell(stream) > 0 ? ", " : "",
				config_phase_get((enum config_needed_for)i)->link);
	}
	if (stream && ftell(stream) == 0)
		fputs(CONFIG_SECRETS_LINK, stream);
	if (!stream || fflush(stream) != 0)
		return NULL;
	fclose(stream);
	stream = NULL;
	return pointer_release(&text);
}

/* No file is made: the unit asks when it starts. */
static void socket_look(const struct subject *subject, struct inspect_stage *stage)
{
	_cleanup_free_ char *path = below_root(subject, &CONFIG_SOCKET_PATH[1]);
	struct stat found;

	if (path && stat(path, &found) == 0 && S_ISSOCK(found.st_mode))
		stage_set(stage, INSPECT_SEEN, "no file: %s gives %zu credentials to the unit",
			  CONFIG_SOCKET_PATH, subject->vm->load_count);
	else
		stage_set(stage, INSPECT_MISSING,
			  "there is no " CONFIG_SOCKET_PATH ": vmcred.socket makes it");
}

static void activate_look(const struct subject *subject, struct inspect_stage *stage)
{
	_cleanup_free_ char *places = places_text(subject);
	size_t active = 0, wanted = 0;
	bool on_disk = false;

	if (subject->vm->source == CONFIG_SOURCE_SOCKET) {
		socket_look(subject, stage);
		return;
	}

	for (size_t i = 0; i < subject->count; i++) {
		if (!subject->credentials[i].load)
			continue;
		wanted++;
		active += credential_is_active(subject, &subject->credentials[i], &on_disk);
	}
	if (on_disk)
		stage_set(stage, INSPECT_WRONG, "%s is not on a memory file system",
			  places ? places : CONFIG_SECRETS_LINK);
	else
		stage_set(stage, active < wanted ? INSPECT_MISSING : INSPECT_SEEN,
			  "%zu of %zu in %s with the store's value, in memory only", active, wanted,
			  places ? places : CONFIG_SECRETS_LINK);
}

/* systemd's folder of a running unit's credentials; systemd.exec(5), "Credentials". */
static void load_look(const struct subject *subject, struct inspect_stage *stage)
{
	_cleanup_free_ char *path = NULL, *full = NULL;
	_cleanup_close_ int dirfd = -1;
	size_t loaded = 0;

	if (asprintf(&path, "run/credentials/%s", subject->vm->unit) < 0)
		path = NULL;
	full = path ? below_root(subject, path) : NULL;
	dirfd = full ? open(full, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dirfd < 0) {
		stage_set(stage, INSPECT_UNSEEN,
			  "%zu LoadCredential= lines; the unit is not running",
			  subject->vm->load_count);
		return;
	}
	for (size_t i = 0; i < subject->vm->load_count; i++) {
		if (faccessat(dirfd, subject->vm->loads[i].credential, F_OK, 0) == 0)
			loaded++;
	}
	stage_set(stage, loaded < subject->vm->load_count ? INSPECT_MISSING : INSPECT_SEEN,
		  "%zu of %zu credentials in /%s", loaded, subject->vm->load_count, path);
}

/* The strings without those of the VMM's own arguments, which `vmcred compose` shows. */
static int compose_look(const struct subject *subject, struct inspect_stage *stage,
			struct error *err)
{
	_cleanup_oem_list_ struct oem_list list = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < subject->vm->oem_string_count; i++)
		r = oem_list_add_literal(&list, OEM_STATIC,
					 span_of_text(subject->vm->oem_strings[i]), NULL, err);
	for (size_t i = 0; r == 0 && i < subject->count; i++) {
		if (subject->credentials[i].sealed)
			r = oem_list_add_credential(
				&list, subject->credentials[i].declared->oem_name,
				secret_span(&subject->credentials[i].value), err);
	}
	if (r == 0)
		r = oem_list_check(&list, err);
	if (r < 0)
		return r;
	stage_set(stage, INSPECT_SEEN, "%zu OEM strings, %zu of %zu bytes of the SMBIOS table",
		  list.count, oem_list_table_size(&list), oem_limit_max(OEM_LIMIT_TABLE));
	return 0;
}

int inspect_vm(const struct config *config, int store_dirfd,
	       const struct age_identities *identities, const struct inspect_options *options,
	       struct inspect_result *result, struct error *err)
{
	_cleanup_subject_ struct subject subject = {
		.config = config, .store_dirfd = store_dirfd, .options = options};
	int r = subject_open(&subject, identities, err);

	*result = (struct inspect_result){0};
	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		result->stages[i].name = stage_names[i];
	if (r < 0)
		return r;
	generate_look(&subject, &result->stages[GENERATE]);
	seal_look(&subject, &result->stages[SEAL]);
	activate_look(&subject, &result->stages[ACTIVATE]);
	load_look(&subject, &result->stages[LOAD]);
	launch_look(&subject, &result->stages[LAUNCH]);
	r = compose_look(&subject, &result->stages[COMPOSE], err);
	if (r == 0)
		r = proof_look(&subject, &result->stages[RECEIVE], &result->stages[PROVE], err);
	return r;
}

void inspect_result_release(struct inspect_result *result)
{
	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++)
		free(result->stages[i].seen);
	*result = (struct inspect_result){0};
}

enum vmcred_code inspect_result_code(const struct inspect_result *result)
{
	enum vmcred_code code = VMCRED_OK;

	for (size_t i = 0; i < INSPECT_STAGE_COUNT; i++) {
		if (result->stages[i].state == INSPECT_WRONG)
			return VMCRED_INTEGRITY;
		if (result->stages[i].state == INSPECT_MISSING)
			code = VMCRED_MISSING;
	}
	return code;
}

const char *inspect_state_name(enum inspect_state state)
{
	static const char *const names[] = {"seen", "unseen", "missing", "wrong"};

	return names[state];
}
