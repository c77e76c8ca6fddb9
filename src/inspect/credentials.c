/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"
#include "vars/vars.h"

int records_read(const char *root, struct activation_record records[CONFIG_PHASES],
		 struct error *err)
{
	for (size_t i = 0; i < CONFIG_PHASES; i++) {
		int r = activation_record_read(root, (enum config_needed_for)i, &records[i], err);

		if (r == -(int)VMCRED_MISSING)
			error_clear(err);
		else if (r < 0)
			return error_hint(err, "run `vmcred activate` to replace it");
	}
	return 0;
}

const struct activation_secret *record_find(const struct activation_record records[CONFIG_PHASES],
					    const struct config_vm *vm,
					    const struct config_load *load)
{
	return load->generator && vm->source == CONFIG_SOURCE_FILES
		       ? activation_record_secret_find(&records[load->needed_for], load->source)
		       : NULL;
}

int loaded_open(const char *root, const struct config_vm *vm, const struct inspect_unit *unit,
		struct loaded *loaded, struct error *err)
{
	_cleanup_free_ char *full = NULL;

	*loaded = (struct loaded){.vm = vm, .unit = unit, .dirfd = -1};
	loaded->path = text_format("/run/credentials/%s", vm->unit);
	full = loaded->path ? path_join(root ? root : "/", loaded->path + 1) : NULL;
	if (!full)
		return error_no_memory(err);
	loaded->dirfd = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
	loaded->is_hidden = loaded->dirfd < 0 && errno == EACCES;
	return 0;
}

void loaded_release(struct loaded *loaded)
{
	free(loaded->path);
	cleanup_close_fd(&loaded->dirfd);
	*loaded = (struct loaded){.dirfd = -1};
}

bool inspect_unit_is_running(const struct inspect_unit *unit)
{
	static const char *const running[] = {"active", "reloading", "refreshing", "activating",
					      "deactivating"};

	/* systemd waits before the next start. */
	if (strncmp(unit->sub, "auto-restart", strlen("auto-restart")) == 0)
		return false;
	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++) {
		if (strcmp(unit->active, running[i]) == 0)
			return true;
	}
	return false;
}

bool loaded_is_running(const struct loaded *loaded)
{
	return loaded->unit->active[0] ? inspect_unit_is_running(loaded->unit) : loaded->dirfd >= 0;
}

enum loaded_found loaded_read(const struct loaded *loaded, const char *credential,
			      struct secret *value)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int fd = -1;

	if (loaded->dirfd < 0)
		return loaded->is_hidden ? LOADED_HIDDEN : LOADED_NOTHING;
	fd = openat(loaded->dirfd, credential, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? LOADED_NOTHING : LOADED_HIDDEN;
	return secret_read(value, fd, VARS_SECRET_SIZE_MAX, credential, &ignored) == 0
		       ? LOADED_VALUE
		       : LOADED_HIDDEN;
}

/* systemd loads credentials when it starts a unit. A change while it does may be in or not. */
static enum inspect_loaded times_compare(const struct loaded *loaded,
					 const struct loaded_source *source)
{
	if (source->changed_us == 0 || loaded->unit->started_us == 0)
		return INSPECT_LOADED_UNKNOWN;
	return source->changed_us < loaded->unit->started_us ? INSPECT_LOADED_CURRENT
							     : INSPECT_LOADED_STALE;
}

/* Whether the value stands for an optional secret that did not exist: config_vm_dropin() sets one
 * for a file, the socket sends nothing. */
static bool value_is_absent(const struct secret *value)
{
	return value->size == 0 ||
	       secret_equal(secret_span(value), span_of(CONFIG_ABSENT, CONFIG_ABSENT_SIZE));
}

enum inspect_loaded loaded_compare(const struct loaded *loaded, const struct config_load *load,
				   enum loaded_found found, const struct secret *value,
				   const struct loaded_source *source)
{
	const bool is_optional = config_vm_is_optional(loaded->vm, load->credential);
	const bool is_gone = source->is_known && !source->exists;

	if (source->is_elsewhere && !loaded_is_running(loaded))
		return INSPECT_LOADED_ELSEWHERE;
	if (is_gone && !is_optional)
		return INSPECT_LOADED_MISSING;
	if (!loaded_is_running(loaded))
		return is_gone            ? INSPECT_LOADED_ABSENT
		       : source->is_known ? INSPECT_LOADED_READY
					  : INSPECT_LOADED_UNKNOWN;
	if (found == LOADED_NOTHING)
		return is_gone ? INSPECT_LOADED_ABSENT : INSPECT_LOADED_MISSING;
	if (found == LOADED_HIDDEN)
		return is_gone ? INSPECT_LOADED_ABSENT : times_compare(loaded, source);
	if (source->value)
		return secret_equal(secret_span(value), secret_span(source->value))
			       ? INSPECT_LOADED_CURRENT
			       : INSPECT_LOADED_STALE;
	if (is_optional && value_is_absent(value))
		return source->is_known && !is_gone ? INSPECT_LOADED_STALE : INSPECT_LOADED_ABSENT;
	return is_gone ? INSPECT_LOADED_STALE : times_compare(loaded, source);
}

const char *inspect_loaded_name(enum inspect_loaded state)
{
	static const char *const names[INSPECT_LOADED_STATES] = {
		"current", "ready", "absent", "elsewhere", "unknown", "missing", "stale"};

	return names[state];
}
