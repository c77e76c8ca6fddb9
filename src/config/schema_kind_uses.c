/* SPDX-License-Identifier: Apache-2.0 */
/* What kinds are made from: the password of a hash, the authority of a certificate. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/schema.h"

/* A kind, and where it stands. */
struct use {
	struct reader *reader;
	const struct config *config;
	const struct config_generator *generator;
	const struct config_file *file;
};

static int use_reject(const struct use *use, const char *reason, const char *name)
{
	return error_set(use->reader->err, VMCRED_USAGE, "%s:%d: generators.%s.%s: %s \"%s\"",
			 use->reader->path, use->file->kind.line, use->generator->name,
			 use->file->name, reason, name);
}

static int dependency_reject(const struct use *use, const char *reason, const char *name)
{
	const struct config *config = use->config;

	use_reject(use, reason, name);
	if (config_generator_find(config, name))
		return error_hint(use->reader->err, "add it to the dependencies of %s",
				  use->generator->name);
	return schema_hint_nearest(
		use->reader, schema_entry_nearest(name, config->generators, config->generator_count,
						  sizeof(struct config_generator),
						  offsetof(struct config_generator, name)));
}

static bool has_prompt(const struct config_generator *generator, const char *name)
{
	for (size_t i = 0; i < generator->prompt_count; i++) {
		if (strcmp(generator->prompts[i].name, name) == 0)
			return true;
	}
	return false;
}

static int file_check(const struct use *use, const struct config_generator *generator,
		      const char *name, const char *reason)
{
	const struct config_file *file = config_file_find(generator, name);

	if (file && generator == use->generator && file->kind.type == CONFIG_KIND_PASSWORD_HASH)
		return use_reject(use, "is a hash of a hash,", name);
	if (file)
		return 0;
	use_reject(use, reason, use->file->kind.source);
	return schema_hint_nearest(
		use->reader, schema_entry_nearest(name, generator->files, generator->file_count,
						  sizeof(struct config_file),
						  offsetof(struct config_file, name)));
}

/* What a password-hash is of: a prompt, a file, or GENERATOR/FILE of a dependency. */
static int source_check(const struct use *use)
{
	const char *source = use->file->kind.source, *slash = strchr(source, '/');
	const struct config_generator *dependency;
	_cleanup_free_ char *name = NULL;

	if (!slash)
		return has_prompt(use->generator, source)
			       ? 0
			       : file_check(use, use->generator, source,
					    "is of a prompt or a file that is not declared,");
	name = strndup(source, (size_t)(slash - source));
	if (!name)
		return error_no_memory(use->reader->err);
	dependency = config_generator_find(use->config, name);
	if (!dependency || !config_generator_depends_on(use->generator, name))
		return dependency_reject(use, "does not depend on the generator", name);
	return file_check(use, dependency, slash + 1, "is of a file that is not declared,");
}

/* The generator whose certificate signs must be an authority, one, and a dependency. */
static int issuer_check(const struct use *use)
{
	const char *issuer = use->file->kind.issuer;
	const struct config_generator *authority = config_generator_find(use->config, issuer);
	size_t count = 0;

	if (!authority || !config_generator_depends_on(use->generator, issuer))
		return dependency_reject(use, "does not depend on its issuer", issuer);
	for (size_t i = 0; i < authority->file_count; i++)
		count += authority->files[i].kind.type == CONFIG_KIND_TLS &&
			 authority->files[i].kind.authority;
	if (count == 0)
		return use_reject(
			use, "has an issuer without a file of the kind tls with ca: true,", issuer);
	return count == 1 ? 0
			  : use_reject(use, "has an issuer with more than one authority,", issuer);
}

int schema_kinds_uses(struct reader *reader, const struct config *config,
		      const struct config_generator *generator)
{
	int r = 0;

	for (size_t i = 0; i < generator->file_count && r == 0; i++) {
		const struct use use = {reader, config, generator, &generator->files[i]};

		if (use.file->kind.source)
			r = source_check(&use);
		if (r == 0 && use.file->kind.issuer)
			r = issuer_check(&use);
	}
	return r;
}
