/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of builtins: the password of a hash, the authority of a certificate. */
#include <string.h>

#include "base/cleanup.h"
#include "config/schema.h"

/* A file with a builtin. */
struct use {
	struct reader *reader;
	const struct config *config;
	const struct config_generator *generator;
	const struct config_file *file;
	const char *machine; /* of the generator, or NULL: any */
};

static int use_reject(const struct use *use, const char *problem, const char *name)
{
	return reader_reject_line(use->reader, use->file->builtin.line,
				  "generators.%s.%s: %s \"%s\"", use->generator->name,
				  use->file->name, problem, name);
}

/* The generator of that name, if it is a dependency, or NULL with the error set. */
static const struct config_generator *dependency_find(const struct use *use, const char *name)
{
	const struct config *config = use->config;
	const struct config_generator *found = config_generator_find(config, name, use->machine);

	if (found && config_generator_depends_on(use->generator, name))
		return found;
	use_reject(use, "missing dependency", name);
	if (found)
		error_hint(use->reader->err, "add it to the dependencies of %s",
			   use->generator->name);
	else
		READER_HINT_NEAREST(use->reader->err, name, config->generators,
				    config->generator_count);
	return NULL;
}

/* A password-hash is of a prompt, a file, or GENERATOR/FILE of a dependency. */
static int source_check(const struct use *use)
{
	const struct config_generator *generator = use->generator;
	const char *source = use->file->builtin.source, *name = strchr(source, '/');
	const struct config_file *file;

	if (name) {
		_cleanup_free_ char *dependency = strndup(source, (size_t)(name++ - source));

		if (!dependency)
			return error_no_memory(use->reader->err);
		generator = dependency_find(use, dependency);
		if (!generator)
			return -(int)use->reader->err->code;
	} else {
		name = source;
		for (size_t i = 0; i < generator->prompt_count; i++) {
			if (strcmp(generator->prompts[i].name, name) == 0)
				return 0;
		}
	}
	file = config_file_find(generator, name);
	if (!file) {
		use_reject(use,
			   generator == use->generator ? "undeclared prompt or file"
						       : "undeclared file",
			   source);
		return READER_HINT_NEAREST(use->reader->err, name, generator->files,
					   generator->file_count);
	}
	if (generator == use->generator && file->builtin.type == CONFIG_BUILTIN_PASSWORD_HASH)
		return use_reject(use, "cannot hash another hash,", name);
	return 0;
}

/* The issuer must be a dependency with exactly one authority. */
static int issuer_check(const struct use *use)
{
	const char *issuer = use->file->builtin.issuer;
	const struct config_generator *generator = dependency_find(use, issuer);
	size_t count = 0;

	if (!generator)
		return -(int)use->reader->err->code;
	for (size_t i = 0; i < generator->file_count; i++)
		count += generator->files[i].builtin.type == CONFIG_BUILTIN_TLS &&
			 generator->files[i].builtin.authority;
	if (count == 1)
		return 0;
	return use_reject(use,
			  count == 0 ? "the issuer has no tls file with ca: true,"
				     : "the issuer has more than one tls file with ca: true,",
			  issuer);
}

static int use_check(const struct use *use)
{
	int r = 0;

	if (use->file->builtin.source)
		r = source_check(use);
	if (r == 0 && use->file->builtin.issuer)
		r = issuer_check(use);
	return r;
}

/* Variants of a dependency may differ between the generator's machines. */
static bool depends_on_variants(const struct config *config,
				const struct config_generator *generator)
{
	for (char **name = generator->dependencies; name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_find(config, *name, NULL);

		if (dependency && dependency->variants > 1)
			return true;
	}
	return false;
}

int schema_builtin_sources_check(struct reader *reader, const struct config *config,
				 const struct config_generator *generator)
{
	const bool each = !generator->share && depends_on_variants(config, generator);
	int r = 0;

	for (size_t i = 0; i < generator->file_count && r == 0; i++) {
		struct use use = {reader, config, generator, &generator->files[i], NULL};

		if (!each)
			r = use_check(&use);
		for (char **machine = generator->machines; r == 0 && each && *machine; machine++) {
			use.machine = *machine;
			r = use_check(&use);
		}
	}
	return r;
}
