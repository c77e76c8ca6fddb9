/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/handover.h"
#include "vmm/qemu/arguments.h"
#include "vmm/qemu/machine.h"
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

/* Lines with the program's own name. */
#define LINE(...) ((const char *const[]){__VA_ARGS__, NULL})

static void the_machine_decides_how_strings_reach_its_guest(void **state)
{
	const struct {
		const char *const *words;
		enum vmm_transport transport;
	} lines[] = {
		{WORDS("-m", "1"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-M", "q35"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-M", "microvm,acpi=on"), VMM_TRANSPORT_FW_CFG},
		{WORDS("-machine", "acpi=on,type=microvm"), VMM_TRANSPORT_FW_CFG},
		{WORDS("--machine", "microvm", "-machine", "type=pc"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-machine", "accel=tcg"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-readconfig", "/nowhere"), VMM_TRANSPORT_SMBIOS},
		{LINE("/usr/bin/qemu-system-i386"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-M", "virt"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-aarch64", "-M", "virt-7.2", "-kernel", "k"),
		 VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-aarch64", "-M", "virt", "-bios", "f"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-M", "virt", "-bios", "none"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-arm", "-M", "virt", "-drive", "file=f,if=pflash,unit=0"),
		 VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-machine", "virt,pflash0=a"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-M", "raspi3b"), VMM_TRANSPORT_DEFAULT},
		{LINE("qemu-system-aarch64"), VMM_TRANSPORT_DEFAULT},
		{LINE("qemu-system-riscv64", "-M", "virt", "-bios", "f"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-loongarch64", "-M", "virt", "-bios", "f"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-s390x", "-M", "s390-ccw-virtio"), VMM_TRANSPORT_DEFAULT},
		{LINE("qemu-system-ppc64", "-M", "pseries"), VMM_TRANSPORT_DEFAULT},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct qemu_machine machine;

		assert_success(qemu_machine_read(lines[i].words[0], argv_of(lines[i].words),
						 &machine, &err));
		assert_int_equal(machine.transport, lines[i].transport);
		qemu_machine_destroy(&machine);
	}
}

/* A file of -readconfig; the caller unlinks it. */
static void config_write(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void a_file_of_readconfig_counts_as_the_options_that_it_stands_for(void **state)
{
	char path[] = "/tmp/vmcred-qemu.XXXXXX";
	const char *const words[] = {"qemu-system-x86_64", "-readconfig", path, NULL};
	struct vmm_launch launch = {.argv = argv_of(words)};
	struct oem_list list = {0};
	struct qemu_machine machine;
	struct vmm_vsock vsock = {0};
	struct error err = {0};

	(void)state;
	config_write(path, "# a comment\n"
			   "[machine]\n  type = \"microvm\"\n"
			   "[fw_cfg]\n\tname=\"opt/io.systemd.credentials/A,B\"\n string = \"x\"\n"
			   "[smbios]\n type = \"11\"\n value = \"io.systemd.credential:C=d\"\n"
			   "[device \"v\"]\n driver = \"vhost-vsock-pci\"\n guest-cid = \"7\"");
	assert_success(qemu_machine_read(words[0], launch.argv, &machine, &err));
	assert_int_equal(machine.transport, VMM_TRANSPORT_FW_CFG);
	qemu_machine_destroy(&machine);
	assert_success(qemu_vsock_find(&launch, &vsock, &err));
	assert_int_equal(vsock.cid, 7);
	assert_success(qemu_arguments_read(launch.argv, &list, NULL, &err));
	assert_int_equal(list.elsewhere_count, 1);
	assert_string_equal(list.elsewhere[0], "A,B");
	/* QEMU reads such a section and does nothing with it. */
	assert_int_equal(list.count, 0);
	oem_list_destroy(&list);
	unlink(path);
}

static void oem_strings_of_a_structure_file_stop_the_launch(void **state)
{
	char path[] = "/tmp/vmcred-qemu.XXXXXX", option[64], expected[256];
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	config_write(path, "\x0b\x05");
	snprintf(option, sizeof(option), "file=%s", path);
	snprintf(expected, sizeof(expected),
		 "-smbios file=%s holds OEM strings, and QEMU adds no others to such a file: give "
		 "each as -smbios type=11,value=… or type=11,path=FILE",
		 path);
	assert_error(qemu_arguments_read(ARGV("-smbios", option), &list, NULL, &err), VMCRED_USAGE,
		     expected);
	unlink(path);
	config_write(strcpy(path, "/tmp/vmcred-qemu.XXXXXX"), "\x01\x05");
	snprintf(option, sizeof(option), "file=%s", path);
	assert_success(qemu_arguments_read(ARGV("-smbios", option), &list, NULL, &err));
	unlink(path);
}

static void the_vsock_device_is_found_in_each_form(void **state)
{
	const struct {
		const char *const *words;
		unsigned int cid;
	} lines[] = {
		{WORDS("-device", "virtio-net-pci,guest-cid=9"), 0},
		{WORDS("-device", "vhost-vsock-pci,guest-cid=9"), 9},
		{WORDS("-device", "guest-cid=0x10,driver=vhost-vsock-device,id=v"), 16},
		{WORDS("-device", "{\"driver\":\"vhost-vsock-pci\",\"guest-cid\":11}"), 11},
		{WORDS("-device", "vhost-vsock-ccw,guest-cid=4", "-device", "virtio-rng-pci"), 4},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct vmm_launch launch = {.argv = argv_of(lines[i].words)};
		struct vmm_vsock vsock = {0};

		assert_success(qemu_vsock_find(&launch, &vsock, &err));
		assert_int_equal(vsock.cid, lines[i].cid);
		assert_null(vsock.socket);
	}
}

static void the_socket_of_a_vsock_daemon_has_to_be_named(void **state)
{
	struct vmm_launch launch = {.argv = ARGV("-device", "vhost-user-vsock-pci,chardev=c")};
	struct vmm_vsock vsock = {0};
	struct error err = {0};

	(void)state;
	assert_error(qemu_vsock_find(&launch, &vsock, &err), VMCRED_USAGE,
		     "--notify: where the vsock daemon has its socket is not in QEMU's arguments: "
		     "name it with --vsock-socket");
	launch.vsock_socket = "/run/v";
	assert_success(qemu_vsock_find(&launch, &vsock, &err));
	assert_string_equal(vsock.socket, "/run/v");
	assert_int_not_equal(vsock.cid, 0);
	free(vsock.socket);
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
		     "cloud-hypervisor*, qemu-system-*, qemu-kvm, kvm and systemd-vmspawn by their "
		     "names");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oem_strings_are_read_off_the_command_line),
		cmocka_unit_test(an_empty_value_is_an_error_since_it_would_end_the_table),
		cmocka_unit_test(a_string_in_a_file_counts_with_its_name),
		cmocka_unit_test(a_credential_in_fw_cfg_takes_its_name),
		cmocka_unit_test(the_machine_decides_how_strings_reach_its_guest),
		cmocka_unit_test(a_file_of_readconfig_counts_as_the_options_that_it_stands_for),
		cmocka_unit_test(oem_strings_of_a_structure_file_stop_the_launch),
		cmocka_unit_test(the_vsock_device_is_found_in_each_form),
		cmocka_unit_test(the_socket_of_a_vsock_daemon_has_to_be_named),
		cmocka_unit_test(a_handed_over_secret_can_be_read_once),
		cmocka_unit_test(a_program_is_known_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
