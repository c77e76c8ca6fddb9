/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The minimum that any program must do to generate secrets for many machines and seal them as SOPS
 * documents for age: the primitives of libcrypto and the system calls for files. No tree, no
 * parser, no locked memory, no checks.
 *
 *     vars_bare DIRECTORY MACHINES FILES RECIPIENTS THREADS
 *
 * For each file a random value and data key; for each recipient the age file of the data key: an
 * ephemeral X25519 key and the shared secret, HKDF and ChaCha20-Poly1305 of the stanza, HKDF and
 * HMAC of the header, HKDF and ChaCha20-Poly1305 of the payload; then AES-256-GCM of the value and
 * of the MAC, which is a SHA-512. Unless DIRECTORY is "-", it also creates a directory for each
 * machine, a temporary one for the generator with a document of realistic size and two links for
 * each file, renames it, and syncs all at the end. It reads one recipient's key for each machine.
 *
 * If DIRECTORY is "rewrap", it creates no value and no file: it unwraps each data key for one
 * recipient and wraps it for all RECIPIENTS, which may be none.
 *
 * If DIRECTORY is "answer", it answers the guests whose connections are passed to the socket that
 * is its standard input, as channel.py does: it unwraps a data key for each.
 *
 * Threads take machines in turn. Prints the seconds.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define THREADS_MAX    64
#define DOCUMENT_SIZE  (560 + 420 * task.recipients) /* one of vmcred's own */
#define DOCUMENT_MAX   ((size_t)64 * 1024)
#define RECIPIENTS_MAX 100
#define ANSWER_SIZE    85 /* HELLO, and VALUE with 44 bytes: docs/protocol.md */
#define ANSWER_TYPE    16 /* of VALUE */

static struct {
	const char *directory; /* NULL: no files */
	bool rewrap, answer;
	size_t machines, files, recipients;
	atomic_size_t next;
	EVP_KDF *hkdf;
	EVP_MAC *hmac;
	EVP_CIPHER *chacha, *aes;
	EVP_MD *sha512;
	EVP_PKEY *recipient, *identity;
} task;

/* A thread's contexts: made once. */
struct worker {
	EVP_PKEY_CTX *generation;
	EVP_KDF_CTX *hkdf;
	EVP_MAC_CTX *hmac;
	EVP_CIPHER_CTX *chacha, *aes;
	EVP_MD_CTX *sha512;
	unsigned char document[DOCUMENT_MAX];
};

static void must(bool done, const char *what)
{
	if (done)
		return;
	perror(what);
	exit(1);
}

static void random_fill(unsigned char *bytes, size_t size)
{
	must(getrandom(bytes, size, 0) == (ssize_t)size, "getrandom");
}

static void hkdf(struct worker *worker, const unsigned char *secret, size_t size,
		 const unsigned char *salt, size_t salt_size, unsigned char key[32])
{
	char digest[] = "SHA256", label[] = "age-encryption.org/v1/X25519";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, label, sizeof(label) - 1),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_size),
		OSSL_PARAM_construct_end(),
	};

	EVP_KDF_CTX_reset(worker->hkdf);
	must(EVP_KDF_derive(worker->hkdf, key, 32, parameters) == 1, "HKDF");
}

static void encrypt(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, const unsigned char key[32],
		    int nonce_size, const unsigned char *nonce, const unsigned char *plain,
		    int size, unsigned char *out)
{
	int written = 0;

	must(EVP_EncryptInit_ex2(context, cipher, NULL, NULL, NULL) == 1 &&
		     EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, nonce_size, NULL) == 1 &&
		     EVP_EncryptInit_ex2(context, NULL, key, nonce, NULL) == 1 &&
		     EVP_EncryptUpdate(context, out, &written, plain, size) == 1 &&
		     EVP_EncryptFinal_ex(context, out + written, &written) == 1 &&
		     EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out + size) == 1,
	     "encrypting");
}

/* What the key shares with the recipient. */
static void key_agree(EVP_PKEY *key, unsigned char shared[32])
{
	EVP_PKEY_CTX *derivation = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	size_t size = 32;

	must(EVP_PKEY_derive_init(derivation) == 1 &&
		     EVP_PKEY_derive_set_peer_ex(derivation, task.recipient, 0) == 1 &&
		     EVP_PKEY_derive(derivation, shared, &size) == 1,
	     "X25519");
	EVP_PKEY_CTX_free(derivation);
}

/* A new ephemeral key, and what it shares with the recipient. */
static void key_exchange(const struct worker *worker, unsigned char own[32],
			 unsigned char shared[32])
{
	EVP_PKEY *key = NULL;
	size_t size = 32;

	must(EVP_PKEY_generate(worker->generation, &key) == 1 &&
		     EVP_PKEY_get_raw_public_key(key, own, &size) == 1,
	     "generating a key");
	key_agree(key, shared);
	EVP_PKEY_free(key);
}

/* The MAC of a file's header, behind it. */
static void header_authenticate(const struct worker *worker, const unsigned char key[32],
				unsigned char *header)
{
	size_t size = 32;

	must(EVP_MAC_init(worker->hmac, key, 32, NULL) == 1 &&
		     EVP_MAC_update(worker->hmac, header, 150) == 1 &&
		     EVP_MAC_final(worker->hmac, header + 150, &size, 32) == 1,
	     "HMAC");
}

static void recipient_wrap(struct worker *worker, const unsigned char data_key[32],
			   unsigned char *out)
{
	static const unsigned char zero[12];
	unsigned char file_key[16], salt[64], shared[32], key[32], nonce[16];

	random_fill(file_key, sizeof(file_key));
	key_exchange(worker, salt, shared);
	memcpy(salt + 32, salt, 32);
	hkdf(worker, shared, 32, salt, sizeof(salt), key);
	encrypt(worker->chacha, task.chacha, key, 12, zero, file_key, 16, out);
	hkdf(worker, file_key, 16, zero, sizeof(zero), key);
	header_authenticate(worker, key, out);
	random_fill(nonce, sizeof(nonce));
	hkdf(worker, file_key, 16, nonce, sizeof(nonce), key);
	encrypt(worker->chacha, task.chacha, key, 12, zero, data_key, 32, out + 182);
	/* Base64, as the document has it. */
	EVP_EncodeBlock(out + 256, out, 230);
}

/* What it takes to open such a file; where ChaCha20-Poly1305 would decrypt, it encrypts, which
 * costs the same. */
static void recipient_unwrap(struct worker *worker, unsigned char *out)
{
	static const unsigned char zero[12], data[32];
	unsigned char salt[64] = {0}, shared[32], key[32];

	key_agree(task.identity, shared);
	hkdf(worker, shared, 32, salt, sizeof(salt), key);
	encrypt(worker->chacha, task.chacha, key, 12, zero, data, 16, out);
	hkdf(worker, out, 16, zero, sizeof(zero), key);
	header_authenticate(worker, key, out);
	hkdf(worker, out, 16, out, 16, key);
	encrypt(worker->chacha, task.chacha, key, 12, zero, data, 32, out + 182);
}

static void document_rewrap(struct worker *worker)
{
	unsigned char data_key[32] = {0};

	recipient_unwrap(worker, worker->document);
	for (size_t i = 0; i < task.recipients; i++)
		recipient_wrap(worker, data_key, worker->document + 400 + i * 600);
}

static void guest_answer(struct worker *worker)
{
	unsigned char key[512], request[512], answer[ANSWER_SIZE];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = key, .iov_len = sizeof(key)};
	struct msghdr datagram = {.msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control)};
	int fd;

	must(recvmsg(STDIN_FILENO, &datagram, 0) > 0 && CMSG_FIRSTHDR(&datagram), "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&datagram)), sizeof(fd));
	must(recv(fd, request, sizeof(request), 0) > 0, "recv");
	recipient_unwrap(worker, worker->document);
	memset(answer, ANSWER_TYPE, sizeof(answer));
	must(send(fd, answer, sizeof(answer), 0) == sizeof(answer) && close(fd) == 0, "send");
}

static void document_make(struct worker *worker)
{
	unsigned char value[32], text[48], data_key[32], nonces[64], mac[64];

	random_fill(value, sizeof(value));
	EVP_EncodeBlock(text, value, sizeof(value));
	random_fill(data_key, sizeof(data_key));
	random_fill(nonces, sizeof(nonces));
	for (size_t i = 0; i < task.recipients; i++)
		recipient_wrap(worker, data_key, worker->document + 400 + i * 600);
	encrypt(worker->aes, task.aes, data_key, 32, nonces, text, 44, worker->document);
	must(EVP_DigestInit_ex2(worker->sha512, task.sha512, NULL) == 1 &&
		     EVP_DigestUpdate(worker->sha512, text, 44) == 1 &&
		     EVP_DigestFinal_ex(worker->sha512, mac, NULL) == 1,
	     "SHA-512");
	encrypt(worker->aes, task.aes, data_key, 32, nonces + 32, mac, sizeof(mac),
		worker->document + 100);
}

static void file_write(const struct worker *worker, int dirfd, size_t number)
{
	char name[32], path[64];
	int fd;

	snprintf(name, sizeof(name), "secret-%zu", number);
	must(mkdirat(dirfd, name, 0755) == 0, "mkdir");
	snprintf(path, sizeof(path), "%s/secret", name);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	must(fd >= 0 && write(fd, worker->document, DOCUMENT_SIZE) == (ssize_t)DOCUMENT_SIZE &&
		     close(fd) == 0,
	     "writing");
	snprintf(path, sizeof(path), "%s/machines", name);
	must(mkdirat(dirfd, path, 0755) == 0, "mkdir");
	snprintf(path, sizeof(path), "%s/machines/machine", name);
	must(symlinkat("../../../../../../sops/machines/machine", dirfd, path) == 0, "symlink");
	snprintf(path, sizeof(path), "%s/users", name);
	must(mkdirat(dirfd, path, 0755) == 0, "mkdir");
	snprintf(path, sizeof(path), "%s/users/admin", name);
	must(symlinkat("../../../../../../sops/users/admin", dirfd, path) == 0, "symlink");
}

static void key_read(const char *machine)
{
	char path[4096], text[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s.json", task.directory, machine);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	(void)close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && read(fd, text, sizeof(text)) >= 0 && close(fd) == 0, "reading");
}

static void machine_do(struct worker *worker, size_t index)
{
	char machine[32], path[4096], final[4096];
	int dirfd;

	snprintf(machine, sizeof(machine), "m%zu", index);
	if (!task.directory) {
		for (size_t i = 0; i < task.files; i++)
			task.rewrap ? document_rewrap(worker) : document_make(worker);
		return;
	}
	key_read(machine);
	snprintf(path, sizeof(path), "%s/%s", task.directory, machine);
	must(mkdir(path, 0755) == 0, "mkdir");
	snprintf(path, sizeof(path), "%s/.new.%s", task.directory, machine);
	must(mkdir(path, 0755) == 0, "mkdir");
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dirfd >= 0, "open");
	for (size_t i = 0; i < task.files; i++) {
		document_make(worker);
		file_write(worker, dirfd, i);
	}
	(void)close(dirfd);
	snprintf(final, sizeof(final), "%s/%s/secrets", task.directory, machine);
	must(rename(path, final) == 0, "rename");
}

static void *work(void *argument)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	char digest[] = "SHA256";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	size_t index;

	(void)argument;
	must(worker != NULL, "memory");
	worker->generation = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	worker->hkdf = EVP_KDF_CTX_new(task.hkdf);
	worker->hmac = EVP_MAC_CTX_new(task.hmac);
	worker->chacha = EVP_CIPHER_CTX_new();
	worker->aes = EVP_CIPHER_CTX_new();
	worker->sha512 = EVP_MD_CTX_new();
	must(EVP_PKEY_keygen_init(worker->generation) == 1 &&
		     EVP_MAC_CTX_set_params(worker->hmac, parameters) == 1,
	     "libcrypto");
	while (task.answer)
		guest_answer(worker);
	while ((index = atomic_fetch_add(&task.next, 1)) < task.machines)
		machine_do(worker, index);
	EVP_PKEY_CTX_free(worker->generation);
	EVP_KDF_CTX_free(worker->hkdf);
	EVP_MAC_CTX_free(worker->hmac);
	EVP_CIPHER_CTX_free(worker->chacha);
	EVP_CIPHER_CTX_free(worker->aes);
	EVP_MD_CTX_free(worker->sha512);
	free(worker);
	return NULL;
}

static void files_sync(void)
{
	int dirfd = open(task.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(dirfd >= 0 && syncfs(dirfd) == 0, "syncfs");
	(void)close(dirfd);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t number_read(const char *text, size_t least, size_t most)
{
	unsigned long number = strtoul(text, NULL, 10);

	must(number >= least && number <= most, text);
	return number;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	size_t thread_count;
	double start;

	must(argc == 6, "DIRECTORY MACHINES FILES RECIPIENTS THREADS");
	task.rewrap = strcmp(argv[1], "rewrap") == 0;
	task.answer = strcmp(argv[1], "answer") == 0;
	task.directory = task.rewrap || task.answer || strcmp(argv[1], "-") == 0 ? NULL : argv[1];
	task.machines = number_read(argv[2], 1, 10000000);
	task.files = number_read(argv[3], 1, 1000);
	task.recipients = number_read(argv[4], 0, RECIPIENTS_MAX);
	thread_count = number_read(argv[5], 1, THREADS_MAX);
	start = seconds_now();
	task.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	task.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	task.chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	task.aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	task.sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
	task.recipient = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	task.identity = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	must(task.hkdf && task.hmac && task.chacha && task.aes && task.sha512 && task.recipient &&
		     task.identity,
	     "libcrypto");
	for (size_t i = 0; i < thread_count; i++)
		must(pthread_create(&threads[i], NULL, work, NULL) == 0, "thread");
	for (size_t i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	if (task.directory)
		files_sync();
	printf("%.3f\n", seconds_now() - start);
	EVP_PKEY_free(task.recipient);
	EVP_PKEY_free(task.identity);
	EVP_MD_free(task.sha512);
	EVP_CIPHER_free(task.aes);
	EVP_CIPHER_free(task.chacha);
	EVP_MAC_free(task.hmac);
	EVP_KDF_free(task.hkdf);
	return 0;
}
