/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind's options must be beside well-formed: found when the declaration is read, with the
 * line, and not when the secret is made.
 */
#include <arpa/inet.h>
#include <string.h>

#include "config/schema.h"

/* The common name is at most 64 characters long: RFC 5280, appendix A.1. */
#define SUBJECT_MAX 64

/* RFC 1035, section 2.3.4; the last dot and the root's length are not written. */
#define LABEL_SIZE_MAX 63
#define NAME_SIZE_MAX  253

/* What crypt(3) takes without keeping a login waiting: crypt(5). */
#define YESCRYPT_COST_MAX 11
#define SHA512_ROUNDS_MIN 1000
#define SHA512_ROUNDS_MAX 10000000

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* A line of a file is made of it. */
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

/* Labels with dots between them. The first may be "*" where two more follow; the last cannot be
 * a number, as in an address that is none. */
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

static int name_reject(struct reader *reader, struct fy_node *node, const char *name)
{
	reader_reject(reader, node, "\"%s\" is no DNS name and no address", name);
	for (const char *at = name; *at; at++) {
		if ((unsigned char)*at >= 0x80)
			return error_hint(reader->err,
					  "an internationalised name is written as IDNA has it, "
					  "xn--…");
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

static int tls_check(struct reader *reader, struct fy_node *node, struct config_kind *kind,
		     const char *generator)
{
	const char *subject = kind->subject ? kind->subject : generator;

	if (!kind->public_file)
		return reader_reject(reader, node,
				     "tls needs certificate:, the file for the certificate");
	if (!*subject || has_control_character(subject) || characters_count(subject) > SUBJECT_MAX)
		return reader_reject(reader, node,
				     "tls needs a subject: of 1 to %d characters, not \"%s\"",
				     SUBJECT_MAX, subject);
	for (char **name = kind->names; name && *name; name++) {
		if (!is_dns_name(*name) && !is_address(*name))
			return name_reject(reader, node, *name);
	}
	if (kind->days == 0)
		kind->days = kind->authority ? 3650 : 365;
	return 0;
}

static int passphrase_check(struct reader *reader, struct fy_node *node, struct config_kind *kind,
			    const char *generator)
{
	(void)generator;
	if (!kind->list)
		return reader_reject(reader, node,
				     "passphrase needs list:, a file with a word on each line");
	if (kind->separator && has_control_character(kind->separator))
		return reader_reject(reader, node, "separator: has a control character in it");
	return 0;
}

static int password_hash_check(struct reader *reader, struct fy_node *node,
			       struct config_kind *kind, const char *generator)
{
	const bool is_yescrypt = kind->algorithm == CONFIG_ALGORITHM_YESCRYPT;
	const size_t least = is_yescrypt ? 1 : SHA512_ROUNDS_MIN;
	const size_t most = is_yescrypt ? YESCRYPT_COST_MAX : SHA512_ROUNDS_MAX;

	(void)generator;
	if (!kind->source)
		return reader_reject(
			reader, node,
			"password-hash needs of:, a prompt or a file with the password");
	if (kind->size > 0 && (kind->size < least || kind->size > most))
		return reader_reject(reader, node, "%s takes rounds: from %zu to %zu",
				     is_yescrypt ? "yescrypt" : "sha-512", least, most);
	return 0;
}

static int ssh_key_check(struct reader *reader, struct fy_node *node, struct config_kind *kind,
			 const char *generator)
{
	(void)generator;
	if (kind->algorithm != CONFIG_ALGORITHM_RSA && kind->size > 0)
		return reader_reject(reader, node, "bits: is for RSA, an Ed25519 key has 256");
	if (kind->comment && has_control_character(kind->comment))
		return reader_reject(reader, node, "comment: has a control character in it");
	return 0;
}

static int jwt_check(struct reader *reader, struct fy_node *node, struct config_kind *kind,
		     const char *generator)
{
	(void)generator;
	if (kind->public_file && kind->algorithm == CONFIG_ALGORITHM_HS256)
		return reader_reject(reader, node, "HS256 has no public half");
	return 0;
}

int schema_kind_check(struct reader *reader, struct fy_node *node, struct config_kind *kind,
		      const char *generator)
{
	static const struct {
		enum config_kind_type type;
		int (*check)(struct reader *reader, struct fy_node *node, struct config_kind *kind,
			     const char *generator);
	} rows[] = {
		{CONFIG_KIND_JWT, jwt_check},
		{CONFIG_KIND_PASSPHRASE, passphrase_check},
		{CONFIG_KIND_PASSWORD_HASH, password_hash_check},
		{CONFIG_KIND_SSH_KEY, ssh_key_check},
		{CONFIG_KIND_TLS, tls_check},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].type == kind->type)
			return rows[i].check(reader, node, kind, generator);
	}
	return 0;
}

static bool is_hashed(const struct config_generator *generator, const char *prompt)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		const char *source = generator->files[i].kind.source;

		if (source && strcmp(source, prompt) == 0)
			return true;
	}
	return false;
}

/* An answer that goes nowhere: a person was asked for nothing. */
int schema_prompts_check(struct reader *reader, const struct config_generator *generator)
{
	for (size_t i = 0; !generator->script && i < generator->prompt_count; i++) {
		const struct config_prompt *prompt = &generator->prompts[i];

		if (prompt->persist || is_hashed(generator, prompt->name))
			continue;
		error_set(reader->err, VMCRED_USAGE,
			  "%s:%d: generators.%s.prompts: nothing uses the answer to \"%s\"",
			  reader->path, prompt->line, generator->name, prompt->name);
		return error_hint(reader->err, "persist: true stores it");
	}
	return 0;
}
