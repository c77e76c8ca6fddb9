# SPDX-License-Identifier: Apache-2.0
"""Records what a benchmark measures, for the page that page.py makes. For each comparison, a benchmark calls

    record("Decrypting one value", {"bare: libcrypto": [0.0031, …], "vmcred get": […], "sops decrypt": […]}, {"VMs": 10})

with the seconds of each run, and for what it leaves out

    unmeasured("sops decrypt", "sops is not installed: tools/install-deps --test")

The name of a row gives its role: `vmcred …` is ours, `bare …` is a floor, which is the least that any program must do, and all
others are peers. Comparisons with the same title and different parameters are the points of a growth curve.

$BENCH_RECORD, which bench/meson.build sets, is the file, with a JSON object a line. Without it nothing is recorded."""
import json
import os
import statistics

FILE = os.environ.get("BENCH_RECORD")
if FILE:
    open(FILE, "w", encoding="utf-8").close()  # pylint: disable=consider-using-with


def _append(entry):
    if FILE:
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def role_of(name):
    return {"vmcred": "ours", "bare": "floor"}.get(name.replace(":", " ").split()[0], "peer")


def record(title, seconds, parameters=None, processor=None, memory=None):
    """Returns the rows with the median, the bounds of the middle half, and the ratio to the first row. `processor` and `memory`:
    row → seconds of processor time, and the peak in MiB."""
    rows = []
    for name, values in seconds.items():
        low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        rows.append({"name": name, "role": role_of(name), "unit": "s", "median": median, "low": low, "high": high,
                     "ratio": median / rows[0]["median"] if rows else 1, "runs": len(values)})  # fmt: skip
        for key, extra in (("processor", processor), ("memory", memory)):
            if extra:
                rows[-1][key] = extra[name]
    _append({"title": title, "parameters": parameters or {}, "rows": rows})
    return rows


def unmeasured(what, why):
    print(f"{what} is not measured: {why}", flush=True)
    _append({"unmeasured": what, "why": why})
