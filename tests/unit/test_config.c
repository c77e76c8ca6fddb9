/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/config.h"

static int load(const char *text, struct config *config, struct error *err)
{
	return config_load_text(text, strlen(text), "vmcred.yaml", config, err);
}

static const char whole[] =
	"machines:\n"
	"  test-vm: { tags: [demo] }\n"
	"  other:\n"
	"generators:\n"
	"  made:\n"
	"    machines: [test-vm]\n"
	"    dependencies: []\n"
	"    prompts: {}\n"
	"    files:\n"
	"      api-key: { }\n"
	"      db-password: { mode: \"0440\", owner: db, group: db, deploy: false, secret: false "
	"}\n"
	"      jwt-secret: { restartUnits: [a.service, b.service], reloadUnits: [c.service] }\n"
	"    script: |\n"
	"      echo 1\n"
	"      echo 2\n"
	"  random:\n"
	"    share: true\n"
	"    files: { token: {}, pin: {} }\n"
	"    kind: { pin: {hex: 4}, token: {base64: 32} }\n"
	"vms:\n"
	"  test-vm:\n"
	"    loadCredentials:\n"
	"      host-api-key: made/api-key\n"
	"      host%token: random/token\n"
	"    credentialFiles:\n"
	"      HOST-API-KEY: host-api-key\n"
	"      HOST-JWT: { credential: host-jwt, optional: true }\n"
	"    platformOEMStrings: [ENVIRONMENT=test, \"a, b\"]\n"
	"    command: [qemu-system-x86_64, -m, 512]\n";

static void a_declaration_is_read_in_order_with_defaults(void **state)
{
	struct error err = {0};
	struct config config;
	const struct config_generator *made;
	const struct config_vm *vm;

	(void)state;
	assert_success(load(whole, &config, &err));
	assert_int_equal(config.machine_count, 2);
	assert_string_equal(config.machines[0].tags[0], "demo");
	made = config_generator_find(&config, "made", NULL);
	assert_int_equal(made->file_count, 3);
	assert_string_equal(made->script, "echo 1\necho 2\n");
	assert_string_equal(made->files[0].name, "api-key");
	assert_true(made->files[0].secret);
	assert_true(made->files[0].deploy);
	assert_int_equal(made->files[0].mode, 0400);
	assert_string_equal(made->files[0].owner, "root");
	assert_int_equal(made->files[1].mode, 0440);
	assert_false(made->files[1].secret);
	assert_false(made->files[1].deploy);
	assert_string_equal(made->files[2].restart_units[1], "b.service");
	assert_null(made->files[2].restart_units[2]);
	assert_int_equal(config.generators[1].files[0].builtin.type, CONFIG_BUILTIN_BASE64);
	assert_int_equal(config.generators[1].files[0].builtin.size, 32);
	assert_int_equal(config.generators[1].files[1].builtin.type, CONFIG_BUILTIN_HEX);
	vm = config_vm_get(&config, "test-vm", &err);
	assert_string_equal(vm->credential_files[0].credential, "host-api-key");
	assert_false(vm->credential_files[0].optional);
	assert_true(vm->credential_files[1].optional);
	assert_int_equal(vm->oem_string_count, 2);
	assert_string_equal(vm->oem_strings[1], "a, b");
	assert_string_equal(vm->command[2], "512");
	assert_null(vm->command[3]);
	config_destroy(&config);
}

static void json_and_flow_collections_are_read_as_in_yaml_1_2(void **state)
{
	static const char text[] =
		"{\"machines\":{\"m\":{}},\"generators\":{\"g\":{\"machines\":[\"m\"],\"files\":{"
		"\"f\":{}},"
		"\"kind\":{\"f\":{\"hex\":8}}}},\"vms\":{\"v\":{\"credentialFiles\":{\"A\":\"a\"},"
		"\"platformOEMStrings\":[\"X=\\\"y\\\"\",\"a\\/b\\ud83d\\ude00\"]}}}";
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(text, &config, &err));
	assert_string_equal(config.vms[0].oem_strings[0], "X=\"y\"");
	assert_string_equal(config.vms[0].oem_strings[1], "a/b\xf0\x9f\x98\x80");
	config_destroy(&config);
	assert_success(load("vms: {v: {command: [curl, http://h/?a=b]}}\n", &config, &err));
	assert_string_equal(config.vms[0].command[1], "http://h/?a=b");
	config_destroy(&config);
}

static void the_drop_in_has_a_line_for_each_credential_with_specifiers_escaped(void **state)
{
	struct error err = {0};
	struct config config;
	char *text;

	(void)state;
	assert_success(load(whole, &config, &err));
	text = config_vm_dropin(&config, &config.vms[0], NULL);
	assert_string_equal(text,
			    "# Made by `vmcred units` from vmcred.yaml; changes here are lost.\n"
			    "[Unit]\n"
			    "Wants=vmcred-activate.service\n"
			    "After=vmcred-activate.service\n"
			    "[Service]\n"
			    "LoadCredential=host-api-key:/run/secrets/vars/made/api-key\n"
			    "LoadCredential=host%%token:/run/secrets/vars/random/token\n"
			    "SetCredential=vmcred.vm:{\"vms\":{\"test-vm\":{\"credentialFiles\":{"
			    "\"HOST-API-KEY\":\"host-api-key\",\"HOST-JWT\":{\"credential\":"
			    "\"host-jwt\",\"optional\":true}},\"platformOEMStrings\":["
			    "\"ENVIRONMENT=test\",\"a, b\"],\"command\":[\"qemu-system-x86_64\","
			    "\"-m\",512]}}}\n");
	free(text);
	text = config_vm_load_line(&config.vms[0], "host-api-key");
	assert_string_equal(text, "LoadCredential=host-api-key:/run/secrets/vars/made/api-key");
	free(text);
	assert_null(config_vm_load_line(&config.vms[0], "nobody"));
	config_destroy(&config);
}

static void a_generator_has_files_for_its_machines_and_a_shared_one_for_all(void **state)
{
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(whole, &config, &err));
	assert_true(config_generator_is_for(&config.generators[0], "test-vm"));
	assert_false(config_generator_is_for(&config.generators[0], "other"));
	assert_true(config_generator_is_for(&config.generators[1], "other"));
	config_destroy(&config);
}

static void a_unit_is_mapped_to_the_vm_with_its_name_or_that_declares_it(void **state)
{
	static const char text[] = "vms:\n"
				   "  my-vm:\n"
				   "  odd_vm:\n"
				   "    unit: other@x.service\n";
	static const struct {
		const char *unit, *vm;
	} cases[] = {
		{"microvm@my-vm.service", "my-vm"},
		{"microvm@my\\x2dvm.service", "my-vm"},
		{"microvm@my\\x2Dvm.service", NULL},
		{"microvm@my\\x2.service", NULL},
		{"microvm@my-vm\\x00.service", NULL},
		{"microvm@my\\x2dvm\\x00x.service", NULL},
		{"microvm@my/vm.service", NULL},
		{"microvm@.service", NULL},
		{"microvm@my-vm.socket", NULL},
		{"other@x.service", "odd_vm"},
		{"microvm@odd_vm.service", NULL},
		{"microvm@odd\\x5fvm.service", NULL},
		{"other@y.service", NULL},
	};
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(text, &config, &err));
	assert_string_equal(config.vms[0].unit, "microvm@my-vm.service");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct config_vm *vm = config_vm_of_unit(&config, cases[i].unit);

		if (cases[i].vm)
			assert_string_equal(vm ? vm->name : "", cases[i].vm);
		else
			assert_null(vm);
	}
	config_destroy(&config);
}

static void a_hypervisor_has_its_declared_path(void **state)
{
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load("hypervisors: {cloud-hypervisor: /opt/ch}\n", &config, &err));
	assert_string_equal(config_hypervisor_path(&config, "cloud-hypervisor"), "/opt/ch");
	assert_null(config_hypervisor_path(&config, "qemu-system-x86_64"));
	config_destroy(&config);
}

static void an_undeclared_name_is_an_error_with_a_suggestion(void **state)
{
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(whole, &config, &err));
	assert_null(config_vm_get(&config, "tst-vm", &err));
	assert_error(-(int)err.code, VMCRED_USAGE,
		     "vmcred.yaml declares no VM \"tst-vm\": did you mean \"test-vm\"?");
	assert_null(config_machine_get(&config, "nothing-like-it", &err));
	assert_error(-(int)err.code, VMCRED_USAGE,
		     "vmcred.yaml declares no machine \"nothing-like-it\": known names: "
		     "test-vm, other");
	config_destroy(&config);
}

#define GENERATOR "machines: {m: {}}\ngenerators:\n  g:\n    machines: [m]\n"

static void errors_have_the_line_the_path_and_a_suggestion(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"machine: {}\n",
		 "vmcred.yaml:1: unknown key \"machine\": did you mean \"machines\"?"},
		{"vms:\n  a:\n    credentialFile: {}\n",
		 "vmcred.yaml:3: vms.a: unknown key \"credentialFile\": did you mean "
		 "\"credentialFiles\"?"},
		{"generators: {a: {prompts: {b: {zebra: 1}}}}\n",
		 "vmcred.yaml:1: generators.a.prompts.b: unknown key \"zebra\": known keys: "
		 "type, description, persist, name, display"},
		{"%YAML 1.2\n---\nvms: {}\n",
		 "vmcred.yaml:1: not valid YAML: %YAML version must be 1.1"},
		{"machines: *nowhere\n", "vmcred.yaml:1: not valid YAML: undefined alias"},
		{"vms: {}\n---\nvms: {}\n", "vmcred.yaml:2: more than one YAML document"},
		{"vms: {a: {command: [\"\\0\"]}}\n",
		 "vmcred.yaml:1: vms.a.command: contains a NUL character"},
		{"vms: [a]\n", "vmcred.yaml:1: vms: must be a mapping"},
		{"machines: {m: {}}\nmachines: {n: {}}\n",
		 "vmcred.yaml:2: duplicate key \"machines\""},
		{"vms:\n  a:\n    credentialFiles:\n      A: x\n      A: y\n",
		 "vmcred.yaml:5: vms.a.credentialFiles: duplicate key \"A\""},
		{"vms:\n  a:\n    credentialFiles:\n      'A:B': x\n",
		 "vmcred.yaml:4: vms.a.credentialFiles.A:B: the credential name \"A:B\" contains "
		 "':'"},
		{"vms:\n  a:\n    credentialFiles:\n      A: x/y\n",
		 "vmcred.yaml:4: vms.a.credentialFiles.A: the credential name \"x/y\" contains "
		 "'/'"},
		{"vms:\n  a:\n    credentialFiles:\n      A: \"x\\ty\"\n",
		 "vmcred.yaml:4: vms.a.credentialFiles.A: the credential name \"x\\x09y\" contains "
		 "a control character"},
		{"vms:\n  a:\n    credentialFiles:\n      A: {optional: true}\n",
		 "vmcred.yaml:4: vms.a.credentialFiles.A: missing key \"credential\""},
		{"vms:\n  a:\n    credentialFiles:\n      A: {credential: x, optional: maybe}\n",
		 "vmcred.yaml:4: vms.a.credentialFiles.A.optional: must be true or false, not "
		 "\"maybe\""},
		{"vms:\n  a:\n    unit: a/b.service\n",
		 "vmcred.yaml:3: vms.a.unit: must be the name of a .service unit, not "
		 "\"a/b.service\""},
		{"vms:\n  a:\n    unit: .service\n",
		 "vmcred.yaml:3: vms.a.unit: must be the name of a .service unit, not "
		 "\".service\""},
		{"vms:\n  a:\n    unit: a.socket\n",
		 "vmcred.yaml:3: vms.a.unit: must be the name of a .service unit, not "
		 "\"a.socket\""},
		{"vms:\n  a:\n    unit: x.service\n  b:\n    unit: x.service\n",
		 "vmcred.yaml:4: vms.b: same unit x.service as a"},
		{"vms: {a: {unit: microvm@b.service}, b: {}}\n",
		 "vmcred.yaml:1: vms.b: same unit microvm@b.service as a"},
		{"hypervisors: {cloud-hypervisor: bin/ch}\n",
		 "vmcred.yaml:1: hypervisors.cloud-hypervisor: must be an absolute path"},
		{"vms:\n  a:\n    command: []\n", "vmcred.yaml:2: vms.a: empty command"},
		{"vms:\n  a:\n    loadCredentials:\n      x: api-key\n",
		 "vmcred.yaml:4: vms.a.loadCredentials.x: must be GENERATOR/FILE or an "
		 "absolute path, not \"api-key\""},
		{"vms: {a: {loadCredentials: {x: /run/../x}}}\n",
		 "vmcred.yaml:1: vms.a.loadCredentials.x: must be a path without empty parts, "
		 "\".\" and \"..\", not \"/run/../x\""},
		{"vms: {a: {loadCredentials: {x: \"/run/a b\"}}}\n",
		 "vmcred.yaml:1: vms.a.loadCredentials.x: paths with white space, quotes or other "
		 "special characters are not possible here"},
		{"vms:\n  a:\n    loadCredentials:\n      x: made/api-key\n",
		 "vmcred.yaml:4: vms.a.x: undeclared generator \"made\""},
		{GENERATOR
		 "    files: {file: {}}\n    script: x\nvms: {a: {loadCredentials: {x: g/flie}}}\n",
		 "vmcred.yaml:7: vms.a.x: undeclared file \"flie\": did you mean \"file\"?"},
		{"machines: {../m: {}}\n",
		 "vmcred.yaml:1: machines.../m: the machine name \"../m\" starts with '.'"},
		{GENERATOR "    files: {f: {}}\n",
		 "vmcred.yaml:3: generators.g: neither a script nor a kind for \"f\""},
		{GENERATOR "    files: {f: {}}\n    script: x\n    kind: {f: {hex: 1}}\n",
		 "vmcred.yaml:3: generators.g: both a script and a kind for \"f\""},
		{GENERATOR "    script: x\n", "vmcred.yaml:3: generators.g: no files"},
		{GENERATOR "    files: {f: {}}\n    kind: {f: {base46: 1}}\n",
		 "vmcred.yaml:6: generators.g.f: unknown kind \"base46\": did you mean "
		 "\"base64\"?"},
		{GENERATOR "    files: {f: {}}\n    kind: {f: {base64: 0}}\n",
		 "vmcred.yaml:6: generators.g.f: must be an integer from 1 to 524288, not "
		 "\"0\""},
		{GENERATOR "    files: {first: {}}\n    kind: {frist: {hex: 1}}\n",
		 "vmcred.yaml:6: generators.g.frist: undeclared file \"frist\": did you "
		 "mean \"first\"?"},
		{GENERATOR "    files: {f: {mode: 0999}}\n    script: x\n",
		 "vmcred.yaml:5: generators.g.files.f.mode: must be an octal file mode such as "
		 "\"0400\", not "
		 "\"0999\""},
		{GENERATOR "    files: {f: {restartUnits: [a.service, b c]}}\n    script: x\n",
		 "vmcred.yaml:5: generators.g.files.f.restartUnits: \"b c\" is not the name of a "
		 "unit"},
		{GENERATOR "    files: {f: {reloadUnits: ['']}}\n    script: x\n",
		 "vmcred.yaml:5: generators.g.files.f.reloadUnits: \"\" is not the name of a unit"},
		{GENERATOR "    files: {f: {}}\n    script: x\n    prompts: {p: {type: x}}\n",
		 "vmcred.yaml:7: generators.g.prompts.p.type: must be \"line\", \"hidden\", "
		 "\"multiline\" or \"multiline-hidden\", not \"x\""},
		{GENERATOR "    files: {f: {}}\n    kind: {f: uuid}\n    prompts: {f: {persist: "
			   "true}}\n",
		 "vmcred.yaml:3: generators.g: both a prompt and a kind for \"f\""},
		{"generators:\n  g:\n    files: {f: {}}\n    script: x\n",
		 "vmcred.yaml:2: generators.g: no machines: add machines: or share: true"},
		{"machines: {web: {}}\ngenerators:\n  g:\n    machines: [wep]\n    files: {f: "
		 "{}}\n    script: x\n",
		 "vmcred.yaml:3: generators.g: undeclared machine \"wep\": did you mean \"web\"?"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config config;

		assert_error(load(cases[i].text, &config, &err), VMCRED_USAGE, cases[i].error);
	}
}

static void text_that_is_not_yaml_is_rejected_with_its_line(void **state)
{
	static const char *const texts[] = {"a: [1, 2\n",  "\t- x: {\n",      "'", "{", "&a *a",
					    "%YAML 1.1\n", "vms: {}\n--- {\n"};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config config;

		assert_int_equal(load(texts[i], &config, &err), -VMCRED_USAGE);
		assert_int_equal(strncmp(err.text, "vmcred.yaml:", 12), 0);
		error_clear(&err);
	}
}

static void an_empty_declaration_declares_nothing(void **state)
{
	static const char *const texts[] = {"", "\n \n", "# nothing\n\n# yet", "---\n", "{}\n"};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config config;

		assert_success(load(texts[i], &config, &err));
		assert_int_equal(config.vm_count + config.machine_count + config.generator_count,
				 0);
		config_destroy(&config);
	}
}

/* Lists of ten aliases each, which repeat the list before. */
static void aliases_are_followed_and_bounded(void **state)
{
	static const char bomb[] = "machines:\n"
				   "  a: &a [x,x,x,x,x,x,x,x,x,x]\n"
				   "  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
				   "  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				   "  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
				   "  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
				   "  f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
				   "  g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
				   "  h: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"
				   "  i: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n";
	static const char validation[] = "generators:\n"
					 "  g:\n"
					 "    validation:\n"
					 "      a: &a [x,x,x,x,x,x,x,x,x,x]\n"
					 "      b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
					 "      c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
					 "      d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
					 "      e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
					 "      f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
	struct error err = {0};
	struct config config;

	(void)state;
	assert_error(load(bomb, &config, &err), VMCRED_USAGE,
		     "vmcred.yaml:2: machines.a: must be a mapping");
	assert_error(load(validation, &config, &err), VMCRED_USAGE,
		     "vmcred.yaml:4: generators.g.validation: must be a value with at most 8 "
		     "levels and 100000 nodes");
	assert_success(load("machines: {a: &a {tags: [x]}, b: *a}\n", &config, &err));
	assert_string_equal(config.machines[1].tags[0], "x");
	config_destroy(&config);
	assert_error(load("machines: &a {m: *a}\n", &config, &err), VMCRED_USAGE,
		     "vmcred.yaml:1: machines.m: unknown key \"m\": known keys: tags");
}

/* The only VM and file of `whole` that the other machine has are those for all machines. */
static void the_part_of_a_machine_has_what_is_for_it_and_is_a_declaration(void **state)
{
	static const char more[] =
		"  all: {loadCredentials: {a: random/pin}, unit: a.service}\n"
		"  own: {machine: other, vmConfig: {a: [1, '1', {}, null, -5, -x]}}\n"
		"hypervisors: {qemu: /bin/qemu}\n";
	char path[] = "/dev/shm/vmcred-test.XXXXXX";
	_cleanup_free_ char *part = NULL, *again = NULL;
	_cleanup_config_ struct config config = {0};
	struct error err = {0};
	FILE *file = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(file);
	fputs(whole, file);
	fputs(more, file);
	fclose(file);
	assert_int_equal(config_part(path, "others", &part, &err), -VMCRED_USAGE);
	error_clear(&err);
	assert_success(config_part(path, "other", &part, &err));
	assert_success(config_load_text(part, strlen(part), "part", &config, &err));
	assert_int_equal(config.machine_count, 1);
	assert_string_equal(config.machines[0].name, "other");
	assert_int_equal(config.generator_count, 1);
	assert_string_equal(config.generators[0].name, "random");
	assert_int_equal(config.generators[0].file_count, 2);
	assert_int_equal(config.vm_count, 2);
	assert_string_equal(config.vms[0].unit, "a.service");
	assert_string_equal(config.vms[1].vm_config, "{\"a\":[1,\"1\",{},null,-5,\"-x\"]}");
	assert_string_equal(config_hypervisor_path(&config, "qemu"), "/bin/qemu");
	/* The attributes of deployed files. */
	config_destroy(&config);
	free(pointer_release(&part));
	assert_success(config_part(path, "test-vm", &part, &err));
	assert_success(config_load_text(part, strlen(part), "part", &config, &err));
	assert_int_equal(config.vm_count, 2);
	assert_int_equal(config.generators[0].file_count, 2);
	assert_string_equal(config.generators[0].files[1].name, "jwt-secret");
	assert_string_equal(config.generators[0].files[1].restart_units[1], "b.service");
	/* It is the same again. */
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(part, file);
	fclose(file);
	assert_success(config_part(path, "test-vm", &again, &err));
	assert_string_equal(again, part);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_declaration_is_read_in_order_with_defaults),
		cmocka_unit_test(json_and_flow_collections_are_read_as_in_yaml_1_2),
		cmocka_unit_test(
			the_drop_in_has_a_line_for_each_credential_with_specifiers_escaped),
		cmocka_unit_test(a_generator_has_files_for_its_machines_and_a_shared_one_for_all),
		cmocka_unit_test(a_unit_is_mapped_to_the_vm_with_its_name_or_that_declares_it),
		cmocka_unit_test(a_hypervisor_has_its_declared_path),
		cmocka_unit_test(an_undeclared_name_is_an_error_with_a_suggestion),
		cmocka_unit_test(errors_have_the_line_the_path_and_a_suggestion),
		cmocka_unit_test(text_that_is_not_yaml_is_rejected_with_its_line),
		cmocka_unit_test(an_empty_declaration_declares_nothing),
		cmocka_unit_test(aliases_are_followed_and_bounded),
		cmocka_unit_test(the_part_of_a_machine_has_what_is_for_it_and_is_a_declaration),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
