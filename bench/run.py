# SPDX-License-Identifier: Apache-2.0
"""A run of `make bench`: what the benchmarks recorded, which of them failed, and where they ran."""
import datetime
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
VERSIONS = {
    "sops": ["--version", "--disable-version-check"], "age": ["--version"], "sops-install-secrets": None, "cloud-hypervisor": ["--version"],
    "etcd": ["--version"], "openssl": ["version"],
}  # fmt: skip
FAILURES = {"FAIL": "failed", "ERROR": "failed", "TIMEOUT": "exceeded its time limit", "INTERRUPT": "was interrupted", None: "was not run"}


def first_line(*command):
    try:
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return (done.stdout.strip().splitlines() or [None])[0] if done.returncode == 0 else None


def fields(path, separator):
    """The last line of each name."""
    lines = (line.partition(separator) for line in Path(path).read_text(encoding="utf-8").splitlines())
    return {name.strip(): value.strip(' \t"') for name, _, value in lines}


def read_json(path, otherwise):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else otherwise


def version(program, words):
    if not shutil.which(program):
        return "not installed"
    found = re.search(r"\d+\.[\d.]+\S*", first_line(program, *words) or "" if words else "")
    return found.group() if found else "unknown version"


def facts(build):
    options = {option["name"]: option["value"] for option in read_json(build / "meson-info/intro-buildoptions.json", [])}
    compiler = [word for word in shlex.split(read_json(build / "compile_commands.json", [{"command": "cc"}])[0]["command"]) if "ccache" not in word]
    load = build / "bench/loadavg"
    return {
        "Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "vmcred": f"{(SOURCE / 'VERSION').read_text().strip()}, commit {first_line('git', 'describe', '--always', '--dirty') or 'unknown'}",
        "Processor": f"{fields('/proc/cpuinfo', ':').get('model name', platform.machine())}, {len(os.sched_getaffinity(0))} cores",
        "Load before": f"{load.read_text().split()[0]} processes on average" if load.exists() else "unknown",
        "Memory": f"{int(fields('/proc/meminfo', ':')['MemTotal'].split()[0]) / 2**20:.1f} GiB",
        "Virtualization": first_line("systemd-detect-virt", "--vm") or "none, or unknown",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Distribution": fields("/etc/os-release", "=").get("PRETTY_NAME", "unknown"),
        "Compiler": f"{first_line(compiler[0], '--version')}, build type {options.get('buildtype', 'unknown')}",
    } | {program: version(program, words) for program, words in VERSIONS.items()}  # fmt: skip


def collect(build):
    """The run: where it ran, its comparisons, and what was not measured."""
    log = build / "meson-logs/bench.json"
    results = {one["name"]: one["result"] for one in map(json.loads, log.read_text(encoding="utf-8").splitlines())} if log.exists() else {}
    comparisons, unmeasured = [], []
    for name in [one["name"] for one in read_json(build / "meson-info/intro-benchmarks.json", [])]:
        file = build / "bench" / f"{name}.jsonl"
        for entry in map(json.loads, file.read_text(encoding="utf-8").splitlines() if file.exists() else []):
            (comparisons if "rows" in entry else unmeasured).append({"benchmark": name} | entry)
        if results.get(name) in FAILURES:
            unmeasured.append({"benchmark": name, "unmeasured": name, "why": f"the benchmark {FAILURES[results.get(name)]}"})
    return {"facts": facts(build), "unmeasured": unmeasured, "comparisons": comparisons}
