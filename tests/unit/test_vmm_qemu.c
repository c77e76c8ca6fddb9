/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/driver.h"
#include "vmm/qemu/qemu.h"

#define WORDS(...) ((const char *const[]){"qemu-system-x86_64", __VA_ARGS__, NULL})

/* argv has no const, for historical reasons; nothing here writes to it. */
static char *const *argv_of(const char *const *words)
{
	return (char *const *)words;
}

#define ARGV(...) argv_of(WORDS(__VA_ARGS__))

/* Parses a command line and collects its OEM strings. */
static int strings_read(char *const *argv, struct oem_list *list, struct error *err)
{
	_cleanup_qemu_arguments_ struct qemu_arguments arguments = {0};
	int r = qemu_arguments_read(argv, &arguments, err);

	return r < 0 ? r : qemu_strings_read(&arguments, list, NULL, err);
}

/* The vsock device of a command line. */
static struct vmm_vsock vsock_of(char *const *argv, const char *daemon_socket)
{
	_cleanup_qemu_arguments_ struct qemu_arguments arguments = {0};
	struct vmm_vsock vsock = {0};
	struct error err = {0};

	assert_success(qemu_arguments_read(argv, &arguments, &err));
	qemu_vsock_find(&arguments, daemon_socket, &vsock);
	return vsock;
}

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
	/* An option's value is not an option. */
	{WORDS("-smbios", "-smbios", "type=11,value=z"), {NULL}},
	{WORDS("-smbios"), {NULL}},
};

static void oem_strings_of_the_command_line_are_found(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(command_lines) / sizeof(command_lines[0]); i++) {
		struct oem_list list = {0};
		size_t count = 0;

		assert_success(strings_read(argv_of(command_lines[i].words), &list, &err));
		for (; command_lines[i].strings[count]; count++) {
			assert_true(count < list.count);
			assert_span_equal(secret_span(&list.strings[count].text),
					  command_lines[i].strings[count]);
		}
		assert_int_equal(list.count, count);
		oem_list_destroy(&list);
	}
}

static void an_empty_value_is_an_error(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	assert_error(strings_read(ARGV("-smbios", "type=11,value="), &list, &err), VMCRED_USAGE,
		     "the VMM's arguments: an OEM string is empty, which would end the table");
	oem_list_destroy(&list);
}

static void the_name_of_a_string_in_a_file_is_found(void **state)
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
	assert_success(strings_read(ARGV("-smbios", option), &list, &err));
	assert_string_equal(list.strings[0].name, "A");
	oem_list_destroy(&list);
	unlink(path);
	/* QEMU reports a missing file itself. */
	assert_success(strings_read(ARGV("-smbios", option), &list, &err));
	assert_int_equal(list.count, 0);
	oem_list_destroy(&list);
}

static void a_credential_in_fw_cfg_reserves_its_name(void **state)
{
	const char *const *const lines[] = {
		WORDS("-fw_cfg", "name=opt/io.systemd.credentials/A,string=x"),
		WORDS("-fw_cfg", "opt/io.systemd.credentials/A,string=x"),
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct oem_list list = {0};

		assert_success(strings_read(argv_of(lines[i]), &list, &err));
		assert_int_equal(oem_list_add_credential(&list, "A", span_of("1", 1), &err),
				 -VMCRED_USAGE);
		error_clear(&err);
		assert_success(oem_list_add_credential(&list, "B", span_of("1", 1), &err));
		oem_list_destroy(&list);
	}
}

/* Lines with the program's own name. */
#define LINE(...) ((const char *const[]){__VA_ARGS__, NULL})

static void the_machine_type_selects_the_transport(void **state)
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
		{WORDS("-M", "pc-q35-noble"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-M", "ubuntu-q35"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-M", "pc-i440fx-2.0"), VMM_TRANSPORT_DEFAULT},
		{WORDS("-M", "pc-i440fx-2.12"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-M", "pc-1.0"), VMM_TRANSPORT_DEFAULT},
		{WORDS("-M", "none"), VMM_TRANSPORT_DEFAULT},
		{WORDS("-M", "pc", "-no-acpi"), VMM_TRANSPORT_SMBIOS},
		{WORDS("-M", "microvm,acpi=off"), VMM_TRANSPORT_DEFAULT},
		{WORDS("-M", "microvm", "-no-acpi"), VMM_TRANSPORT_DEFAULT},
		{LINE("/usr/bin/qemu-system-i386"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-M", "virt"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-aarch64", "-M", "virt-7.2", "-kernel", "k"),
		 VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-aarch64", "-M", "virt", "-bios", "f"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-M", "virt", "-bios", "none"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-arm", "-M", "virt", "-drive", "file=f,if=pflash,unit=0"),
		 VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-aarch64", "-machine", "virt,pflash0=a"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-amd64", "-machine", "microvm"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-amd64"), VMM_TRANSPORT_SMBIOS},
		{LINE("qemu-system-x86_64-microvm", "-M", "microvm"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-arm64", "-machine", "virt"), VMM_TRANSPORT_FW_CFG},
		{LINE("qemu-system-loong64", "-machine", "virt"), VMM_TRANSPORT_FW_CFG},
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
		struct qemu_arguments arguments = {0};

		assert_success(qemu_arguments_read(argv_of(lines[i].words), &arguments, &err));
		assert_int_equal(qemu_machine_find(&arguments, lines[i].words[0]).transport,
				 lines[i].transport);
		qemu_arguments_destroy(&arguments);
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

static void a_file_of_readconfig_is_read_as_options(void **state)
{
	char path[] = "/tmp/vmcred-qemu.XXXXXX";
	const char *const words[] = {"qemu-system-x86_64", "-readconfig", path, NULL};
	struct qemu_arguments arguments = {0};
	struct oem_list list = {0};
	struct vmm_vsock vsock = {0};
	struct error err = {0};

	(void)state;
	config_write(path, "# a comment\n"
			   "[machine]\n  type = \"microvm\"\n"
			   "[fw_cfg]\n\tname=\"opt/io.systemd.credentials/A,B\"\n string = \"x\"\n"
			   "[smbios]\n type = \"11\"\n value = \"io.systemd.credential:C=d\"\n"
			   "[device \"v\"]\n driver = \"vhost-vsock-pci\"\n guest-cid = \"7\"");
	assert_success(qemu_arguments_read(argv_of(words), &arguments, &err));
	/* The file is not needed any more. */
	unlink(path);
	assert_int_equal(qemu_machine_find(&arguments, words[0]).transport, VMM_TRANSPORT_FW_CFG);
	qemu_vsock_find(&arguments, NULL, &vsock);
	assert_int_equal(vsock.cid, 7);
	assert_success(qemu_strings_read(&arguments, &list, NULL, &err));
	assert_int_equal(list.elsewhere.count, 1);
	assert_string_equal(list.elsewhere.items[0], "A,B");
	/* QEMU reads a section [smbios] and ignores it. */
	assert_int_equal(list.count, 0);
	oem_list_destroy(&list);
	qemu_arguments_destroy(&arguments);
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
		 "-smbios file=%s contains OEM strings, and QEMU does not add others to them: use "
		 "-smbios type=11,value=… or type=11,path=FILE for each",
		 path);
	assert_error(strings_read(ARGV("-smbios", option), &list, &err), VMCRED_USAGE, expected);
	unlink(path);
	config_write(strcpy(path, "/tmp/vmcred-qemu.XXXXXX"), "\x01\x05");
	snprintf(option, sizeof(option), "file=%s", path);
	assert_success(strings_read(ARGV("-smbios", option), &list, &err));
	unlink(path);
}

static void the_vsock_device_is_found_in_every_form(void **state)
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
		{WORDS("-device", "vhost-vsock-pci,id=v,guest-cid=4", "-set",
		       "device.v.guest-cid=5"),
		 5},
		{WORDS("-device", "vhost-vsock-pci,id=v", "-set", "device.w.guest-cid=5"), 0},
		{WORDS("-global", "vhost-vsock-pci.guest-cid=6", "-device", "vhost-vsock-pci",
		       "-global", "vhost-vsock-ccw.guest-cid=7"),
		 6},
		{WORDS("-device", "vhost-vsock-pci,guest-cid=4", "-global",
		       "vhost-vsock-pci.guest-cid=6"),
		 4},
		{WORDS("-device", "vhost-vsock-pci", "-global",
		       "driver=vhost-vsock-pci,property=guest-cid,value=8"),
		 8},
		{WORDS("-name", "-device", "vhost-vsock-pci,guest-cid=9"), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct vmm_vsock vsock = vsock_of(argv_of(lines[i].words), NULL);

		assert_int_equal(vsock.cid, lines[i].cid);
		assert_null(vsock.socket);
	}
}

static void the_socket_of_a_vsock_daemon_must_be_named(void **state)
{
	char *const *argv = ARGV("-device", "vhost-user-vsock-pci,chardev=c");
	struct vmm_vsock vsock = vsock_of(argv, NULL);

	(void)state;
	assert_true(vsock.socket_missing);
	vsock = vsock_of(argv, "/run/v");
	assert_false(vsock.socket_missing);
	assert_string_equal(vsock.socket, "/run/v");
	assert_int_not_equal(vsock.cid, 0);
}

static void a_secret_can_be_read_from_its_descriptor_once(void **state)
{
	static const size_t sizes[] = {0, 1, 4096, 4097, 65535, 65536};
	char *content = malloc(65536), *got = malloc(65536), path[32];
	struct error err = {0};

	(void)state;
	memset(content, 's', 65536);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = vmm_secret_fd(span_of(content, sizes[i]), false, &err), reader;
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

static void a_program_is_recognised_by_its_name(void **state)
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
		{"/opt/firecracker-v1.16.1-x86_64", "Firecracker"},
		{"crosvm", "crosvm"},
		{"lkvm", "kvmtool"},
		{"alioth", "alioth"},
		{"stratovirt", "StratoVirt"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct vmm_launch launch = {.name = programs[i].program,
					    .argv = ARGV("--kernel", "/k")};

		assert_success(vmm_prepare(&launch, &err));
		assert_string_equal(launch.ops->name, programs[i].driver);
		vmm_launch_destroy(&launch);
	}
	assert_error(
		vmm_prepare(&(struct vmm_launch){.name = "/bin/bhyve"}, &err), VMCRED_USAGE,
		"unknown hypervisor \"bhyve\": known names are cloud-hypervisor*, firecracker, "
		"firecracker-v*, qemu-system-*, qemu-kvm, kvm, crosvm, lkvm, kvmtool, alioth, "
		"stratovirt, systemd-vmspawn; for a script, "
		"see CALLED BY A HYPERVISOR'S NAME in vmcred-run(1)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oem_strings_of_the_command_line_are_found),
		cmocka_unit_test(an_empty_value_is_an_error),
		cmocka_unit_test(the_name_of_a_string_in_a_file_is_found),
		cmocka_unit_test(a_credential_in_fw_cfg_reserves_its_name),
		cmocka_unit_test(the_machine_type_selects_the_transport),
		cmocka_unit_test(a_file_of_readconfig_is_read_as_options),
		cmocka_unit_test(oem_strings_of_a_structure_file_stop_the_launch),
		cmocka_unit_test(the_vsock_device_is_found_in_every_form),
		cmocka_unit_test(the_socket_of_a_vsock_daemon_must_be_named),
		cmocka_unit_test(a_secret_can_be_read_from_its_descriptor_once),
		cmocka_unit_test(a_program_is_recognised_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
