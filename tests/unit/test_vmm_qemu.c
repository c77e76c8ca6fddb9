/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/handover.h"
#include "vmm/qemu_arguments.h"
#include "vmm/vmm.h"

#define WORDS(...) ((const char *const[]){"qemu-system-x86_64", __VA_ARGS__, NULL})

/* argv has no const, for historical reasons; nothing here writes to it. */
static char *const *argv_of(const char *const *words)
{
	return (char *const *)words;
}

#define ARGV(...) argv_of(WORDS(__VA_ARGS__))

static const struct {
	const char *const *words;
	const char *strings[3];
} command_lines[] = {
	{WORDS("-m", "512"), {NULL}},
	{WORDS("-smbios", "type=11,value=a"), {"a"}},
	{WORDS("--smbios", "type=0xb,value=a,value=b"), {"a", "b"}},
	{WORDS("-smbios", "value=a,type=11"), {"a"}},
	{WORDS("-smbios", "type=11,value=a,,b,,,,c"), {"a,b,,c"}},
	{WORDS("-smbios", "type=11,value=k=v"), {"k=v"}},
	{WORDS("-smbios", "type=1,serial=s", "-smbios", "type=11,value=z"), {"z"}},
	/* The value of another option is no option. */
	{WORDS("-smbios", "-smbios", "type=11,value=z"), {NULL}},
	{WORDS("-smbios"), {NULL}},
};

static void oem_strings_are_read_off_the_command_line(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(command_lines) / sizeof(command_lines[0]); i++) {
		struct oem_list list = {0};
		size_t count = 0;

		assert_success(
			qemu_arguments_read(argv_of(command_lines[i].words), &list, NULL, &err));
		for (; command_lines[i].strings[count]; count++) {
			assert_true(count < list.count);
			assert_span_equal(secret_span(&list.strings[count].text),
					  command_lines[i].strings[count]);
		}
		assert_int_equal(list.count, count);
		oem_list_destroy(&list);
	}
}

static void an_empty_value_is_an_error_since_it_would_end_the_table(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	assert_error(qemu_arguments_read(ARGV("-smbios", "type=11,value="), &list, NULL, &err),
		     VMCRED_USAGE,
		     "the VMM's arguments: an OEM string is empty, which ends the table for its "
		     "readers");
	oem_list_destroy(&list);
}

static void a_string_in_a_file_counts_with_its_name(void **state)
{
	char path[] = "/tmp/vmcred-qemu.XXXXXX", option[128];
	struct oem_list list = {0};
	struct error err = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "io.systemd.credential:A=1", 25), 25);
	close(fd);
	snprintf(option, sizeof(option), "type=11,path=%s", path);
	assert_success(qemu_arguments_read(ARGV("-smbios", option), &list, NULL, &err));
	assert_string_equal(list.strings[0].name, "A");
	oem_list_destroy(&list);
	unlink(path);
	/* What is not there is QEMU's to say. */
	assert_success(qemu_arguments_read(ARGV("-smbios", option), &list, NULL, &err));
	assert_int_equal(list.count, 0);
	oem_list_destroy(&list);
}

static void a_credential_in_fw_cfg_takes_its_name(void **state)
{
	const char *const *const lines[] = {
		WORDS("-fw_cfg", "name=opt/io.systemd.credentials/A,string=x"),
		WORDS("-fw_cfg", "opt/io.systemd.credentials/A,string=x"),
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct oem_list list = {0};

		assert_success(qemu_arguments_read(argv_of(lines[i]), &list, NULL, &err));
		assert_int_equal(oem_list_add_credential(&list, "A", span_of("1", 1), &err),
				 -VMCRED_USAGE);
		error_clear(&err);
		assert_success(oem_list_add_credential(&list, "B", span_of("1", 1), &err));
		oem_list_destroy(&list);
	}
}

static void only_the_machine_type_microvm_has_no_smbios(void **state)
{
	const struct {
		const char *const *words;
		bool has;
	} lines[] = {
		{WORDS("-m", "1"), true},
		{WORDS("-M", "q35"), true},
		{WORDS("-M", "microvm,acpi=on"), false},
		{WORDS("-machine", "acpi=on,type=microvm"), false},
		{WORDS("--machine", "microvm", "-machine", "type=pc"), true},
		{WORDS("-machine", "accel=tcg"), true},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		bool has;

		assert_success(qemu_machine_has_smbios(argv_of(lines[i].words), &has, &err));
		assert_int_equal(has, lines[i].has);
	}
}

static void a_handed_over_secret_can_be_read_once(void **state)
{
	static const size_t sizes[] = {0, 1, 4096, 4097, 65535, 65536};
	char *content = malloc(65536), *got = malloc(65536), path[32];
	struct error err = {0};

	(void)state;
	memset(content, 's', 65536);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = handover_create(span_of(content, sizes[i]), &err), reader;
		size_t used = 0;
		ssize_t size;

		assert_true(fd > STDERR_FILENO);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		snprintf(path, sizeof(path), "/dev/fd/%d", fd);
		reader = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(reader >= 0);
		while ((size = read(reader, got + used, 65536 - used)) > 0)
			used += (size_t)size;
		assert_int_equal(used, sizes[i]);
		assert_memory_equal(got, content, used);
		assert_int_equal(read(fd, got, 1), 0);
		close(reader);
		close(fd);
	}
	free(content);
	free(got);
}

static void a_program_is_known_by_its_name(void **state)
{
	static const struct {
		const char *program, *driver;
	} programs[] = {
		{"cloud-hypervisor", "Cloud Hypervisor"},
		{"/nix/store/x-cloud-hypervisor-53/bin/cloud-hypervisor", "Cloud Hypervisor"},
		{"./cloud-hypervisor-static", "Cloud Hypervisor"},
		{"/usr/bin/qemu-system-aarch64", "QEMU"},
		{"qemu-kvm", "QEMU"},
		{"kvm", "QEMU"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const struct vmm_ops *ops = vmm_find(programs[i].program, &err);

		assert_non_null(ops);
		assert_string_equal(ops->name, programs[i].driver);
	}
	assert_null(vmm_find("/bin/firecracker", &err));
	assert_error(-(int)err.code, VMCRED_USAGE,
		     "firecracker is not a hypervisor that vmcred can start: it knows "
		     "cloud-hypervisor*, qemu-system-*, qemu-kvm and kvm by their names");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oem_strings_are_read_off_the_command_line),
		cmocka_unit_test(an_empty_value_is_an_error_since_it_would_end_the_table),
		cmocka_unit_test(a_string_in_a_file_counts_with_its_name),
		cmocka_unit_test(a_credential_in_fw_cfg_takes_its_name),
		cmocka_unit_test(only_the_machine_type_microvm_has_no_smbios),
		cmocka_unit_test(a_handed_over_secret_can_be_read_once),
		cmocka_unit_test(a_program_is_known_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
