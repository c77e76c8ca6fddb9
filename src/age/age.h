/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The age v1 file format (C2SP age.md): files that are encrypted to one or more recipients, each of
 * whom opens them with an identity. A random file key encrypts the payload; the header holds it
 * once for each recipient, wrapped, and is itself protected by a MAC.
 *
 * Nothing of a payload is handed out before the header's MAC, and nothing of a chunk before its
 * tag, has been verified; in-memory decryption hands out all or nothing. Every input is untrusted,
 * identity files too. Secrets (file key, scalars, plaintext) are in `struct secret` alone.
 * Ciphertext is returned in one as well, because it needs a growing buffer and not because it has
 * to be hidden.
 *
 * Recipients and identities live in lists, which own them. A recipient type is one file behind the
 * two tables in age/keys.h. Stanzas of other types are ignored, as the format demands.
 *
 * Nothing is computed before it is needed: an SSH key, an encrypted identity file and a plugin cost
 * a parse until a file is for them. Lists may be used from several threads at once, but not while
 * something is added to them.
 */
#ifndef VMCRED_AGE_AGE_H
#define VMCRED_AGE_AGE_H

#include <time.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

struct age_recipient;
struct age_identity;

/*
 * How to reach a person: for the passphrase of an encrypted key, and for what a plugin says and
 * asks. The caller owns it; it outlives the lists that point to it, and is called by one thread at
 * a time. A member that is NULL cannot be done; each returns a negative code where it was not
 * possible this time, and what needed it fails or goes on without. The texts are printable UTF-8 on
 * one line, whoever they come from.
 */
struct age_prompt {
	void *context; /* handed to each */
	/* Asks a question; adds the answer, without a newline. `hidden`: it is not shown while it
	 * is typed. */
	int (*ask)(void *context, const char *question, bool hidden, struct secret *answer,
		   struct error *err);
	/* Returns 1 for `yes`, 0 for `no`, which are what the answers are called. `no` is NULL
	 * where there is one answer only. */
	int (*confirm)(void *context, const char *question, const char *yes, const char *no,
		       struct error *err);
	/* Shows a message. */
	int (*show)(void *context, const char *message, struct error *err);
};

/* Starts as {0}, or with .prompt set. */
struct age_recipients {
	struct age_recipient **items; /* owned, and each of them */
	size_t count;
	const struct age_prompt *prompt; /* for what is added from now on; NULL: nobody to ask */
};

/* Starts as {0}, or with .prompt set. */
struct age_identities {
	struct age_identity **items; /* owned, and each of them */
	size_t count;
	const struct age_prompt *prompt; /* for what is added from now on; NULL: nobody to ask */
};

#define _cleanup_age_recipients_ __attribute__((cleanup(age_recipients_destroy)))
#define _cleanup_age_identities_ __attribute__((cleanup(age_identities_destroy)))

/*
 * Adds a public key: `age1…` (X25519), `age1pq1…` (hybrid), `age1NAME1…` (a plugin's), or a line
 * `ssh-ed25519 …` or `ssh-rsa …` with or without a comment. VMCRED_USAGE: it is not one.
 * VMCRED_MISSING: the linked libcrypto cannot do its type. The error quotes public keys only.
 */
int age_recipients_add(struct age_recipients *recipients, struct span text, struct error *err);

/*
 * Adds a passphrase, which must be the only recipient. It is copied. `work_factor` is the binary
 * logarithm of scrypt's N, 0 for age's own.
 */
int age_recipients_add_passphrase(struct age_recipients *recipients, struct span passphrase,
				  unsigned int work_factor, struct error *err);

/*
 * Adds the public keys in a text, one a line, with comments and empty lines as in an identity file.
 * `what` names the text. Errors name it and the line, never the line's text.
 */
int age_recipients_parse(struct span text, const char *what, struct age_recipients *recipients,
			 struct error *err);
void age_recipients_destroy(struct age_recipients *recipients);

/* The public key as text, as it was added. Lives as long as the recipient. */
const char *age_recipient_text(const struct age_recipient *recipient);

/*
 * Adds one secret key: `AGE-SECRET-KEY-1…`, `AGE-SECRET-KEY-PQ-1…` or `AGE-PLUGIN-NAME-1…`.
 * VMCRED_FAILED: it is not one. The error never holds the key or a part of it.
 */
int age_identities_add(struct age_identities *identities, struct span text, struct error *err);

/*
 * Adds the X25519 identity that an Ed25519 SSH key becomes by ssh-to-age, for files that are
 * encrypted to such a key's `age1…` and not to the SSH key itself. `text` is that of a private key
 * file without a passphrase, `what` names it. VMCRED_FAILED: it is something else.
 */
int age_identities_add_converted(struct age_identities *identities, struct span text,
				 const char *what, struct error *err);

/* Adds a passphrase; it is copied. An empty one is asked for when a file needs it. */
int age_identities_add_passphrase(struct age_identities *identities, struct span passphrase,
				  struct error *err);

/* Adds a new random X25519 identity. */
int age_identities_generate(struct age_identities *identities, struct error *err);
void age_identities_destroy(struct age_identities *identities);

/*
 * The public key that belongs to the identity, such as `age1…` or `ssh-ed25519 …` without a
 * comment. Where nobody can know it (plugins, passphrases, encrypted identity files), a description
 * in angle brackets, which is no recipient. Lives as long as the identity.
 */
const char *age_identity_recipient(const struct age_identity *identity);

/* Whether a plugin has the key, perhaps in a token that a person must touch. */
bool age_identity_is_plugin(const struct age_identity *identity);

/*
 * Adds the identities in the text of an identity file, which is one of
 *   - secret keys, one a line; '#' starts a comment line, empty lines are skipped;
 *   - an SSH private key (OpenSSH's format, or PEM with an RSA or Ed25519 key), encrypted or not;
 *   - such a list of keys, encrypted with a passphrase by age, armored or not.
 * `what` names the file, also when its passphrase is asked for. Errors name it and the line, never
 * the line's text. A file without a key is an error.
 */
int age_identities_parse(struct span text, const char *what, struct age_identities *identities,
			 struct error *err);

/*
 * The same for a file, which must be a regular file or a pipe, and must not be readable or writable
 * for its group or for others; an access control list may let this process's user read it, as
 * systemd's credentials have one. VMCRED_MISSING: it is not there.
 */
int age_identity_file_load(int dirfd, const char *path, struct age_identities *identities,
			   struct error *err);

/* The text of an identity file as age-keygen(1) writes it, created at `created`. Adds to `text`. */
int age_identity_file_format(const struct age_identity *identity, time_t created,
			     struct secret *text, struct error *err);

/*
 * Encrypts to all recipients, at least one. The binary file is added to `file`. VMCRED_USAGE: the
 * recipients do not go together (a passphrase and something else; post-quantum and not).
 */
int age_encrypt(struct span plaintext, const struct age_recipients *recipients, struct secret *file,
		struct error *err);

/*
 * Decrypts a binary file; the plaintext is added to `plaintext`, all of it or nothing.
 * VMCRED_MISSING: no identity opens it, or the one that might cannot be used (its passphrase was
 * wrong or could not be asked for, its plugin is not installed). VMCRED_INTEGRITY: the header's MAC
 * or a chunk's tag does not match, or the payload is cut off. VMCRED_FAILED: it is not an age file.
 */
int age_decrypt(struct span file, const struct age_identities *identities, struct secret *plaintext,
		struct error *err);

/*
 * The same from one descriptor to another, in constant memory. Decryption takes armor too, and
 * writes each chunk as soon as it is verified: where it fails, what was written is the genuine
 * beginning of the plaintext.
 */
int age_encrypt_stream(int in_fd, int out_fd, const struct age_recipients *recipients, bool armor,
		       struct error *err);
int age_decrypt_stream(int in_fd, int out_fd, const struct age_identities *identities,
		       struct error *err);

/*
 * An RSA key of SSH, for what is no age file: sops/ makes a PGP key of it. It may be used from
 * several threads at once.
 */
struct age_rsa_key;

/* Reads a private key file without a passphrase; `what` names it. VMCRED_FAILED: it is something
 * else. The caller destroys the key. */
int age_rsa_key_read(struct span text, const char *what, struct age_rsa_key **key,
		     struct error *err);

/* The public key: big-endian, no leading zeros. They live as long as the key. */
struct span age_rsa_key_modulus(const struct age_rsa_key *key);
struct span age_rsa_key_exponent(const struct age_rsa_key *key);

/* RSAES-PKCS1-v1_5 (RFC 8017, section 7.2): adds the plaintext. VMCRED_FAILED: the ciphertext is
 * not for this key; libcrypto may also give random bytes then, so the caller checks what it gets.
 */
int age_rsa_key_decrypt(const struct age_rsa_key *key, struct span ciphertext,
			struct secret *plaintext, struct error *err);

/* Accepts NULL. */
void age_rsa_key_destroy(struct age_rsa_key *key);

/* Whether the text begins as an armored file does, white space aside. */
bool age_armor_detect(struct span text);

/* Adds the armored form (PEM with strict rules; age.md, "ASCII armor") of a file to `text`. */
int age_armor_encode(struct span file, struct secret *text, struct error *err);

/* Adds the file in an armored text to `file`. VMCRED_FAILED: the text is not in the one strict
 * form. */
int age_armor_decode(struct span text, struct secret *file, struct error *err);

#endif
