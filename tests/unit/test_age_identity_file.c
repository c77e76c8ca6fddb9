/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "age/age.h"
#include "vectors.h"

static void comments_empty_lines_and_crlf_are_skipped(void **state)
{
	static const char text[] =
		"# made for a test\r\n\r\n" VECTOR_IDENTITY "\r\n\n#\n" VECTOR_IDENTITY;
	struct age_identities identities = {0};
	struct error err = {0};

	(void)state;
	assert_success(age_identities_parse(span_of_text(text), "keys", &identities, &err));
	assert_int_equal(identities.count, 2);
	assert_string_equal(age_identity_recipient(identities.items[0]), VECTOR_RECIPIENT);
	assert_string_equal(age_identity_recipient(identities.items[1]), VECTOR_RECIPIENT);
	age_identities_destroy(&identities);
}

static void an_error_names_the_file_and_line_and_never_quotes_the_text(void **state)
{
#define NONE "keys: contains no secret key: generate one with `vmcred keygen --output FILE`"
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", NONE},
		{"# only a comment\n", NONE},
		{"# one\nhunter2\n", "keys: line 2: not an age secret key (AGE-SECRET-KEY-1…)"},
		{" " VECTOR_IDENTITY "\n",
		 "keys: line 1: not an age secret key (AGE-SECRET-KEY-1…)"},
		{"\n\nAGE-SECRET-KEY-1QQQQ\n",
		 "keys: line 3: the secret key is not valid: it has 20 characters instead of 74"},
		{"AGE-SECRET-KEY-PQ-1QQQQ\n",
		 "keys: line 1: the secret key is not valid: it has 23 characters instead of 77"},
		{"AGE-PLUGIN-YUBIKEY-1QQQQ\n",
		 "keys: line 1: the secret key is not valid: it is not Bech32"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\n", "keys: the PEM text is malformed"},
		{"age-encryption.org/v1\n", "keys: the age header is malformed: it is truncated"},
		{"-----BEGIN AGE ENCRYPTED FILE-----\n",
		 "keys: the age armor is malformed: it is truncated"},
		{"age-encryption.org/v1\n-> x\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		 "keys: encrypted, but not with a passphrase"},
		{VECTOR_RECIPIENT "\n", "keys: line 1: public key instead of a secret key"},
	};
	struct age_identities identities = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(age_identities_parse(span_of_text(cases[i].text), "keys", &identities,
						  &err),
			     VMCRED_FAILED, cases[i].message);
	age_identities_destroy(&identities);
}

static void the_format_matches_age_keygen(void **state)
{
	struct age_identities identities = {0};
	struct secret text = {0};
	struct error err = {0};

	(void)state;
	assert_success(age_identities_add(&identities, span_of_text(VECTOR_IDENTITY), &err));
	assert_success(age_identity_file_format(identities.items[0], 1136239445, &text, &err));
	assert_span_equal(secret_span(&text),
			  "# created: 2006-01-02T22:04:05Z\n# public key: " VECTOR_RECIPIENT
			  "\n" VECTOR_IDENTITY "\n");
	age_identities_destroy(&identities);
	secret_destroy(&text);
}

struct directory {
	char path[64];
	int fd;
};

static int directory_make(void **state)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -1;
	strcpy(directory->path, "/tmp/vmcred-test.XXXXXX");
	if (!mkdtemp(directory->path))
		return -1;
	directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = directory;
	return directory->fd < 0 ? -1 : 0;
}

static int directory_remove(void **state)
{
	struct directory *directory = *state;

	unlinkat(directory->fd, "keys", 0);
	close(directory->fd);
	rmdir(directory->path);
	free(directory);
	return 0;
}

static void file_make(const struct directory *directory, mode_t mode)
{
	static const char text[] = VECTOR_IDENTITY "\n";
	int fd = openat(directory->fd, "keys", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void a_file_that_only_its_owner_can_access_is_loaded(void **state)
{
	struct directory *directory = *state;
	struct age_identities identities = {0};
	struct error err = {0};

	file_make(directory, 0600);
	assert_success(age_identity_file_load(directory->fd, "keys", &identities, &err));
	assert_int_equal(identities.count, 1);
	age_identities_destroy(&identities);
}

static void a_file_that_others_can_write_is_an_error(void **state)
{
	struct directory *directory = *state;
	struct age_identities identities = {0};
	struct error err = {0};
	char message[200];

	for (mode_t bit = 02; bit <= 020; bit <<= 3) {
		mode_t mode = 0600 | bit;

		file_make(directory, mode);
		snprintf(message, sizeof(message),
			 "reading the identity file: keys: mode %04o lets other users change the "
			 "key: chmod 600 keys",
			 mode);
		assert_error(age_identity_file_load(directory->fd, "keys", &identities, &err),
			     VMCRED_FAILED, message);
	}
	assert_int_equal(identities.count, 0);
}

static size_t warning_count;

static void warning_count_up(const struct report *report, enum report_level level, const char *text)
{
	(void)report;
	assert_int_equal(level, REPORT_WARNING);
	assert_string_equal(text, "key file keys is accessible to other users: chmod 600 keys");
	warning_count++;
}

static const struct report warnings = {.level = REPORT_WARNING, .line = warning_count_up};

static void a_file_that_others_can_read_is_a_warning(void **state)
{
	struct directory *directory = *state;
	struct error err = {0};

	warning_count = 0;
	for (mode_t bit = 04; bit <= 040; bit <<= 3) {
		struct age_identities identities = {.report = &warnings};

		file_make(directory, 0600 | bit);
		assert_success(age_identity_file_load(directory->fd, "keys", &identities, &err));
		assert_int_equal(identities.count, 1);
		age_identities_destroy(&identities);
	}
	assert_int_equal(warning_count, 2);
}

/* An access control list: the owner may read, then one more entry, then the mask, and others. */
static bool acl_set(const struct directory *directory, uint16_t tag, uint16_t permissions,
		    uint32_t id, uint16_t group_permissions)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[5];
	} list = {
		.header.a_version = htole32(POSIX_ACL_XATTR_VERSION),
		.entries = {{htole16(ACL_USER_OBJ), htole16(ACL_READ), UINT32_MAX},
			    {htole16(tag), htole16(permissions), htole32(id)},
			    {htole16(ACL_GROUP_OBJ), htole16(group_permissions), UINT32_MAX},
			    {htole16(ACL_MASK), htole16(permissions), UINT32_MAX},
			    {htole16(ACL_OTHER), 0, UINT32_MAX}},
	};
	struct posix_acl_xattr_entry swap = list.entries[1];
	int fd;
	bool set;

	/* The kernel wants the entries in the order of their tags. */
	if (tag == ACL_GROUP) {
		list.entries[1] = list.entries[2];
		list.entries[2] = swap;
	}
	file_make(directory, 0400);
	fd = openat(directory->fd, "keys", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	set = fsetxattr(fd, "system.posix_acl_access", &list, sizeof(list), 0) == 0;
	assert_true(set || errno == ENOTSUP);
	close(fd);
	if (!set)
		print_message("# this file system has no access control lists: not tested here\n");
	return set;
}

static void a_systemd_credential_with_an_acl_for_our_user_is_loaded(void **state)
{
	struct directory *directory = *state;
	struct age_identities identities = {0};
	struct error err = {0};
	struct stat status;

	if (!acl_set(directory, ACL_USER, ACL_READ, geteuid(), 0))
		return;
	assert_int_equal(fstatat(directory->fd, "keys", &status, 0), 0);
	assert_int_equal(status.st_mode & ALLPERMS, 0440);
	assert_success(age_identity_file_load(directory->fd, "keys", &identities, &err));
	assert_int_equal(identities.count, 1);
	age_identities_destroy(&identities);
}

static void an_acl_for_anybody_else_is_a_warning_or_an_error(void **state)
{
	struct directory *directory = *state;
	struct error err = {0};
	const struct {
		uint16_t tag, permissions;
		uint32_t id;
		uint16_t group_permissions;
		bool is_error;
	} cases[] = {
		{ACL_USER, ACL_READ, geteuid() + 1, 0, false},
		{ACL_USER, ACL_READ, geteuid(), ACL_READ, false},
		{ACL_GROUP, ACL_READ, getegid(), 0, false},
		{ACL_USER, ACL_READ | ACL_WRITE, geteuid() + 1, 0, true},
		/* Our user may read, but not write. */
		{ACL_USER, ACL_READ | ACL_WRITE, geteuid(), 0, true},
	};

	warning_count = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct age_identities identities = {.report = &warnings};

		if (!acl_set(directory, cases[i].tag, cases[i].permissions, cases[i].id,
			     cases[i].group_permissions))
			return;
		if (cases[i].is_error)
			assert_error(
				age_identity_file_load(directory->fd, "keys", &identities, &err),
				VMCRED_FAILED,
				"reading the identity file: keys: mode 0460 lets other users "
				"change "
				"the key: chmod 600 keys");
		else
			assert_success(
				age_identity_file_load(directory->fd, "keys", &identities, &err));
		age_identities_destroy(&identities);
		assert_int_equal(unlinkat(directory->fd, "keys", 0), 0);
	}
	assert_int_equal(warning_count, 3);
}

static void a_missing_file_and_a_directory_are_errors(void **state)
{
	struct directory *directory = *state;
	struct age_identities identities = {0};
	struct error err = {0};

	assert_error(age_identity_file_load(directory->fd, "keys", &identities, &err),
		     VMCRED_MISSING,
		     "reading the identity file: keys: No such file or directory: generate one "
		     "with `vmcred keygen --output keys`");
	assert_error(age_identity_file_load(directory->fd, ".", &identities, &err), VMCRED_FAILED,
		     "reading the identity file: .: not a regular file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comments_empty_lines_and_crlf_are_skipped),
		cmocka_unit_test(an_error_names_the_file_and_line_and_never_quotes_the_text),
		cmocka_unit_test(the_format_matches_age_keygen),
		cmocka_unit_test_setup_teardown(a_file_that_only_its_owner_can_access_is_loaded,
						directory_make, directory_remove),
		cmocka_unit_test_setup_teardown(a_file_that_others_can_write_is_an_error,
						directory_make, directory_remove),
		cmocka_unit_test_setup_teardown(a_file_that_others_can_read_is_a_warning,
						directory_make, directory_remove),
		cmocka_unit_test_setup_teardown(
			a_systemd_credential_with_an_acl_for_our_user_is_loaded, directory_make,
			directory_remove),
		cmocka_unit_test_setup_teardown(an_acl_for_anybody_else_is_a_warning_or_an_error,
						directory_make, directory_remove),
		cmocka_unit_test_setup_teardown(a_missing_file_and_a_directory_are_errors,
						directory_make, directory_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
