# SPDX-License-Identifier: Apache-2.0
"""vmcred compose: names, sizes and limits, and never a value."""
import json

import harness
from harness import equal, expect
from vm import Vm, canary


def test_compose_shows_names_origins_encodings_sizes_shares(folder):
    """compose shows names, origins, encodings, sizes and shares, and no value"""
    vm = Vm(folder)
    expect(vm.compose("--", "qemu-system-x86_64", "-smbios", "type=11,value=ARG=1"), 0, """\
ORIGIN               CREDENTIAL                   ENCODING    VALUE   STRING   TABLE
the VMM's arguments  -                            plain           5        5    0.0%
platformOEMStrings   -                            plain          16       16    0.0%
platformOEMStrings   -                            plain          20       20    0.0%
credentialFiles      HOST-API-KEY                 text           25       60    0.1%
credentialFiles      HOST-TLS                     binary         12       54    0.1%

       5 of     255 strings, 2.0%
     166 of   61439 bytes of the SMBIOS table, 0.3%
      37 of 1048576 bytes of credentials, 0.0%
""", "")


def test_compose_json_says_same_program(folder):
    """compose --json says the same to a program"""
    vm = Vm(folder)
    result = expect(vm.compose("--json"), 0, None, "")
    document = json.loads(result.out)
    equal(document["vm"], "test-vm")
    equal(document["strings"][2], {"origin": "runtime", "credential": "HOST-API-KEY", "encoding": "text",
                                   "valueSize": 25, "stringSize": 60, "tablePercent": round(6100 / 61439, 5)})
    equal(document["totals"]["strings"], {"used": 4, "limit": 255, "percent": 1.569, "limitOf": "SMBIOS"})
    equal(document["totals"]["table"],
          {"used": vm.table_size, "limit": 61439, "percent": float(f"{100 * vm.table_size / 61439:.4g}"), "limitOf": "SMBIOS"})
    equal(document["totals"]["credentials"]["limitOf"], "systemd")
    assert "apiBody" not in document["totals"]
    for form in canary(vm.api_key):
        assert form not in result.out.encode()


def test_cloud_hypervisor_compose_also_measures_api_request(folder):
    """for Cloud Hypervisor compose also measures the API request"""
    vm = Vm(folder)
    result = expect(vm.compose("--json", "--", "cloud-hypervisor", "--kernel", "/k"), 0, None, "")
    used = json.loads(result.out)["totals"]["apiBody"]
    equal((used["limit"], used["limitOf"]), (51200, "Cloud Hypervisor up to v53"))
    assert vm.table_size < used["used"] < vm.table_size + 100, used


def test_does_not_fit_shown_error(folder):
    """what does not fit is shown and is an error"""
    vm = Vm(folder)
    (vm.credentials / "host-api-key").write_text("x" * 61440)
    result = expect(vm.compose(), 1, None,
                    "vmcred: the OEM strings need 61575 bytes of the SMBIOS table, and have 61439 (the whole table "
                    "has 64 KiB, and the hypervisor's own structures need some): the largest is HOST-API-KEY with "
                    "61475 bytes\n")
    assert "  100.1%\n" in result.out, result.out


def test_without_folder_credentials_compose_says_where_they(folder):
    """without a folder of credentials compose says where they come from"""
    vm = Vm(folder)
    expect(harness.vmcred("compose", "test-vm", cwd=folder), 2, "",
           "vmcred: composing the OEM strings of test-vm: there is no folder of credentials: $CREDENTIALS_DIRECTORY "
           "is not set: start it from a unit with LoadCredential=, or give --credentials DIR\n")
    result = harness.vmcred("compose", "test-vm", "--json", cwd=folder,
                            env={"CREDENTIALS_DIRECTORY": str(vm.credentials)})
    expect(result, 0, None, "")


def test_credential_comes_twice_error_both_origins_whichever(folder):
    """a credential that comes twice is an error with both origins, whichever they are"""
    vm = Vm(folder)
    literal = "io.systemd.credential:HOST-API-KEY=x"
    hint = "the guest's systemd would take one and drop the other: rename or remove one"
    expect(vm.compose("--", "qemu-system-x86_64", "-smbios", f"type=11,value={literal}"), 2, "",
           "vmcred: composing the OEM strings of test-vm: the credential HOST-API-KEY comes twice, in the VMM's "
           f"arguments and in credentialFiles: {hint}\n")
    declared = (folder / "vmcred.yaml").read_text()
    (folder / "vmcred.yaml").write_text(declared.replace("ENVIRONMENT=test", f'"{literal}"'))
    result = vm.compose()
    equal(result.code, 2)
    equal(result.err.splitlines()[-1],
          "vmcred: composing the OEM strings of test-vm: the credential HOST-API-KEY comes twice, in platformOEMStrings "
          f"and in credentialFiles: {hint}")


def test_literal_credential_not_base64_says_error_without(folder):
    """a literal credential that is not the Base64 that it says is an error without its value"""
    vm = Vm(folder)
    # What systemd's own decoder takes and refuses.
    for value in ("c2VjcmV0", "c2Vj cmV0", "c2VjcmU=", ""):
        expect(vm.compose("--", "qemu-system-x86_64", "-smbios", f"type=11,value=io.systemd.credential.binary:A={value}"),
               0, None, "")
    for value in ("c2VjcmU", "c2Vjcm", "c2Vjc", "hush!", "c2VjcmU==", "c2VjcmV=", "c2=VjcmU", "===="):
        result = vm.compose("--", "qemu-system-x86_64", "-smbios", f"type=11,value=io.systemd.credential.binary:A={value}")
        equal((result.code, result.out), (2, ""))
        start = ("vmcred: reading the command line of qemu-system-x86_64: the VMM's arguments: the guest's systemd would "
                 "drop the credential A, which says that it is Base64: ")
        equal(result.err[:len(start)], start)
        assert value not in result.err, result.err


def test_compose_names_nearest_vm(folder):
    """compose names the nearest VM"""
    Vm(folder)
    result = harness.vmcred("compose", "test-wm", cwd=folder)
    equal(result.code, 2)
    assert "test-vm" in result.err, result.err


def test_without_folder_credentials_vm_only_optional_ones(folder):
    """without a folder of credentials a VM that has only optional ones is composed, with a warning for each"""
    declaration = folder / "vmcred.yaml"
    declaration.write_text("vms: {v: {credentialFiles: {A: {credential: a, optional: true}}, platformOEMStrings: [X=1]}}\n")
    result = harness.vmcred("compose", "--config", declaration, "v", "--json")
    expect(result, 0, None,
           "vmcred: warning: the optional credential A is left out: $CREDENTIALS_DIRECTORY is not set\n")
    equal([string["credential"] for string in json.loads(result.out)["strings"]], [None])


harness.main()
