/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

#define WORDS(...) ((const char *const[]){"cloud-hypervisor", __VA_ARGS__, NULL})

/* argv has no const, for historical reasons; nothing here writes to it. */
static char *const *argv_of(const char *const *words)
{
	return (char *const *)words;
}

#define ARGV(...) argv_of(WORDS(__VA_ARGS__))

/* What vm.create gets for unusual values; tests/interop/cloud_hypervisor_lines.json has each
 * option. Members are sorted. */
static const struct {
	const char *const *words;
	const char *json;
} translations[] = {
	{WORDS("--kernel", "/k", "--cpus",
	       "boot=1,boot=3,topology=1:2:3:4,features=[amx],nested=off"),
	 "{\"cpus\": {\"boot_vcpus\": 3, \"features\": {\"amx\": true}, \"max_vcpus\": 3, "
	 "\"nested\": false, \"topology\": {\"cores_per_die\": 2, \"dies_per_package\": 3, "
	 "\"packages\": 4, \"threads_per_core\": 1}}, \"payload\": {\"kernel\": \"/k\"}}"},
	{WORDS("--kernel", "/k", "--memory", "size=1G,shared=on,thp=OFF,hotplug_method=virtio-mem"),
	 "{\"memory\": {\"hotplug_method\": \"VirtioMem\", \"shared\": true, \"size\": 1073741824, "
	 "\"thp\": false}, \"payload\": {\"kernel\": \"/k\"}}"},
	{WORDS("--kernel", "/k", "--cpus", "affinity=[ 1@[2,4-5], \"3\"@6 ]", "--memory",
	       "size= 1G "),
	 "{\"cpus\": {\"affinity\": [{\"host_cpus\": [2, 4, 5], \"vcpu\": 1}, {\"host_cpus\": [6], "
	 "\"vcpu\": 3}], \"boot_vcpus\": 1, \"max_vcpus\": 1}, \"memory\": {\"size\": 1073741824}, "
	 "\"payload\": {\"kernel\": \"/k\"}}"},
	{WORDS("--kernel", "/k", "--memory", "size=1KG"),
	 "{\"memory\": {\"size\": 1073741824}, \"payload\": {\"kernel\": \"/k\"}}"},
	{WORDS("--memory-zone", "id=z,size=+1K", "--kernel", "/k"),
	 "{\"memory\": {\"size\": 536870912, \"zones\": [{\"id\": \"z\", \"size\": 1024}]}, "
	 "\"payload\": {\"kernel\": \"/k\"}}"},
};

static void a_command_line_becomes_a_vm_config(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(translations) / sizeof(translations[0]); i++) {
		struct cloud_hypervisor_config config = {0};
		char *json;

		assert_success(cloud_hypervisor_config_read(argv_of(translations[i].words), &config,
							    &err));
		json = json_dumps(config.vm, JSON_SORT_KEYS);
		assert_string_equal(json, translations[i].json);
		free(json);
		cloud_hypervisor_config_destroy(&config);
	}
}

static const struct {
	const char *const *words;
	const char *line;
} refusals[] = {
	{WORDS("--kernel", "/k", "--cpuz", "boot=1"),
	 "unknown option --cpuz: did you mean --cpus? If not, declare cpuz in vmConfig"},
	{WORDS("--kernel", "/k", "--no-such-option", "x"),
	 "unknown option --no-such-option: declare no_such_option in vmConfig"},
	{WORDS("--kernel", "/k", "--cpus", "bot=1"),
	 "--cpus: unknown key \"bot\": did you mean \"boot\"? If not, remove it, and declare it in "
	 "vmConfig"},
	{WORDS("--kernel", "/k", "--net", "tap=t,flux_capacitor=on"),
	 "--net: unknown key \"flux_capacitor\": remove it, and declare it in vmConfig"},
	{WORDS("--kernel", "/k", "--cpus", "boot=1, max=2"),
	 "--cpus: unknown key \" max\": did you mean \"max\"? If not, remove it, and declare it in "
	 "vmConfig"},
	{WORDS("--kernel", "/k", "--cpus", "boot"), "--cpus: key \"boot\" needs a value"},
	{WORDS("--kernel", "/k", "--cpus", "boot=two"), "--cpus: boot: \"two\" is not a number"},
	{WORDS("--kernel", "/k", "--cpus", "boot=-1"), "--cpus: boot: \"-1\" is not a number"},
	{WORDS("--kernel", "/k", "--cpus", "boot=4294967296"),
	 "--cpus: boot: \"4294967296\" is too large: the maximum is 4294967295"},
	{WORDS("--kernel", "/k", "--cpus", "topology=1:2:3"),
	 "--cpus: topology: \"1:2:3\" is not threads:cores:dies:packages"},
	{WORDS("--kernel", "/k", "--cpus", "topology=1:2:3:4:5"),
	 "--cpus: topology: \"1:2:3:4:5\" is not threads:cores:dies:packages"},
	{WORDS("--kernel", "/k", "--cpus", "features=[avx]"),
	 "--cpus: features: unknown value \"avx\""},
	{WORDS("--kernel", "/k", "--cpus", "features=[]"), "--cpus: features: empty list"},
	{WORDS("--kernel", "/k", "--cpus", "profile=host"),
	 "--cpus: profile: unknown value \"host\""},
	{WORDS("--kernel", "/k", "--cpus", "affinity=0@1"),
	 "--cpus: affinity: \"0@1\" is not a list in brackets"},
	{WORDS("--kernel", "/k", "--cpus", "affinity=[0]"),
	 "--cpus: affinity: \"0\" is not a pair A@B"},
	{WORDS("--kernel", "/k", "--cpus", "affinity=[0@[1]@2]"),
	 "--cpus: affinity: \"0\" is not a pair A@B"},
	{WORDS("--kernel", "/k", "--memory", "size=99999999999G"),
	 "--memory: size: \"99999999999\" is too large: the maximum is 8589934591"},
	{WORDS("--kernel", "/k", "--memory", "size=M"), "--memory: size: \"\" is not a number"},
	{WORDS("--kernel", "/k", "--memory", "shared=maybe"),
	 "--memory: shared: \"maybe\" is not on or off"},
	{WORDS("--kernel", "/k", "--memory", "shared=\"on\""),
	 "--memory: shared: \"\"on\"\" is not on or off"},
	{WORDS("--kernel", "/k", "--memory-zone", "size=1G"), "--memory-zone: missing key \"id\""},
	{WORDS("--kernel", "/k", "--disk", "path=/a,image_type=iso"),
	 "--disk: image_type: unknown value \"iso\""},
	{WORDS("--kernel", "/k", "--fs", "tag=1234567890123456789012345678901234567,socket=/s"),
	 "--fs: tag: \"1234567890123456789012345678901234567\" has more than 36 bytes"},
	{WORDS("--kernel", "/k", "--platform", "iommu_segments=[1,]"),
	 "--platform: iommu_segments: \"\" is not a number"},
	{WORDS("--kernel", "/k", "--platform", "iommu_segments=[3-1]"),
	 "--platform: iommu_segments: \"3-1\" is not a range"},
	{WORDS("--kernel", "/k", "--numa", "guest_numa_id=0,cpus=0-70000"),
	 "--numa: cpus: more than 65536 numbers"},
	{WORDS("--kernel", "/k", "--serial", "file="), "--serial: file: missing path"},
	{WORDS("--kernel", "/k", "--console", "iommu=on"),
	 "--console: missing mode, such as off, tty or file=PATH"},
	{WORDS("--kernel", "/k", "--debug-console", "off,iobase=233"),
	 "--debug-console: iobase: \"233\" does not start with 0x"},
	{WORDS("--kernel", "/k", "--debug-console", "off,iobase=0x0x10"),
	 "--debug-console: iobase: \"0x10\" is not a number"},
	{WORDS("--kernel", "/k", "--generic-vhost-user",
	       "device_type=35,socket=/s,queue_sizes=[1]"),
	 "--generic-vhost-user: device type 35 does not support vhost-user"},
	{WORDS("--kernel", "/k", "--generic-vhost-user", "socket=/s,queue_sizes=[1]"),
	 "--generic-vhost-user: missing key \"device_type\""},
	{WORDS("--kernel", "/k", "--generic-vhost-user", "device_type=09,socket=/s,queue_sizes=1"),
	 "--generic-vhost-user: device_type: unknown value \"09\""},
	{WORDS("--kernel", "/k", "--fw-cfg-config", "items=name=a"),
	 "--fw-cfg-config: items: \"name=a\" is not a list in brackets"},
	{WORDS("--kernel", "/k", "--fw-cfg-config", "items=[file=/f]"),
	 "--fw-cfg-config: items: missing key \"name\""},
	{WORDS("--kernel", "/k", "--kernel", "/l"), "--kernel: given twice"},
	{WORDS("--kernel", "/k", "--watchdog", "--watchdog"), "--watchdog: given twice"},
	{WORDS("--kernel", "/k", "--api-socket", "/a", "--api-socket", "/b"),
	 "--api-socket: given twice"},
	{WORDS("--kernel", "/k", "--platform", "oem_strings=[secret"),
	 "--platform: unbalanced quotes or brackets"},
	{WORDS("--kernel", "/k", "--platform", "oem_strings=[[secret]"),
	 "--platform: unbalanced quotes or brackets"},
	{WORDS("--kernel", "/k", "--watchdog=on"), "--watchdog: takes no value"},
	{WORDS("--kernel", "--cmdline", "x"), "--kernel: needs a value"},
	{WORDS("--kernel"), "--kernel: needs a value"},
	{WORDS("--kernel", "/k", "stray"), "unexpected argument \"stray\""},
	{WORDS("--kernel", "/k", "--disk=path=/a", "path=/b"), "unexpected argument \"path=/b\""},
	{WORDS("--api-socket", "/s"), "--kernel or --firmware is missing"},
	{WORDS("--kernel", "/k", "--cmdline", "\xff"), "--cmdline: the value is not UTF-8"},
};

static void the_error_for_an_unknown_option_or_value_names_it(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct cloud_hypervisor_config config = {0};

		assert_error(
			cloud_hypervisor_config_read(argv_of(refusals[i].words), &config, &err),
			VMCRED_USAGE, refusals[i].line);
		cloud_hypervisor_config_destroy(&config);
	}
}

static void options_of_the_vmm_stay_on_its_command_line(void **state)
{
	static const char *const expected[] = {
		"cloud-hypervisor", "--log-file",         "/l", "-vv", "--seccomp", "log",
		"--no-shutdown",    "--log-format=-{msg}"};
	struct cloud_hypervisor_config config = {0};
	struct error err = {0};

	(void)state;
	assert_success(cloud_hypervisor_config_read(
		ARGV("--log-file", "/l", "-vv", "--kernel", "/k", "--api-socket", "path=/s",
		     "--seccomp=log", "--no-shutdown", "--watchdog", "--log-format=-{msg}", "--rtc",
		     "--pvpanic"),
		&config, &err));
	assert_int_equal(config.argv.count, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < config.argv.count; i++)
		assert_string_equal(config.argv.items[i], expected[i]);
	assert_string_equal(config.api_socket, "/s");
	assert_true(config.logs_config);
	cloud_hypervisor_config_destroy(&config);
}

static const struct {
	const char *value;
	const char *strings[4];
} lists[] = {
	{"oem_strings=[a,b]", {"a", "b"}},
	{"oem_strings=a", {"a"}},
	{"oem_strings=[]", {NULL}},
	/* As in Cloud Hypervisor: quotes stay, and their comma does not separate. */
	{"oem_strings=[\"a,b\",c]", {"\"a,b\"", "c"}},
	{"oem_strings=[a,[b,c],d]", {"a", "[b,c]", "d"}},
	{"oem_strings=[io.systemd.credential:A=b=c]", {"io.systemd.credential:A=b=c"}},
	{"oem_strings=[ a,b ]", {"a", "b"}},
};

static void oem_strings_are_split_as_cloud_hypervisor_does(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct cloud_hypervisor_config config = {0};
		size_t count = 0;

		assert_success(cloud_hypervisor_config_read(
			ARGV("--kernel", "/k", "--platform", lists[i].value), &config, &err));
		for (; lists[i].strings[count]; count++) {
			assert_true(count < config.oem_strings.count);
			assert_string_equal(config.oem_strings.items[count],
					    lists[i].strings[count]);
		}
		assert_int_equal(config.oem_strings.count, count);
		cloud_hypervisor_config_destroy(&config);
	}
}

static void the_body_contains_every_string_unchanged(void **state)
{
	static const char value[] = "quote\" back\\slash [x], \xc3\xbc";
	struct cloud_hypervisor_config config = {0};
	struct oem_list list = {0};
	struct secret body = {0};
	struct error err = {0};

	(void)state;
	assert_success(cloud_hypervisor_config_read(
		ARGV("--kernel", "/k", "--platform", "system_uuid=u,oem_strings=[ARG]"), &config,
		&err));
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS, span_of_text("ARG"), NULL, &err));
	assert_success(oem_list_add_credential(&list, "A", span_of_text(value), &err));
	assert_success(cloud_hypervisor_config_body(&config, &list, &body, &err));
	assert_span_equal(
		secret_span(&body),
		"{\"payload\":{\"kernel\":\"/k\"},\"platform\":{\"system_uuid\":\"u\","
		"\"oem_strings\":[\"ARG\",\"io.systemd.credential:A=quote\\\" back\\\\slash [x], "
		"\xc3\xbc\"]}}");
	secret_destroy(&body);
	oem_list_destroy(&list);
	cloud_hypervisor_config_destroy(&config);
}

static size_t keys_count(const struct option_key *keys)
{
	size_t count = 0;

	while (keys && keys[count].name)
		count++;
	return count;
}

static void no_key_table_is_larger_than_the_maximum(void **state)
{
	(void)state;
	for (const struct option_row *row = cloud_hypervisor_options; row->name; row++)
		assert_true(keys_count(row->keys) <= OPTION_KEYS_MAX);
}

#define OLD ": remove it, or use a Cloud Hypervisor that supports it"

/* Answers to vmm.ping for a command line with --rng id=r (v52) and --igvm (a feature). */
static const struct {
	const char *answer, *line;
} pings[] = {
	{"{\"version\": \"52.0.0\", \"features\": [\"kvm\", \"igvm\"]}", NULL},
	{"{\"version\": \"52\", \"features\": [\"igvm\"]}", NULL},
	{"{\"version\": \"51.2.0\", \"features\": [\"igvm\"]}",
	 "--rng: Cloud Hypervisor v51.2 does not support key \"id\" (new in v52.0)" OLD},
	{"{\"version\": \"54.0.0\", \"features\": []}",
	 "--igvm: Cloud Hypervisor v54.0 does not support it (built without igvm)" OLD},
	{"{\"version\": \"54.0.0\"}",
	 "--igvm: Cloud Hypervisor v54.0 does not support it (built without igvm)" OLD},
	/* Not a version. */
	{"{\"version\": \"next\"}", NULL},
	{"{\"version\": 51}", NULL},
	{"[]", NULL},
};

static void the_error_for_an_unsupported_key_names_it(void **state)
{
	struct cloud_hypervisor_config config = {0};
	struct error err = {0};

	(void)state;
	assert_success(
		cloud_hypervisor_config_read(ARGV("--igvm", "/i", "--rng", "id=r"), &config, &err));
	for (size_t i = 0; i < sizeof(pings) / sizeof(pings[0]); i++) {
		struct span answer = span_of_text(pings[i].answer);

		if (pings[i].line)
			assert_error(cloud_hypervisor_needs_check(&config, answer, &err),
				     VMCRED_USAGE, pings[i].line);
		else
			assert_success(cloud_hypervisor_needs_check(&config, answer, &err));
	}
	cloud_hypervisor_config_destroy(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_line_becomes_a_vm_config),
		cmocka_unit_test(the_error_for_an_unknown_option_or_value_names_it),
		cmocka_unit_test(options_of_the_vmm_stay_on_its_command_line),
		cmocka_unit_test(oem_strings_are_split_as_cloud_hypervisor_does),
		cmocka_unit_test(the_body_contains_every_string_unchanged),
		cmocka_unit_test(no_key_table_is_larger_than_the_maximum),
		cmocka_unit_test(the_error_for_an_unsupported_key_names_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
