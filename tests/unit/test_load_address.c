/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stddef.h>
#include <string.h>

#include "load/load.h"

#define NOT_SYSTEMD                                    \
	"the peer's address is not one of systemd's: " \
	"the socket is for LoadCredential= of units"

/* Parses an abstract address with these bytes after its NUL. */
static int parse(struct span name, struct load_address *parsed, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path + 1, name.data, name.size);
	return load_address_parse(
		&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name.size),
		parsed, err);
}

/* `head` followed by 'x' up to the maximum length of an address. */
static struct span filled(char text[LOAD_ADDRESS_MAX], const char *head)
{
	for (size_t i = 0; i < LOAD_ADDRESS_MAX; i++)
		text[i] = 'x';
	for (size_t i = 0; head[i]; i++)
		text[i] = head[i];
	return span_of(text, LOAD_ADDRESS_MAX);
}

static void an_address_of_systemd_yields_unit_and_credential(void **state)
{
	static const struct {
		const char *text, *unit, *credential;
	} cases[] = {
		{"7f3a/unit/microvm@a.service/host-key", "microvm@a.service", "host-key"},
		{"0/unit/a/b", "a", "b"},
		{"0123456789abcdef/unit/a\\x2db.service/..b", "a\\x2db.service", "..b"},
		{"f/unit/unit/unit", "unit", "unit"},
	};
	struct load_address parsed;
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_success(parse(span_of_text(cases[i].text), &parsed, &err));
		assert_string_equal(parsed.unit, cases[i].unit);
		assert_string_equal(parsed.credential, cases[i].credential);
		assert_false(parsed.is_full);
	}
}

static void an_address_that_systemd_does_not_create_is_refused(void **state)
{
	static const char *const texts[] = {
		"x",
		"7f3a",
		"/unit/a/b",
		"7F3A/unit/a/b",
		"0123456789abcdef0/unit/a/b",
		"7f3a/units/a/b",
		"7f3a/user/a/b",
		"7f3a/unit/",
		"7f3a/unit/a",
		"7f3a/unit/a/",
		"7f3a/unit//b",
		"7f3a/unit/a/b/c",
		"7f3a/unit/a/b\n",
		"7f3a/unit/a b/c",
		"7f3a/unit/a/\xc3\xa4",
	};
	struct load_address parsed;
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_error(parse(span_of_text(texts[i]), &parsed, &err), VMCRED_FAILED,
			     NOT_SYSTEMD);
	assert_error(parse(span_of("7f3a/unit/a/b\0c", 15), &parsed, &err), VMCRED_FAILED,
		     NOT_SYSTEMD);
	assert_error(parse(span_of("", 0), &parsed, &err), VMCRED_FAILED, NOT_SYSTEMD);
}

static void a_peer_without_an_abstract_address_is_refused(void **state)
{
	struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
	struct sockaddr_un file = {.sun_family = AF_UNIX, .sun_path = "7f3a/unit/a/b"};
	struct sockaddr_un other = {.sun_family = AF_INET, .sun_path = "\0007f3a/unit/a/b"};
	struct load_address parsed;
	struct error err = {0};

	(void)state;
	assert_error(
		load_address_parse(&unnamed, offsetof(struct sockaddr_un, sun_path), &parsed, &err),
		VMCRED_FAILED, NOT_SYSTEMD);
	assert_error(load_address_parse(&unnamed, 0, &parsed, &err), VMCRED_FAILED, NOT_SYSTEMD);
	assert_error(load_address_parse(&file, sizeof(file), &parsed, &err), VMCRED_FAILED,
		     NOT_SYSTEMD);
	assert_error(load_address_parse(&other, offsetof(struct sockaddr_un, sun_path) + 14,
					&parsed, &err),
		     VMCRED_FAILED, NOT_SYSTEMD);
	assert_error(load_address_parse(&unnamed, sizeof(unnamed) + 1, &parsed, &err),
		     VMCRED_FAILED, NOT_SYSTEMD);
}

static void an_address_of_maximum_length_is_full(void **state)
{
	char text[LOAD_ADDRESS_MAX];
	struct load_address parsed;
	struct error err = {0};
	struct span name = filled(text, "7f3a/unit/a.service/");

	(void)state;
	assert_success(parse(name, &parsed, &err));
	assert_true(parsed.is_full);
	assert_string_equal(parsed.unit, "a.service");
	assert_int_equal(strlen(parsed.credential), 107 - strlen("7f3a/unit/a.service/"));
	name.size--;
	assert_success(parse(name, &parsed, &err));
	assert_false(parsed.is_full);
}

static void a_full_address_may_have_no_credential(void **state)
{
	char text[LOAD_ADDRESS_MAX];
	struct load_address parsed;
	struct error err = {0};
	struct span name = filled(text, "7f3a/unit/");

	(void)state;
	text[LOAD_ADDRESS_MAX - 1] = '/';
	assert_success(parse(name, &parsed, &err));
	assert_true(parsed.is_full);
	assert_string_equal(parsed.credential, "");
}

static void a_full_address_without_the_whole_unit_is_refused(void **state)
{
	char text[LOAD_ADDRESS_MAX];
	struct load_address parsed;
	struct error err = {0};

	(void)state;
	assert_error(parse(filled(text, "7f3a/unit/"), &parsed, &err), VMCRED_FAILED,
		     "the unit's name is too long for the address of systemd's socket: "
		     "use a unit with a shorter name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_of_systemd_yields_unit_and_credential),
		cmocka_unit_test(an_address_that_systemd_does_not_create_is_refused),
		cmocka_unit_test(a_peer_without_an_abstract_address_is_refused),
		cmocka_unit_test(an_address_of_maximum_length_is_full),
		cmocka_unit_test(a_full_address_may_have_no_credential),
		cmocka_unit_test(a_full_address_without_the_whole_unit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
