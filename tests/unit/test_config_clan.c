/* SPDX-License-Identifier: Apache-2.0 */
/* clan's generators as Nix prints them. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"

static int load(const char *text, struct config *config, struct error *err)
{
	return config_load_text(text, strlen(text), "vmcred.yaml", config, err);
}

#define MACHINE "machines: {m: {}}\n"

static void a_generator_printed_by_nix_is_read(void **state)
{
	static const char text[] =
		"{\"machines\":{\"m\":{}},\"generators\":{\"g\":{\"name\":\"g\",\"machines\":["
		"\"m\"],"
		"\"share\":false,\"dependencies\":[],\"validation\":null,\"runtimeInputs\":"
		"[\"/nix/store/x-openssl-3.0-bin\",\"/opt\"],\"script\":\"a\\nb\\n\",\"prompts\":{"
		"\"p\":{\"name\":\"p\",\"description\":\"p\",\"persist\":true,\"type\":\"hidden\","
		"\"display\":{\"group\":null,\"helperText\":null,\"label\":\"P\",\"required\":true}"
		"}},\"files\":{\"f\":{\"name\":\"f\",\"secret\":true,\"deploy\":true,\"owner\":"
		"\"root\",\"group\":\"root\",\"mode\":\"0440\",\"neededFor\":\"users\","
		"\"restartUnits\":[]},\"p\":{}}}}}";
	struct error err = {0};
	struct config config;
	const struct config_generator *generator;

	(void)state;
	assert_success(load(text, &config, &err));
	generator = &config.generators[0];
	assert_string_equal(generator->script,
			    "PATH=/nix/store/x-openssl-3.0-bin/bin:/opt/bin:$PATH; a\nb\n");
	assert_string_equal(generator->prompts[0].description, "p");
	assert_int_equal(generator->files[0].mode, 0440);
	assert_int_equal(generator->files[0].needed_for, CONFIG_USERS);
	assert_true(generator->files[1].prompted);
	assert_null(generator->validation);
	config_destroy(&config);
}

static void an_empty_script_is_no_script_whatever_its_inputs(void **state)
{
	struct error err = {0};
	struct config config;

	(void)state;
	assert_success(load(MACHINE
			    "generators:\n  g:\n    machines: [m]\n    script: ''\n"
			    "    runtimeInputs: [/opt]\n    prompts: {p: {persist: true}}\n",
			    &config, &err));
	assert_null(config.generators[0].script);
	config_destroy(&config);
	assert_success(load(MACHINE "generators:\n  g:\n    machines: [m]\n    script: x\n"
				    "    runtimeInputs: []\n    files: {f: {}}\n",
			    &config, &err));
	assert_string_equal(config.generators[0].script, "x");
	config_destroy(&config);
}

static void keys_that_only_clan_has_are_rejected_with_a_hint(void **state)
{
	static const struct {
		const char *generator, *error;
	} cases[] = {
		{"files: {f: {rel_dir: shared/g}}",
		 "generators.g.files.f: unknown key \"rel_dir\": vmcred derives it: remove the "
		 "key"},
		{"files: {f: {path: /run/secrets/x}}",
		 "generators.g.files.f: unknown key \"path\": vmcred derives it: remove the key"},
		{"files: {f: {flakePath: null}}",
		 "generators.g.files.f: unknown key "
		 "\"flakePath\": vmcred derives it: remove the key"},
		{"files: {f: {exists: true}}",
		 "generators.g.files.f: unknown key \"exists\": vmcred "
		 "derives it: remove the key"},
		{"files: {f: {generatorName: g}}",
		 "generators.g.files.f: unknown key \"generatorName\": vmcred derives it: remove "
		 "the key"},
		{"files: {f: {value: x}}", "generators.g.files.f: unknown key \"value\": the store "
					   "has the value: remove the key"},
		{"files: {f: {share: false}}", "generators.g.files.f: unknown key \"share\": it "
					       "belongs to the generator: remove the key"},
		{"files: {f: {sops: {owner: x}}}",
		 "generators.g.files.f: unknown key \"sops\": use \"owner\" and \"group\""},
		{"finalScript: /nix/store/x", "generators.g: unknown key \"finalScript\": clan "
					      "derives it from the script: use \"script\""},
		{"validationHash: x", "generators.g: unknown key \"validationHash\": clan derives "
				      "it from the validation: use \"validation\""},
		{"pkgs: {}",
		 "generators.g: unknown key \"pkgs\": only Nix uses it: remove the key"},
		{"settings: {}",
		 "generators.g: unknown key \"settings\": only Nix uses it: remove the key"},
		{"migrateFact: x", "generators.g: unknown key \"migrateFact\": the store has no "
				   "facts: remove the key"},
		{"name: h", "generators.g.name: must be \"g\" like its key, not \"h\""},
		{"files: {f: {name: x}}",
		 "generators.g.files.f.name: must be \"f\" like its key, not \"x\""},
		{"prompts: {p: {name: x}}",
		 "generators.g.prompts.p.name: must be \"p\" like its key, not \"x\""},
		{"prompts: {p: {display: {lable: x}}}",
		 "generators.g.prompts.p.display: unknown key \"lable\": did you mean \"label\"?"},
		{"runtimeInputs: [bin]",
		 "generators.g.runtimeInputs: must be absolute paths of letters, digits and "
		 "/._+-=?, not \"bin\""},
		{"runtimeInputs: ['/a b']",
		 "generators.g.runtimeInputs: must be absolute paths of letters, digits and "
		 "/._+-=?, not \"/a b\""},
		{"runtimeInputs: ['/a:/b']",
		 "generators.g.runtimeInputs: must be absolute paths of letters, digits and "
		 "/._+-=?, not \"/a:/b\""},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256], error[256];
		struct config config;

		snprintf(text, sizeof(text),
			 MACHINE "generators:\n  g:\n    machines: [m]\n    %s\n",
			 cases[i].generator);
		snprintf(error, sizeof(error), "vmcred.yaml:5: %s", cases[i].error);
		assert_error(load(text, &config, &err), VMCRED_USAGE, error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_generator_printed_by_nix_is_read),
		cmocka_unit_test(an_empty_script_is_no_script_whatever_its_inputs),
		cmocka_unit_test(keys_that_only_clan_has_are_rejected_with_a_hint),
	};

	return cmocka_run_group_tests_name("config_clan", tests, NULL, NULL);
}
