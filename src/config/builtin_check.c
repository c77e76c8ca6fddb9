/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of a builtin's options, so that errors have a line of the declaration instead of appearing
 * when the secret is generated.
 */
#include <arpa/inet.h>

#include "config/schema.h"

/* The common name is at most 64 characters long: RFC 5280, appendix A.1. */
#define SUBJECT_MAX 64

/* RFC 1035, section 2.3.4; the last dot and the root's length are not written. */
#define LABEL_SIZE_MAX 63
#define NAME_SIZE_MAX  253

/* Limits of crypt(3) that do not delay a login: crypt(5). */
#define YESCRYPT_COST_MAX 11
#define SHA512_ROUNDS_MIN 1000
#define SHA512_ROUNDS_MAX 10000000

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static bool has_control_character(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	}
	return false;
}

static bool label_is_fine(const char *label, size_t size)
{
	return size > 0 && size <= LABEL_SIZE_MAX && label[0] != '-' && label[size - 1] != '-' &&
	       strspn(label, LETTERS DIGITS "-_") >= size;
}

/* Labels separated by dots. The first may be "*" if two more follow; the last cannot be a number,
 * as in an invalid address. */
static bool is_dns_name(const char *name)
{
	const char *last = strrchr(name, '.');
	bool first = true;

	if (strlen(name) > NAME_SIZE_MAX || last == name ||
	    strspn(last ? last + 1 : name, DIGITS) == strlen(last ? last + 1 : name))
		return false;
	for (const char *label = name; *label || first; first = false) {
		size_t size = strcspn(label, ".");

		if (!(first && size == 1 && *label == '*' && last > label + 1) &&
		    !label_is_fine(label, size))
			return false;
		label += size;
		if (*label == '.' && *++label == '\0')
			return false;
	}
	return true;
}

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static int name_reject(struct reader *reader, const struct yaml_node *node, const char *name)
{
	reader_reject(reader, node, "\"%s\" is not a DNS name or an address", name);
	for (const char *at = name; *at; at++) {
		if ((unsigned char)*at >= 0x80)
			return error_hint(
				reader->err,
				"write an internationalized name in its xn-- form (IDNA)");
	}
	return -(int)reader->err->code;
}

static size_t characters_count(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static int tls_check(struct reader *reader, const struct yaml_node *node,
		     struct config_builtin *builtin, const char *generator)
{
	const char *subject = builtin->subject ? builtin->subject : generator;

	if (!builtin->public_file)
		return reader_reject(reader, node,
				     "missing certificate:, the file for the certificate");
	if (!*subject || has_control_character(subject) || characters_count(subject) > SUBJECT_MAX)
		return reader_reject(reader, node,
				     "subject: must have 1 to %d characters, not \"%s\"",
				     SUBJECT_MAX, subject);
	for (char **name = builtin->names; name && *name; name++) {
		if (!is_dns_name(*name) && !is_address(*name))
			return name_reject(reader, node, *name);
	}
	if (builtin->days == 0)
		builtin->days = builtin->authority ? 3650 : 365;
	return 0;
}

static int passphrase_check(struct reader *reader, const struct yaml_node *node,
			    struct config_builtin *builtin, const char *generator)
{
	(void)generator;
	if (!builtin->list)
		return reader_reject(reader, node, "missing list:, a file with one word per line");
	if (builtin->separator && has_control_character(builtin->separator))
		return reader_reject(reader, node, "separator: contains a control character");
	return 0;
}

static int password_hash_check(struct reader *reader, const struct yaml_node *node,
			       struct config_builtin *builtin, const char *generator)
{
	const bool is_yescrypt = builtin->algorithm == CONFIG_ALGORITHM_YESCRYPT;
	const size_t least = is_yescrypt ? 1 : SHA512_ROUNDS_MIN;
	const size_t most = is_yescrypt ? YESCRYPT_COST_MAX : SHA512_ROUNDS_MAX;

	(void)generator;
	if (!builtin->source)
		return reader_reject(reader, node,
				     "missing of:, a prompt or a file with the password");
	if (builtin->size > 0 && (builtin->size < least || builtin->size > most))
		return reader_reject(reader, node, "rounds: of %s must be from %zu to %zu",
				     is_yescrypt ? "yescrypt" : "sha-512", least, most);
	return 0;
}

static int ssh_key_check(struct reader *reader, const struct yaml_node *node,
			 struct config_builtin *builtin, const char *generator)
{
	(void)generator;
	if (builtin->algorithm != CONFIG_ALGORITHM_RSA && builtin->size > 0)
		return reader_reject(reader, node, "bits: is only for RSA");
	if (builtin->comment && has_control_character(builtin->comment))
		return reader_reject(reader, node, "comment: contains a control character");
	return 0;
}

static int jwt_check(struct reader *reader, const struct yaml_node *node,
		     struct config_builtin *builtin, const char *generator)
{
	(void)generator;
	if (builtin->public_file && builtin->algorithm == CONFIG_ALGORITHM_HS256)
		return reader_reject(reader, node, "HS256 has no public key");
	return 0;
}

int schema_builtin_check(struct reader *reader, const struct yaml_node *node,
			 struct config_builtin *builtin, const char *generator)
{
	static const struct {
		enum config_builtin_type type;
		int (*check)(struct reader *reader, const struct yaml_node *node,
			     struct config_builtin *builtin, const char *generator);
	} rows[] = {
		{CONFIG_BUILTIN_JWT, jwt_check},
		{CONFIG_BUILTIN_PASSPHRASE, passphrase_check},
		{CONFIG_BUILTIN_PASSWORD_HASH, password_hash_check},
		{CONFIG_BUILTIN_SSH_KEY, ssh_key_check},
		{CONFIG_BUILTIN_TLS, tls_check},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].type == builtin->type)
			return rows[i].check(reader, node, builtin, generator);
	}
	return 0;
}

static bool is_hashed(const struct config_generator *generator, const char *prompt)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		const char *source = generator->files[i].builtin.source;

		if (source && strcmp(source, prompt) == 0)
			return true;
	}
	return false;
}

int schema_prompts_check(struct reader *reader, const struct config_generator *generator)
{
	for (size_t i = 0; !generator->script && i < generator->prompt_count; i++) {
		const struct config_prompt *prompt = &generator->prompts[i];

		if (prompt->persist || is_hashed(generator, prompt->name))
			continue;
		reader_reject_line(reader, prompt->line,
				   "generators.%s.prompts: the answer to \"%s\" is not used",
				   generator->name, prompt->name);
		return error_hint(reader->err, "store it with persist: true");
	}
	return 0;
}
