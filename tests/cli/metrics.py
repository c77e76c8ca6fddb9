# SPDX-License-Identifier: Apache-2.0
"""metrics: Prometheus' own promtool accepts them, and the example's alert rules fire when they should."""
import json
import os
import re

import harness
from example import DECLARATION, Example, other_end
from harness import SOURCE, equal, expect, fails, need, need_root, run, vmcred
from systemctl import Systemctl, now_us

UNIT = "microvm@m.service"
RULES = SOURCE / "examples/monitoring/vmcred.rules.yml"
SAMPLE = re.compile(r"^(\w+(?:\{.*\})?) (\S+)$", re.M)

HEALTHY = """\
# HELP vmcred_build_info The version of vmcred.
# TYPE vmcred_build_info gauge
vmcred_build_info{version="VERSION"} 1
# HELP vmcred_vms VMs by the state of their units.
# TYPE vmcred_vms gauge
vmcred_vms{state="active"} 1
vmcred_vms{state="activating"} 0
vmcred_vms{state="reloading"} 0
vmcred_vms{state="deactivating"} 0
vmcred_vms{state="failed"} 0
vmcred_vms{state="inactive"} 0
vmcred_vms{state="unknown"} 0
# HELP vmcred_credentials Credentials of all VMs by state; see vmcred status.
# TYPE vmcred_credentials gauge
vmcred_credentials{state="current"} 2
vmcred_credentials{state="ready"} 0
vmcred_credentials{state="absent"} 0
vmcred_credentials{state="elsewhere"} 0
vmcred_credentials{state="unknown"} 0
vmcred_credentials{state="missing"} 0
vmcred_credentials{state="stale"} 0
# HELP vmcred_vm_stale_credentials Credentials of which the VM has an old value.
# TYPE vmcred_vm_stale_credentials gauge
vmcred_vm_stale_credentials{vm="m"} 0
# HELP vmcred_vm_missing_credentials Credentials that the VM does not have, or would not get.
# TYPE vmcred_vm_missing_credentials gauge
vmcred_vm_missing_credentials{vm="m"} 0
# HELP vmcred_vm_delivery_rejected Whether the guest reported that its credentials did not arrive whole.
# TYPE vmcred_vm_delivery_rejected gauge
vmcred_vm_delivery_rejected{vm="m"} 0
# HELP vmcred_vm_declaration_invalid Whether the VM's entry in the declaration has an error.
# TYPE vmcred_vm_declaration_invalid gauge
vmcred_vm_declaration_invalid{vm="m"} 0
# HELP vmcred_pending_units Units that were not restarted or reloaded since a secret changed.
# TYPE vmcred_pending_units gauge
vmcred_pending_units 0
# HELP vmcred_activation_timestamp_seconds When a phase was last activated since the boot.
# TYPE vmcred_activation_timestamp_seconds gauge
vmcred_activation_timestamp_seconds{needed_for="services"} TIME
# HELP vmcred_activation_secrets Secrets of the current generation.
# TYPE vmcred_activation_secrets gauge
vmcred_activation_secrets{needed_for="services"} 2
# HELP vmcred_activation_failed_secrets Secrets that the last activation could not decrypt.
# TYPE vmcred_activation_failed_secrets gauge
vmcred_activation_failed_secrets{needed_for="services"} 0
# HELP vmcred_secrets Files of the store by the result of vmcred check.
# TYPE vmcred_secrets gauge
vmcred_secrets{state="fine"} 2
vmcred_secrets{state="missing"} 0
vmcred_secrets{state="outdated"} 0
vmcred_secrets{state="readers"} 0
vmcred_secrets{state="expired"} 0
vmcred_secrets{state="overdue"} 0
vmcred_secrets{state="no-key"} 0
vmcred_secrets{state="no-name"} 0
vmcred_secrets{state="unreadable"} 0
# HELP vmcred_secret_oldest_timestamp_seconds When the oldest secret got its value.
# TYPE vmcred_secret_oldest_timestamp_seconds gauge
vmcred_secret_oldest_timestamp_seconds TIME
# EOF
"""


class Host:
    """A host whose VM m was started after the activation."""

    def __init__(self, directory):
        self.example = Example(directory)
        self.systemctl = Systemctl(directory)
        expect(self.example.activate())
        loaded = self.example.root / "run/credentials" / UNIT
        loaded.mkdir(parents=True)
        for name in ("one", "two"):
            (loaded / f"host-{name}").write_bytes(self.example.active(name).read_bytes())
        self.systemctl.unit(UNIT, started=now_us())

    def metrics(self, *words, root=True, **options):
        words = (*words, "--root", self.example.root) if root else words
        return run(harness.VMCRED, "metrics", "--config", self.example.config, *words, env=self.systemctl.env, **options)

    def value(self, name):
        samples = dict(SAMPLE.findall(expect(self.metrics(), 0, None, "").out))
        return int(samples[f"vmcred_{name}"])

    def journalctl(self, script):
        harness.write_program(self.systemctl.directory / "bin" / "journalctl", f"#!/bin/sh\n{script}\n")


def masked(text):
    return re.sub(r"(_timestamp_seconds\S*) \d{10}$", r"\1 TIME", text, flags=re.M).replace(harness.VERSION, "VERSION")


def test_whole_output(directory):
    """the output has each metric of a host, and promtool finds nothing wrong with it"""
    host = Host(directory)
    result = expect(host.metrics(), 0, None, "")
    equal(masked(result.out), HEALTHY)
    expect(run(need("promtool"), "check", "metrics", stdin=result.out), 0, "", "")


def test_faults(directory):
    """each fault changes its metric: an old value, a missing secret, a failed unit, an activation that failed"""
    host = Host(directory)
    expect(vmcred("set", "--config", host.example.config, "m", "made/one", stdin=other_end(host.example.get("one").out)))
    expect(host.example.activate())
    equal([host.value('vm_stale_credentials{vm="m"}'), host.value("pending_units")], [1, 1])
    (host.example.root / "run/credentials" / UNIT / "host-two").unlink()
    equal(host.value('vm_missing_credentials{vm="m"}'), 1)
    host.systemctl.unit(UNIT, "failed", "failed")
    equal(host.value('vms{state="failed"}'), 1)
    host.example.document("one").write_text("")
    expect(host.example.activate(), 1, None, None)
    equal([host.value('activation_failed_secrets{needed_for="services"}'), host.value('secrets{state="unreadable"}')], [1, 1])
    host.example.document("one").unlink()
    equal(host.value('secrets{state="missing"}'), 1)
    (host.systemctl.directory / "running").unlink()
    equal(host.value('vms{state="unknown"}'), 1)
    host.example.config.write_text(DECLARATION.replace("ENVIRONMENT=test", "{}"))
    equal(host.value('vm_declaration_invalid{vm="m"}'), 1)


def test_oldest_secret(directory):
    """the oldest secret's time is that of the document whose value was set first"""
    host = Host(directory)
    document = json.loads(host.example.document("two").read_text())
    document["sops"]["lastmodified"] = "2001-09-09T01:46:40Z"
    host.example.document("two").write_text(json.dumps(document))
    equal(host.value("secret_oldest_timestamp_seconds"), 1000000000)


def test_refusals(directory):
    """refused requests are counted in the journal, but for entries that another user may have forged; without a journal, or for another user than root, the metric is missing"""
    need_root()
    host = Host(directory)
    host.journalctl(f"echo \"$*\" >{directory}/call; case \" $* \" in *' _UID=0 '*) ;; *) echo refused ;; esac; printf 'refused\\nhung-up\\nrefused\\n'")
    found = dict(SAMPLE.findall(expect(host.metrics(root=False), 0, None, "").out))
    equal([found[f'vmcred_refused_requests{{result="{name}"}}'] for name in ("refused", "hung-up", "turned-away")], ["2", "1", "0"])
    assert "MESSAGE_ID=f3c6921f2a4d45e0a089c0cc3b36f133" in (directory / "call").read_text()
    host.journalctl("exit 1")
    assert "refused_requests" not in expect(host.metrics(root=False), 0, None, "").out
    host.journalctl("exit 0")
    (host.systemctl.directory / "running").unlink()
    assert "refused_requests" not in expect(host.metrics(root=False), 0, None, "").out


def test_output_file(directory):
    """--output replaces the file in one step, readable for the collector's user whatever the umask; an error leaves the old one"""
    host = Host(directory)
    file = directory / "collector" / "vmcred.prom"
    file.parent.mkdir()
    before = os.umask(0o077)
    expect(host.metrics("--output", file), 0, "", "")
    os.umask(before)
    equal((masked(file.read_text()), file.stat().st_mode & 0o777, os.listdir(file.parent)), (HEALTHY, 0o644, ["vmcred.prom"]))
    inode = file.stat().st_ino
    expect(host.metrics("--output", file), 0, "", "")
    assert file.stat().st_ino != inode
    host.example.config.write_text("vms: [\n")
    fails(host.metrics("--output", file), 2, "vmcred.yaml")
    equal(masked(file.read_text()), HEALTHY)


def alerts(directory, text, **changed):
    """The alerts that fire when the metrics stay as they are for two hours, except the `changed` ones: NAME=VALUES."""
    series = dict(SAMPLE.findall(text)) | {'node_textfile_mtime_seconds{file="/x/vmcred.prom"}': "0+60"}
    lines = {name: f"{value}x150" if "+" in value else f"{value}+0x150" for name, value in series.items()} | changed
    names = re.findall(r"alert: (\w+)", RULES.read_text())
    fired = []
    for name in names:
        test = {"rule_files": [str(RULES)], "tests": [{
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in lines.items()],
            "alert_rule_test": [{"alertname": name, "eval_time": "2h", "exp_alerts": []}],
        }]}  # fmt: skip
        (directory / "test.yml").write_text(json.dumps(test))
        if run(need("promtool"), "test", "rules", directory / "test.yml").code != 0:
            fired.append(name)
    return names, fired


def test_alert_rules(directory):
    """promtool accepts the alert rules; none fires on a healthy host, and each one does for its fault"""
    expect(run(need("promtool"), "check", "rules", "--lint-fatal", RULES), 0, None, None)
    host = Host(directory)
    healthy = expect(host.metrics(), 0, None, "").out
    names, fired = alerts(directory, healthy)
    equal(fired, [])
    faults = {
        'vmcred_vm_stale_credentials{vm="m"}': "1+0x150", 'vmcred_vm_missing_credentials{vm="m"}': "1+0x150",
        'vmcred_vm_delivery_rejected{vm="m"}': "1+0x150", 'vmcred_vm_declaration_invalid{vm="m"}': "1+0x150", 'vmcred_vms{state="failed"}': "1+0x150", 'vmcred_vms{state="unknown"}': "1+0x150",
        'vmcred_activation_failed_secrets{needed_for="services"}': "1+0x150", 'vmcred_secrets{state="readers"}': "1+0x150",
        'vmcred_secrets{state="overdue"}': "1+0x150", "vmcred_certificate_first_expiry_timestamp_seconds": "600000+0x150",
        'vmcred_refused_requests{result="refused"}': "0+1x150", 'node_textfile_mtime_seconds{file="/x/vmcred.prom"}': "0+0x150",
    }  # fmt: skip
    equal(alerts(directory, healthy, **faults)[1], names)


def test_rules_and_manual_use_known_metrics(directory):
    """the alert rules and the manual page name no metric that the program does not print, and the manual names all of them"""
    printed = set(re.findall(r"TYPE vmcred_(\w+)", expect(Host(directory).metrics(), 0, None, "").out))
    named = set(re.findall(r'"([a-z_]+_seconds|[a-z]+_requests)"', (SOURCE / "src/cli/vmcred/metrics.c").read_text()))
    page = (SOURCE / "docs/vmcred-inspect.1.scd").read_text().replace("\\", "").split("# METRICS\n")[1].split("\n# ")[0]
    manual = set(re.findall(r"\*vmcred_(\w+)\*", page))
    equal(manual, printed | named)
    rules = "".join(line for line in RULES.read_text().splitlines() if "expr:" in line)
    equal(set(re.findall(r"vmcred_(\w+)", rules)) - manual, set())


if __name__ == "__main__":
    harness.main()
