/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "config/config.h"

static int load(const char *text, struct config *config, struct error *err)
{
	return config_load_text(text, strlen(text), "vmcred.yaml", config, err);
}

#define FILES(files)                                                                   \
	"machines: {m: {}}\ngenerators:\n  g:\n    machines: [m]\n    script: x\n    " \
	"files:\n" files

static void a_file_has_its_declared_phase_and_services_by_default(void **state)
{
	static const enum config_needed_for wanted[] = {CONFIG_SERVICES, CONFIG_SERVICES,
							CONFIG_USERS, CONFIG_ACTIVATION,
							CONFIG_PARTITIONING};
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(FILES("      a: {}\n"
				  "      b: {neededFor: services, deploy: false, owner: x}\n"
				  "      c: {neededFor: users, owner: 0, group: root}\n"
				  "      d: {neededFor: activation, owner: 12, group: \"34\"}\n"
				  "      e: {neededFor: partitioning, deploy: true}\n"),
			    &config, &err));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_int_equal(config.generators[0].files[i].needed_for, wanted[i]);
	config_destroy(&config);
}

static void a_credential_is_loaded_from_the_directory_of_its_files_phase(void **state)
{
	static const char text[] = FILES(
		"      s: {}\n"
		"      u: {neededFor: users}\n"
		"      a: {neededFor: activation}\n") "vms:\n"
						      "  all: {loadCredentials: {s: g/s, u: g/u, "
						      "a: g/a}}\n"
						      "  users: {loadCredentials: {u: g/u}}\n"
						      "  activation: {loadCredentials: {a: g/a}}\n"
						      "  none: {}\n";
	static const struct {
		const char *socket, *dropin;
	} cases[] = {
		{NULL, "[Unit]\n"
		       "Wants=vmcred-activate.service vmcred-activate-users.service\n"
		       "After=vmcred-activate.service vmcred-activate-users.service\n"
		       "[Service]\n"
		       "LoadCredential=s:/run/secrets/vars/g/s\n"
		       "LoadCredential=u:/run/secrets-for-users/vars/g/u\n"
		       "LoadCredential=a:/run/activation-secrets/g/a\n"},
		{NULL, "[Unit]\n"
		       "Wants=vmcred-activate-users.service\n"
		       "After=vmcred-activate-users.service\n"
		       "[Service]\n"
		       "LoadCredential=u:/run/secrets-for-users/vars/g/u\n"},
		{NULL, "[Unit]\n[Service]\nLoadCredential=a:/run/activation-secrets/g/a\n"},
		{NULL, "[Unit]\n[Service]\n"},
		/* All phases use the same socket. */
		{"/s", "[Unit]\n"
		       "Wants=vmcred.socket\n"
		       "After=vmcred.socket\n"
		       "[Service]\n"
		       "LoadCredential=s:/s\n"
		       "LoadCredential=u:/s\n"
		       "LoadCredential=a:/s\n"},
	};
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(text, &config, &err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_vm *vm = &config.vms[cases[i].socket ? 0 : i];
		char *dropin;

		vm->entry = NULL;
		dropin = config_vm_dropin(&config, vm, cases[i].socket);
		assert_non_null(dropin);
		assert_string_equal(strchr(dropin, '\n') + 1, cases[i].dropin);
		free(dropin);
	}
	config_destroy(&config);
}

static void a_file_that_contradicts_its_phase_is_an_error(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{FILES("      f: {neededFor: boot}\n"),
		 "vmcred.yaml:7: generators.g.files.f.neededFor: must be \"services\", \"users\", "
		 "\"activation\" or \"partitioning\", not \"boot\""},
		{FILES("      f: {}\n      u: {owner: ada, neededFor: users}\n"),
		 "vmcred.yaml:8: generators.g.files.u: \"ada\" may not exist yet with neededFor: "
		 "users: use root or a number"},
		{FILES("      f: {group: wheel, neededFor: activation}\n"),
		 "vmcred.yaml:7: generators.g.files.f: \"wheel\" may not exist yet with neededFor: "
		 "activation: use root or a number"},
		{FILES("      f: {owner: 1, group: wheel, neededFor: partitioning}\n"),
		 "vmcred.yaml:7: generators.g.files.f: \"wheel\" may not exist yet with neededFor: "
		 "partitioning: use root or a number"},
		{FILES("      f: {deploy: false, neededFor: users}\n"),
		 "vmcred.yaml:7: generators.g.files.f: neededFor: users conflicts with deploy: "
		 "false: remove one of them"},
		{FILES("      f: {owner: 4294967295}\n"),
		 "vmcred.yaml:7: generators.g.files.f.owner: ID \"4294967295\" is too large"},
		{FILES("      f: {group: \"99999999999999999999\"}\n"),
		 "vmcred.yaml:7: generators.g.files.f.group: ID \"99999999999999999999\" is too "
		 "large"},
		{FILES("      f: {neededFor: partitioning}\n") "vms:\n  v:\n    loadCredentials:\n"
							       "      c: g/f\n",
		 "vmcred.yaml:11: vms.v.c: g/f is needed for partitioning and removed before VMs "
		 "start: "
		 "use a file with another neededFor"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config config;

		assert_error(load(cases[i].text, &config, &err), VMCRED_USAGE, cases[i].error);
	}
}

static void only_root_and_numbers_need_no_lookup(void **state)
{
	static const struct {
		const char *owner;
		bool known;
		uint32_t number;
	} cases[] = {
		{"root", true, 0},
		{"0", true, 0},
		{"1000", true, 1000},
		{"4294967294", true, 4294967294},
		{"4294967295", true, UINT32_MAX},
		{"18446744073709551617", true, UINT32_MAX},
		{"ada", false, 0},
		{"", false, 0},
		{"-1", false, 0},
		{"+1", false, 0},
		{"1000x", false, 0},
		{" 1", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t number = 7;

		assert_int_equal(config_owner_number(cases[i].owner, &number), cases[i].known);
		assert_int_equal(number, cases[i].number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_has_its_declared_phase_and_services_by_default),
		cmocka_unit_test(a_credential_is_loaded_from_the_directory_of_its_files_phase),
		cmocka_unit_test(a_file_that_contradicts_its_phase_is_an_error),
		cmocka_unit_test(only_root_and_numbers_need_no_lookup),
	};

	return cmocka_run_group_tests_name("config_phase", tests, NULL, NULL);
}
