/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The age v1 file format (C2SP age.md): a file is encrypted to one or more recipients, and each of
 * their identities can decrypt it. A random file key encrypts the payload; the header contains it
 * once for each recipient, wrapped, and is authenticated by a MAC.
 *
 * Decryption verifies the header's MAC before it returns any plaintext, and a chunk's tag before it
 * returns the chunk; in memory it returns all or nothing. All input is untrusted, including
 * identity files. Secrets (file key, scalars, plaintext) exist only in `struct secret`. Ciphertext
 * is returned in one too, but only because it needs a growing buffer.
 *
 * Recipients and identities are owned by lists. A recipient type is one file with the two
 * interfaces in age/keys.h. Stanzas of unknown types are ignored, as the format requires.
 *
 * Expensive work waits until a file needs it: adding an SSH key, an encrypted identity file or a
 * plugin only parses it. Several threads may use a list at once, but not while it changes.
 */
#ifndef VMCRED_AGE_AGE_H
#define VMCRED_AGE_AGE_H

#include <time.h>

#include "base/error.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/span.h"

struct age_recipient;
struct age_identity;

/*
 * Asks the user: for the passphrase of an encrypted key, and for plugins. The caller owns it; it
 * outlives the lists that point to it and is called by one thread at a time. Members may be NULL. A
 * negative code means that the user could not be asked. All texts are one line of printable UTF-8.
 */
struct age_prompt {
	void *context; /* passed to each function */
	/* Asks a question; adds the answer, without a newline. `hidden`: do not echo it. */
	int (*ask)(void *context, const char *question, bool hidden, struct secret *answer,
		   struct error *err);
	/* Returns 1 for the answer labeled `yes`, 0 for `no`. `no` may be NULL. */
	int (*confirm)(void *context, const char *question, const char *yes, const char *no,
		       struct error *err);
	/* Shows a message. */
	int (*show)(void *context, const char *message, struct error *err);
};

/* Starts as {0}, or with .prompt and .report set. */
struct age_recipients {
	struct age_recipient **items; /* owned, and each of them */
	size_t count;
	const struct age_prompt *prompt; /* for later additions; NULL: nobody to ask */
	const struct report *report;     /* for warnings about files; NULL: none */
};

/* Starts as {0}, or with .prompt and .report set. */
struct age_identities {
	struct age_identity **items; /* owned, and each of them */
	size_t count;
	const struct age_prompt *prompt; /* for later additions; NULL: nobody to ask */
	const struct report *report;     /* for warnings about files; NULL: none */
	/* Convert SSH keys without a passphrase, too, as age_identities_add_converted() does. */
	bool converts_ssh;
};

#define _cleanup_age_recipients_ __attribute__((cleanup(age_recipients_destroy)))
#define _cleanup_age_identities_ __attribute__((cleanup(age_identities_destroy)))

/*
 * Adds a public key: `age1…` (X25519), `age1pq1…` (hybrid), `age1NAME1…` (a plugin's), or a line
 * `ssh-ed25519 …` or `ssh-rsa …` with or without a comment. VMCRED_USAGE: it is not a public key.
 * VMCRED_MISSING: the linked libcrypto does not support its type. The error quotes public keys
 * only.
 */
int age_recipients_add(struct age_recipients *recipients, struct span text, struct error *err);

/*
 * Adds a passphrase, which must be the only recipient. It is copied. `work_factor` is the binary
 * logarithm of scrypt's N, or 0 for age's default.
 */
int age_recipients_add_passphrase(struct age_recipients *recipients, struct span passphrase,
				  unsigned int work_factor, struct error *err);

/*
 * Adds the public keys of identities. An encrypted identity file is decrypted for that; a plugin
 * encrypts with the identity itself.
 */
int age_recipients_add_identities(struct age_recipients *recipients,
				  const struct age_identities *identities, struct error *err);

/*
 * Adds the public keys in a text, one a line, with comments and empty lines as in an identity file.
 * An SSH key that age does not support is a warning. `what` names the text. Errors name it and the
 * line, and never quote the line.
 */
int age_recipients_parse(struct span text, const char *what, struct age_recipients *recipients,
			 struct error *err);
void age_recipients_destroy(struct age_recipients *recipients);

/* The public key as it was added. Valid as long as the recipient. */
const char *age_recipient_text(const struct age_recipient *recipient);

/*
 * Adds one secret key: `AGE-SECRET-KEY-1…`, `AGE-SECRET-KEY-PQ-1…` or `AGE-PLUGIN-NAME-1…`.
 * VMCRED_FAILED: it is not a secret key. The error never quotes any part of it.
 */
int age_identities_add(struct age_identities *identities, struct span text, struct error *err);

/*
 * Converts an Ed25519 SSH key to an X25519 identity, as ssh-to-age does, for files that are
 * encrypted to the converted `age1…` key. `text` is a private key file without a passphrase; `what`
 * names it. VMCRED_FAILED: it is something else.
 */
int age_identities_add_converted(struct age_identities *identities, struct span text,
				 const char *what, struct error *err);

/* Adds a passphrase; it is copied. If it is empty, the user is asked when a file needs it. */
int age_identities_add_passphrase(struct age_identities *identities, struct span passphrase,
				  struct error *err);

/* Adds the identity of a plugin that needs no data. VMCRED_FAILED: not the name of a plugin. */
int age_identities_add_plugin(struct age_identities *identities, const char *name,
			      struct error *err);

enum age_key_type {
	AGE_X25519,
	AGE_HYBRID, /* post-quantum; VMCRED_MISSING if libcrypto does not support it */
};

/* Adds a new random identity. */
int age_identities_generate(struct age_identities *identities, enum age_key_type type,
			    struct error *err);
void age_identities_destroy(struct age_identities *identities);

/*
 * The public key of the identity, such as `age1…` or `ssh-ed25519 …` without a comment. If it is
 * unknown (plugins, passphrases, encrypted identity files), a description in angle brackets. Valid
 * as long as the identity.
 */
const char *age_identity_recipient(const struct age_identity *identity);

/* Whether it belongs to a plugin, which may require touching a token. */
bool age_identity_is_plugin(const struct age_identity *identity);

/*
 * Adds the identities in the text of an identity file, which is one of
 *   - secret keys, one a line; '#' starts a comment line, empty lines are skipped;
 *   - an SSH private key (OpenSSH's format, or PEM with an RSA or Ed25519 key), encrypted or not;
 *   - such a list of keys, encrypted with a passphrase by age, armored or not.
 * `what` names the file in questions and errors. Errors name the line and never quote it. A file
 * without a key is an error.
 */
int age_identities_parse(struct span text, const char *what, struct age_identities *identities,
			 struct error *err);

/*
 * The same for a file, which must be a pipe, or a regular file that passes age_identity_fd_check().
 * VMCRED_MISSING: it does not exist.
 */
int age_identity_file_load(int dirfd, const char *path, struct age_identities *identities,
			   struct error *err);

/*
 * Checks who can access a key file: an error if group or others can write it, and a warning if they
 * can read it. As for systemd's credentials, an access control list may allow this user to read it.
 */
int age_identity_fd_check(int fd, const char *path, const struct report *report, struct error *err);

/* The text of an identity file as age-keygen(1) writes it, created at `created`. Adds to `text`. */
int age_identity_file_format(const struct age_identity *identity, time_t created,
			     struct secret *text, struct error *err);

/*
 * Encrypts to all recipients and adds the binary file to `file`. VMCRED_USAGE: no recipients, or
 * incompatible ones (a passphrase with anything else; post-quantum keys with others).
 */
int age_encrypt(struct span plaintext, const struct age_recipients *recipients, struct secret *file,
		struct error *err);

/*
 * Decrypts a binary file and adds the plaintext to `plaintext`, all of it or nothing.
 * VMCRED_MISSING: no identity opens it, or an identity is unusable (wrong passphrase, nobody to
 * ask, plugin not installed). VMCRED_INTEGRITY: the header's MAC or a chunk's tag does not match,
 * or the payload is truncated. VMCRED_FAILED: it is not an age file.
 */
int age_decrypt(struct span file, const struct age_identities *identities, struct secret *plaintext,
		struct error *err);

/*
 * The same from one descriptor to another, in constant memory. Decryption accepts armor too, and
 * writes each chunk when it is verified: after a failure, the output is the genuine beginning of
 * the plaintext.
 */
int age_encrypt_stream(int in_fd, int out_fd, const struct age_recipients *recipients, bool armor,
		       struct error *err);
int age_decrypt_stream(int in_fd, int out_fd, const struct age_identities *identities,
		       struct error *err);

/*
 * An SSH RSA key for other purposes than age files: sops/ uses it as a PGP key. Several threads may
 * use it at once.
 */
struct age_rsa_key;

/* Reads a private key file without a passphrase; `what` names it. VMCRED_FAILED: it is something
 * else. The caller destroys the key. */
int age_rsa_key_read(struct span text, const char *what, struct age_rsa_key **key,
		     struct error *err);

/* The public key: big-endian, no leading zeros. Valid as long as the key. */
struct span age_rsa_key_modulus(const struct age_rsa_key *key);
struct span age_rsa_key_exponent(const struct age_rsa_key *key);

/* RSAES-PKCS1-v1_5 (RFC 8017, section 7.2): adds the plaintext. VMCRED_FAILED: the ciphertext is
 * for another key. libcrypto may return random bytes instead, so the caller checks the result. */
int age_rsa_key_decrypt(const struct age_rsa_key *key, struct span ciphertext,
			struct secret *plaintext, struct error *err);

/* Accepts NULL. */
void age_rsa_key_destroy(struct age_rsa_key *key);

/* Whether the text starts like an armored file, ignoring white space. */
bool age_armor_detect(struct span text);

/* Adds the armored form (PEM with strict rules; age.md, "ASCII armor") of a file to `text`. */
int age_armor_encode(struct span file, struct secret *text, struct error *err);

/* Adds the file in an armored text to `file`. VMCRED_FAILED: the armor is malformed. */
int age_armor_decode(struct span text, struct secret *file, struct error *err);

#endif
