# SPDX-License-Identifier: Apache-2.0
"""The page of `make bench`, in Chromium. argv[1] to argv[3] are the bare programs of bench/growth.py. $VMCRED_SCREENSHOTS is a
directory for pictures of the page, to look at."""
import json
import os
import sys
from pathlib import Path

import harness
from browser import Browser
from harness import SOURCE, equal, expect, run

HOSTILE = "<img src=x onerror=alert(1)>&amp;"
SIZES = {"wide": (1400, 900), "tablet": (820, 1180), "phone": (390, 844)}
# Calls record() and unmeasured() as a benchmark does.
BENCHMARK = f"""
from record import record, unmeasured
record("Decrypting a value", {{"bare: libcrypto": [0.003, 0.0032, 0.0031], "vmcred get": [0.004, 0.0041, 0.0043], "sops": [0.0251, 0.024, 0.026]}})
record({HOSTILE!r}, {{"sops, once": [1234.5678], "vmcred": [0.00041, 0.0004], {HOSTILE!r}: [3.25, 2.25]}}, {{"files": 10000}},
       {{"sops, once": 1000, "vmcred": 0.0003, {HOSTILE!r}: 3}}, {{"sops, once": 100.25, "vmcred": 3.5, {HOSTILE!r}: 99}})
record("A task that vmcred does once", {{"sops, for each file": [8123.5], "vmcred": [0.00021]}})
record("Other commands", {{"vmcred list": [0.05], "vmcred get": [0.005]}})
unmeasured("age", "it is not installed")
"""
NUMBERS = """[...document.querySelectorAll("#growth tbody tr, #comparisons tbody tr")].map(row => ({
    title: row.closest("article").querySelector("h3").textContent, name: row.querySelector("th").textContent,
    numbers: [...row.querySelectorAll("data")].map(one => [Number(one.value), one.textContent])}))"""
# Pairs of labels of an axis that overlap.
OVERLAPS = """[...document.querySelectorAll("thead .plot, .chart")].flatMap(axis => {
    const labels = [...axis.querySelectorAll("span, text")].map(one => [one.textContent, one.getBoundingClientRect()]).filter(one => one[1].width)
    return labels.flatMap(([text, a], at) => labels.slice(at + 1).filter(([, b]) =>
        a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom).map(([other]) => text + " " + other))})"""
UNITS = {"s": 1, "ms": 1e-3, "µs": 1e-6, "MiB": 1, "×": 1, "": 1}


def build_of(directory, results):
    """A build directory after `meson test --benchmark`."""
    build = directory / "build"
    for name in ("bench", "meson-info", "meson-logs"):
        (build / name).mkdir(parents=True)
    (build / "meson-info/intro-benchmarks.json").write_text(json.dumps([{"name": name} for name in results]))
    log = [json.dumps({"name": name, "result": result}) for name, result in results.items() if result]
    (build / "meson-logs/bench.json").write_text("\n".join(log))
    return build


def benchmark(build, name, *command, **env):
    env |= {"BENCH_RECORD": str(build / "bench" / f"{name}.jsonl"), "VMCRED": harness.VMCRED, "VMCRED_SOURCE": str(SOURCE)}
    expect(run(sys.executable, *command, env=env | {"PYTHONPATH": f"{SOURCE / 'bench'}:{SOURCE / 'tests/lib'}"}))


def page_of(build):
    expect(run(sys.executable, SOURCE / "bench/page.py", build))
    return json.loads((build / "bench.json").read_text())


def text_value(text):
    """The number that a reader sees."""
    if text.startswith("1/"):
        return 1 / float(text[2:].replace(",", ""))
    number = text.rstrip("MiBsmµ× ")
    return float(number.replace(",", "")) * UNITS[text[len(number):].strip()]


def rows_of(comparisons):
    """The rows that the page must have: title, name, numbers."""
    counts = {}
    for one in comparisons:
        counts[one["title"]] = counts.get(one["title"], 0) + 1
    for one in comparisons:
        for row in one["rows"]:
            grown = [one["parameters"]["VMs"]] if counts[one["title"]] > 1 else []
            ratio = [] if one["title"] == "Other commands" else ["ratio"]
            keys = ["median", "low", "high", *(key for key in ("processor", "memory") if key in row), *ratio, "runs"]
            yield one["title"], row["name"], grown + [row[key] for key in keys]


def same_numbers(browser, model):
    found = browser.value(NUMBERS)
    rows = [(one["title"].partition(", 10,000 files")[0], one["name"], [number for number, _ in one["numbers"]]) for one in found]
    equal(sorted(rows), sorted(rows_of(model["comparisons"])))
    for one in found:
        for number, text in one["numbers"]:
            assert abs(text_value(text) - number) <= 0.006 * number, f"{text} is not {number}: {one}"


def test_page_of_benchmarks(directory):
    """the page of the benchmarks has the numbers of the run, at three sizes, in light and dark, and fetches nothing"""
    build = build_of(directory, {"one": "OK", "growth": "OK", "slow": "TIMEOUT", "none": None, "skipped": "SKIP"})
    benchmark(build, "one", "-c", BENCHMARK)
    benchmark(build, "growth", SOURCE / "bench/growth.py", *sys.argv[1:4], BENCH_COUNTS="10 100", BENCH_ROUNDS="2")
    model = page_of(build)
    curves = {one["title"] for one in model["comparisons"] if one["benchmark"] == "growth"}
    equal(len(curves), 5)
    page = build / "bench.html"
    with Browser(directory) as browser:
        for name, (width, height) in SIZES.items():
            for dark in (False, True):
                browser.size(width, height, dark)
                browser.open(page)
                same_numbers(browser, model)
                equal(browser.value("document.documentElement.scrollWidth <= innerWidth"), True, f"{name} fits")
                equal(browser.value("[...document.querySelectorAll('.chart')].map(one => one.querySelectorAll('polyline').length)"), [3, 3, 2, 3, 3])
                equal(browser.value("[...document.querySelectorAll('#unmeasured li')].map(one => one.textContent)"), [
                    "age: it is not installed", "slow: the benchmark exceeded its time limit",
                    "none: the benchmark was not run"])  # fmt: skip
                equal(browser.value(OVERLAPS), [], f"{name}: overlapping labels")
                # Each number is visible, and so is where and when it was measured.
                equal(browser.value("[...document.querySelectorAll('data, dd')].filter(one => !one.checkVisibility() || !one.textContent).length"), 0)
                equal(browser.value("[...document.querySelectorAll('dt')].map(one => one.textContent)"), list(model["facts"]))
                if "VMCRED_SCREENSHOTS" in os.environ:
                    browser.size(width, browser.value("document.documentElement.scrollHeight"), dark)
                    browser.screenshot(Path(os.environ["VMCRED_SCREENSHOTS"]) / f"bench-{name}{'-dark' * dark}.png")
        equal((browser.requests, browser.messages), ([f"file://{page}"] * 6, []))


def test_page_ratios(directory):
    """each ratio of vmcred to a peer and a floor is on the page once, and its dot is where the axis says"""
    build = build_of(directory, {"one": "OK"})
    benchmark(build, "one", "-c", BENCHMARK)
    page_of(build)
    with Browser(directory) as browser:
        browser.size(*SIZES["wide"])
        browser.open(build / "bench.html")
        found = browser.value("""[...document.querySelectorAll("#ratios tbody tr")].map(row => [row.cells[3].innerText, row.cells[2].innerText,
            Number(row.querySelector("data").value), parseFloat(row.querySelector("u").style.left)])""")
        axis = dict(browser.value("""[...document.querySelectorAll("#ratios thead span")].map(one => [one.innerText, parseFloat(one.style.left)])"""))
        expected = [("peer", "sops, for each file", 0.00021 / 8123.5), ("peer", "sops, once", 0.000405 / 1234.5678), ("peer", HOSTILE, 0.000405 / 2.75), ("peer", "sops", 0.0041 / 0.0251),
                    ("floor", "bare: libcrypto", 0.0041 / 0.0031)]  # fmt: skip
        equal([(role, name, round(ratio, 12)) for role, name, ratio, _ in found], [(role, name, round(ratio, 12)) for role, name, ratio in expected])
        places = [place for *_, place in found]
        equal(places, sorted(places))
        assert axis["1/10⁴"] < places[2] < axis["1/100"] < places[3] < axis["1×"] < places[4], (axis, places)


def test_markdown_of_benchmarks(directory):
    """page.py --markdown replaces the tables of a document and keeps its text"""
    build = build_of(directory, {"one": "OK"})
    benchmark(build, "one", "-c", BENCHMARK)
    page_of(build)
    document = directory / "performance.md"
    document.write_text((SOURCE / "docs/performance.md").read_text())
    before = document.read_text().partition("<!--")[0]
    for _ in range(2):
        expect(run(sys.executable, SOURCE / "bench/page.py", "--markdown", build, document), 0, "", "")
        text = document.read_text()
        equal(text.partition("<!--")[0], before)
        equal(text.count("| vmcred get | 4.10 ms | 4.05 ms – 4.20 ms | 1.32× |"), 1)
        assert "Decrypting a value" in text and "age: it is not installed" in text, text


if __name__ == "__main__":
    harness.main()
