/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of SSH keys: public keys in the format of authorized_keys (RFC 4253, section 6.6, in
 * Base64), private keys in OpenSSH's format (PROTOCOL.key) or in PEM. Only the types that age
 * supports: Ed25519 and RSA. Parsing is cheap; expensive work waits until a key is needed.
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
	char tag[SSH_TAG_LENGTH + 1];  /* the key in a stanza */
};

/* "ssh-ed25519" or "ssh-rsa": the key's type, and the stanza's. */
const char *ssh_key_type_name(enum ssh_key_type type);

/* Parses a line of authorized_keys without options, with or without a comment. VMCRED_FAILED: it is
 * not an Ed25519 or RSA key. */
int ssh_public_key_parse(struct span line, struct ssh_public_key *key, struct error *err);

/* The same from the binary form. */
int ssh_public_key_read(struct span wire, struct ssh_public_key *key, struct error *err);

/* The key as text without a comment, in new memory, or NULL. The caller frees it. */
char *ssh_public_key_format(const struct ssh_public_key *key);
void ssh_public_key_destroy(struct ssh_public_key *key);

/* Starts as {0}. The numbers of RSA are big-endian. */
struct ssh_private_key {
	struct secret bytes; /* the others point into it */
	struct span seed;    /* Ed25519 */
	struct span modulus, exponent, secret_exponent, prime1, prime2; /* RSA */
};

#define _cleanup_ssh_private_key_ __attribute__((cleanup(ssh_private_key_destroy)))

/* How a file's private part is encrypted; all zero if it is not. */
struct ssh_encryption {
	const char *cipher; /* libcrypto's name, or NULL */
	size_t key_size, iv_size;
	struct secret salt; /* of the key derivation */
	uint32_t rounds;    /* of bcrypt; 0: PEM's own derivation */
};

/* A private key file, possibly still encrypted. Starts as {0}. */
struct ssh_private_file {
	struct ssh_public_key public_key;
	struct ssh_encryption encryption;
	struct secret body; /* the private part, as in the file */
	int (*body_parse)(struct span body, const struct ssh_public_key *public_key,
			  struct ssh_private_key *key, struct error *err);
};

/*
 * Parses a private key file. `public_text` is the text of the .pub file beside it, or empty; an
 * encrypted PEM file does not contain its public key. VMCRED_FAILED: it is not a private key file,
 * or the key is of another type.
 */
int ssh_private_file_parse(struct span text, struct span public_text, struct ssh_private_file *file,
			   struct error *err);

/*
 * Returns the private key, decrypted with the passphrase if it is encrypted. VMCRED_MISSING: wrong
 * passphrase. VMCRED_FAILED: the private key is damaged, or does not match the public key.
 */
int ssh_private_file_open(const struct ssh_private_file *file, struct span passphrase,
			  struct ssh_private_key *key, struct error *err);
void ssh_private_file_destroy(struct ssh_private_file *file);
void ssh_private_key_destroy(struct ssh_private_key *key);

/* pem.c: the same for PEM files with PKCS#1 and PKCS#8 keys. */
int ssh_pem_parse(struct span text, struct span public_text, struct ssh_private_file *file,
		  struct error *err);

/* pem.c: decodes the Base64 of a PEM file into `body`. `label` is, for example, "RSA PRIVATE KEY";
 * `headers` gets the lines before the first empty one, if there is one. */
int ssh_pem_decode(struct span text, const char *label, struct span *headers, struct secret *body,
		   struct error *err);

#endif
