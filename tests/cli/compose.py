# SPDX-License-Identifier: Apache-2.0
"""vmcred compose: names, sizes and limits, and never a value."""
import json

import harness
from harness import equal, expect, fails
from vm import Vm, canary


def test_compose_shows_no_value(directory):
    """compose shows names, origins, encodings, sizes and shares, and no value"""
    vm = Vm(directory)
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


def test_compose_json(directory):
    """compose --json prints the same as JSON"""
    vm = Vm(directory)
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


def test_compose_measures_the_api_request(directory):
    """for Cloud Hypervisor compose also measures the API request"""
    vm = Vm(directory)
    result = expect(vm.compose("--json", "--", "cloud-hypervisor", "--kernel", "/k"), 0, None, "")
    used = json.loads(result.out)["totals"]["apiBody"]
    equal((used["limit"], used["limitOf"]), (51200, "Cloud Hypervisor up to v53"))
    assert vm.table_size < used["used"] < vm.table_size + 100, used


def test_too_large_list_is_printed_and_is_an_error(directory):
    """a list that does not fit is printed, and is an error"""
    vm = Vm(directory)
    (vm.credentials / "host-api-key").write_text("x" * 61440)
    result = expect(vm.compose(), 1)
    assert "61575 bytes" in result.err and "  100.1%\n" in result.out, result


def test_missing_credentials_directory(directory):
    """without a directory of credentials the error says how to give one"""
    vm = Vm(directory)
    fails(harness.vmcred("compose", "test-vm", cwd=directory), 2, "$CREDENTIALS_DIRECTORY", "--credentials DIRECTORY")
    result = harness.vmcred("compose", "test-vm", "--json", cwd=directory,
                            env={"CREDENTIALS_DIRECTORY": str(vm.credentials)})
    expect(result, 0, None, "")


def test_duplicate_credential_is_an_error(directory):
    """a duplicate credential is an error that names both origins"""
    vm = Vm(directory)
    literal = "io.systemd.credential:HOST-API-KEY=x"
    fails(vm.compose("--", "qemu-system-x86_64", "-smbios", f"type=11,value={literal}"), 2, "HOST-API-KEY",
          "the VMM's arguments", "credentialFiles")
    declared = (directory / "vmcred.yaml").read_text()
    (directory / "vmcred.yaml").write_text(declared.replace("ENVIRONMENT=test", f'"{literal}"'))
    result = vm.compose()
    equal(result.code, 2)
    assert "in platformOEMStrings and in credentialFiles" in result.err.splitlines()[-1], result.err


def test_invalid_base64_is_not_shown(directory):
    """a literal credential with invalid Base64 is an error that does not show its value"""
    vm = Vm(directory)
    # As systemd's own decoder.
    for value in ("c2VjcmV0", "c2Vj cmV0", "c2VjcmU=", ""):
        expect(vm.compose("--", "qemu-system-x86_64", "-smbios", f"type=11,value=io.systemd.credential.binary:A={value}"),
               0, None, "")
    for value in ("c2VjcmU", "c2Vjcm", "c2Vjc", "hush!", "c2VjcmU==", "c2VjcmV=", "c2=VjcmU", "===="):
        result = vm.compose("--", "qemu-system-x86_64", "-smbios", f"type=11,value=io.systemd.credential.binary:A={value}")
        fails(result, 2, "qemu-system-x86_64", "credential A", "Base64")
        assert value not in result.err, result.err


def test_unknown_vm_gets_a_suggestion(directory):
    """the error for an unknown VM names the nearest one"""
    Vm(directory)
    result = harness.vmcred("compose", "test-wm", cwd=directory)
    equal(result.code, 2)
    assert "test-vm" in result.err, result.err


def test_optional_credentials_need_no_directory(directory):
    """without a directory of credentials a VM with only optional ones is composed, with a warning for each"""
    declaration = directory / "vmcred.yaml"
    declaration.write_text("vms: {v: {credentialFiles: {A: {credential: a, optional: true}}, platformOEMStrings: [X=1]}}\n")
    result = harness.vmcred("compose", "--config", declaration, "v", "--json")
    expect(result, 0, None,
           "vmcred: warning: optional credential A is skipped: $CREDENTIALS_DIRECTORY is not set\n")
    equal([string["credential"] for string in json.loads(result.out)["strings"]], [None])


harness.main()
