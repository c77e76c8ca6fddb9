# SPDX-License-Identifier: Apache-2.0
"""Every option and every key of Cloud Hypervisor's command line gives the same VM with vmcred as without.

The command lines are in cloud_hypervisor_lines.json, each with vmcred's request. With the real program:
    boots      vm.info of a VM from its own command line equals that of one started by `vmcred run`
    config     the line cannot boot everywhere (a device or a server for a socket is missing): the whole configuration that
               the program logs before it boots is compared
    request    the line does not get that far: the logged request to create the VM is compared
    sent       the usual builds do not have the option, or refuse the VM: only vmcred's request is checked
OEM strings, random MAC addresses and the numbers of descriptors are ignored. Without the real program vmcred's requests
are still checked. After a change of the lines run this script with VMCRED_RECORD=1, and read the difference.
"""
import json
import os
import re
import shlex
import shutil
import sys

import harness
from harness import SOURCE, Skip, equal, expect, test
from cloud_hypervisor_vm import Guest, need_cloud_hypervisor

sys.path.append(str(SOURCE / "tests/cli"))
from cloud_hypervisor_api import VM_CONFIG, check  # pylint: disable=wrong-import-position

FILE = SOURCE / "tests/interop/cloud_hypervisor_lines.json"
TRANSLATE = os.environ["VMCRED_CLOUD_HYPERVISOR"]


def words_of(line):
    return shlex.split(line)


def translated(line):
    result = expect(harness.run(TRANSLATE, *words_of(line)), 0, err="")
    return json.loads(result.out)


LINES = json.loads(FILE.read_text())


def used(line):
    """The options of a line, and "option key" for each key."""
    names, option = set(), None
    for word in words_of(line):
        if word.startswith("--"):
            option, _, word = word[2:].partition("=")
            names.add(option)
        if option in KEYED:
            # Also the keys in a list of items; quoted values have none.
            for key in re.findall(r"(?:^|[,:\[])(\w+)(?==|,|$)", re.sub(r'"[^"]*"', "", word)):
                names.add(f"{option} {key}")
    return names


ROWS = [line.split("\t") for line in harness.run(TRANSLATE).out.splitlines()]
KEYED = {row[0].split(" ")[0] for row in ROWS if " " in row[0]}


def test_each_row_of_the_tables_is_used(_directory):
    """each row of the tables is used in a command line, or in one that is refused"""
    exercised = set().union(*(used(line["line"]) for line in LINES["lines"] + LINES["refused"]))
    equal(sorted({row[0] for row in ROWS} - exercised), [])
    assert len(LINES["lines"]) >= 60, len(LINES["lines"])


def test_each_command_line_gives_the_recorded_request(_directory):
    """each command line gives the recorded request"""
    got = [{**line, "sent": translated(line["line"])} for line in LINES["lines"]]
    if os.environ.get("VMCRED_RECORD"):
        record(got)
    equal(got, LINES["lines"])


def test_error_for_a_refused_line_names_its_option(_directory):
    """the error for each refused line names its option"""
    for line in LINES["refused"]:
        result = expect(harness.run(TRANSLATE, *words_of(line["line"])), 2, "")
        assert line["names"] in result.err, (line, result.err)


def test_stand_in_accepts_each_request(_directory):
    """each request has the form that the strict stand-in of the other tests requires"""
    for line in LINES["lines"]:
        if line["real"] in SENTENCES:
            equal((line["line"], check(line["sent"]["vm"], VM_CONFIG, "config")), (line["line"], None))


def record(lines):
    """Writes a line of the file for each line and each sent member."""
    text = []
    for line in lines:
        members = ",\n".join(f"      {json.dumps(name)}: {json.dumps(value, sort_keys=True)}"
                             for name, value in line["sent"]["vm"].items())
        text.append(f'   {{"line": {json.dumps(line["line"])}, "real": "{line["real"]}",\n'
                    f'    "sent": {{"command": {json.dumps(line["sent"]["command"])}, "vm": {{\n{members}}}}}}}')
    refused = ",\n".join(f'   {{"line": {json.dumps(line["line"])},\n    "names": {json.dumps(line["names"])}}}'
                         for line in LINES["refused"])
    FILE.write_text('{"lines": [\n' + ",\n".join(text) + '],\n "refused": [\n' + refused + "]}\n")


def test_tables_have_every_option_of_the_help(_directory):
    """the tables have every option and key of the program's own help"""
    if not shutil.which("cloud-hypervisor"):
        raise Skip("cloud-hypervisor is not on the PATH")
    known = {row[0] for row in ROWS}
    option = None
    for line in harness.run("cloud-hypervisor", "--help").out.splitlines():
        if match := re.match(r"\s+(?:-\w, )?--([\w-]+)", line):
            option = match[1]
            assert option in known, option
        elif option in KEYED:
            for key in re.findall(r"[\",|]([a-z_0-9]+)=", line):
                assert f"{option} {key}" in known, f"{option} {key}"


LOGGED = {
    "config": r"Booting VM from config: Mutex { data: (.*), poisoned",
    "request": r"API request event: VmCreate (VmConfig .*)",
}
SENTENCES = {
    "boots": "is the same VM",
    "config": "has the same configuration before it boots",
    "request": "is the same request",
}


def compare(line):
    def body(directory):
        need_cloud_hypervisor()
        guest = Guest(directory)
        if line["real"] == "boots":
            plain, ours = guest.info(line["line"])
        else:
            plain, ours = guest.logged(line["line"], LOGGED[line["real"]])
        equal(ours, plain, "the VM")
    return body


for entry in LINES["lines"]:
    if entry["real"] in SENTENCES:
        test(f"{entry['line']} {SENTENCES[entry['real']]}")(compare(entry))

harness.main()
