/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH keys as files hold them: public keys in the form of authorized_keys (RFC 4253, section 6.6,
 * in Base64), private keys in OpenSSH's format (PROTOCOL.key) or in PEM. Only what age uses:
 * Ed25519 and RSA. Parsing computes nothing; whatever is expensive waits until a key is needed.
 */
#ifndef VMCRED_AGE_SSH_KEY_H
#define VMCRED_AGE_SSH_KEY_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define SSH_ED25519_KEY_SIZE 32 /* RFC 8032; of the public key, and of the seed */
#define SSH_TAG_LENGTH       6  /* age's tag of a key: 4 bytes in Base64 */

enum ssh_key_type {
	SSH_ED25519,
	SSH_RSA,
};

/* Starts as {0}. */
struct ssh_public_key {
	enum ssh_key_type type;
	uint8_t *wire; /* owned; the key in its binary form */
	size_t wire_size;
	struct span point;             /* Ed25519, in `wire` */
	struct span modulus, exponent; /* RSA, in `wire`: big-endian, no leading zeros */
	char tag[SSH_TAG_LENGTH + 1];  /* how a stanza names the key */
};

#define _cleanup_ssh_public_key_ __attribute__((cleanup(ssh_public_key_destroy)))

/* "ssh-ed25519" or "ssh-rsa": the key's type, and the stanza's. */
const char *ssh_key_type_name(enum ssh_key_type type);

/* A line of authorized_keys without options, with or without a comment. VMCRED_FAILED: it is not
 * one of an Ed25519 or RSA key. */
int ssh_public_key_parse(struct span line, struct ssh_public_key *key, struct error *err);

/* The same from the binary form. */
int ssh_public_key_read(struct span wire, struct ssh_public_key *key, struct error *err);

/* The key as text without a comment, in new memory, or NULL. The caller frees it. */
char *ssh_public_key_format(const struct ssh_public_key *key);
void ssh_public_key_destroy(struct ssh_public_key *key);

/* Starts as {0}. The numbers of RSA are big-endian. */
struct ssh_private_key {
	struct secret bytes; /* what the others point into */
	struct span seed;    /* Ed25519 */
	struct span modulus, exponent, secret_exponent, prime1, prime2; /* RSA */
};

#define _cleanup_ssh_private_key_ __attribute__((cleanup(ssh_private_key_destroy)))

/* How a file's private part is encrypted; all zero: not at all. */
struct ssh_encryption {
	const char *cipher; /* libcrypto's name, or NULL */
	size_t key_size, iv_size;
	struct secret salt; /* of the key derivation */
	uint32_t rounds;    /* of bcrypt; 0: PEM's own derivation */
};

/* Starts as {0}. A private key file that may still be locked. */
struct ssh_private_file {
	struct ssh_public_key public_key;
	struct ssh_encryption encryption;
	struct secret body; /* the private part, as it is in the file */
	int (*body_parse)(struct span body, const struct ssh_public_key *public_key,
			  struct ssh_private_key *key, struct error *err);
};

/*
 * Parses a private key file. `public_text` is the text of the file beside it whose name ends with
 * .pub, or empty: a PEM file that is encrypted does not hold its public key. VMCRED_FAILED: it is
 * not such a file, or the key is of another type.
 */
int ssh_private_file_parse(struct span text, struct span public_text, struct ssh_private_file *file,
			   struct error *err);

/*
 * Gives the private key, decrypting it with the passphrase if it is encrypted. VMCRED_MISSING: the
 * passphrase is wrong. VMCRED_FAILED: the private key is damaged, or not the public key's.
 */
int ssh_private_file_open(const struct ssh_private_file *file, struct span passphrase,
			  struct ssh_private_key *key, struct error *err);
void ssh_private_file_destroy(struct ssh_private_file *file);
void ssh_private_key_destroy(struct ssh_private_key *key);

/* ssh_pem.c: the same for PEM files with PKCS#1 and PKCS#8 keys. */
int ssh_pem_parse(struct span text, struct span public_text, struct ssh_private_file *file,
		  struct error *err);

/* ssh_pem.c: the Base64 between a PEM file's lines is added to `body`. `label` is such as
 * "RSA PRIVATE KEY"; `headers` gets the lines before the first empty one, if there is one. */
int ssh_pem_decode(struct span text, const char *label, struct span *headers, struct secret *body,
		   struct error *err);

#endif
