# SPDX-License-Identifier: Apache-2.0
"""What vmcred graph writes, in the programs that show it: Graphviz' dot and Chromium. $VMCRED_SCREENSHOTS is a directory
for pictures of the page, to look at."""
import json
import os
import shutil
import xml.etree.ElementTree
from pathlib import Path
from urllib.parse import quote

import harness
from browser import Browser
from example import Example, Fleet
from harness import equal, expect, need, run, vmcred

# Names with the syntax of DOT, of its labels, and of HTML.
HOSTILE = ['"];a->b[label="<b>x<', "<script>alert(1)<", "&amp;\\N\\G\\'%n$", "<img src=x onerror=alert(1)>"]
DECLARATION = json.dumps({
    "machines": {"m": {}},
    "generators": {
        "base": {"share": True, "files": {"key": {"deploy": False}}, "kind": {"key": {"hex": 8}}},
        "made": {"machines": ["m"], "dependencies": ["base"], "files": {"one": {"restartUnits": ["web.service"]}, "two": {}},
                 "kind": {"one": {"hex": 8}, "two": {"hex": 8}}},
    },
    "vms": {
        "v": {"loadCredentials": {"host-one": "made/one", "host-two": "made/two"}, "credentialFiles": {"ONE": "host-one"}},
        "w": {"loadCredentials": {f"c{name}": "made/one" for name in HOSTILE}, "credentialFiles": {name: f"c{name}" for name in HOSTILE}},
    },
})  # fmt: skip
SIZES = {"wide": (1400, 900), "tablet": (820, 1180), "phone": (390, 844)}
ONE = "secret:vars/per-machine/m/made/one/secret"


def graph(store, *words):
    return expect(vmcred("graph", "--config", store.config, *words), 0, None, "").out


def store_of(directory):
    """A user, a missing secret, and a recipient that nobody knows."""
    store = Example(directory, DECLARATION, generate=False)
    key = expect(vmcred("keygen", "--output", directory / "ada")).out.strip()
    expect(vmcred("user", "add", "ada", "--config", store.config, "--age-key", key))
    expect(store.generate())
    shutil.rmtree(directory / "vars/per-machine/m/made/two")
    document = json.loads(store.document("one").read_text())
    document["sops"]["age"].append({"recipient": HOSTILE[3], "enc": document["sops"]["age"][0]["enc"]})
    store.document("one").write_text(json.dumps(document))
    return store


def keep(browser, name):
    directory = os.environ.get("VMCRED_SCREENSHOTS")
    if directory:
        browser.screenshot(Path(directory) / f"{name}.png")


def test_dot(directory):
    """dot draws each node and edge of the graph, with its label as it is, and the zones from left to right"""
    store = store_of(directory)
    model = json.loads(graph(store, "--json"))
    drawing = json.loads(expect(run(need("dot"), "-Tjson0", stdin=graph(store, "--format", "dot")), 0, None, "").out)
    boxes = [box["label"] for box in drawing["objects"] if box["name"].startswith("cluster")]
    equal([zone["title"] for zone in model["zones"] if zone["title"] not in boxes], [])
    zones = {box["label"]: box["bb"].split(",") for box in drawing["objects"] if box["name"].startswith("cluster_z")}
    ends = [float(zones[zone["title"]][side]) for zone in model["zones"] for side in (0, 2)]
    equal(ends, sorted(ends), "from the left end to the right end of each zone")
    equal(len(drawing["edges"]), len(model["edges"]))
    svg = xml.etree.ElementTree.fromstring(graph(store, "--format", "svg"))
    texts = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    equal([node["label"] for node in model["nodes"] if node["label"] not in texts], [])
    equal(texts.count("missing"), len([node for node in model["nodes"] + model["edges"] if node["state"] == "missing"]))
    equal([element.tag for element in svg.iter() if element.tag.endswith(("script", "img", "a"))], [])


def shown(browser):
    """Of each entry: label, state, and what is written below it."""
    return browser.value("""[...document.querySelectorAll(".node")].filter(one => one.checkVisibility()).map(one => ({
        label: one.querySelector(".label").textContent, text: one.innerText, state: one.classList[1]}))""")  # fmt: skip


def test_page(directory):
    """the page shows what the JSON has, at three sizes, in light and dark, and fetches nothing"""
    store = store_of(directory)
    page = directory / "graph.html"
    graph(store, "--output", page)
    model = json.loads(graph(store, "--json"))
    with Browser(directory) as browser:
        for name, (width, height) in SIZES.items():
            for dark in (False, True):
                browser.size(width, height, dark)
                browser.open(page)
                found = shown(browser)
                equal(sorted((one["label"], one["state"]) for one in found),
                      sorted((node["label"], node["state"]) for node in model["nodes"]), name)  # fmt: skip
                for one in found:
                    marked = one["state"] in ("missing", "stale", "orphaned", "unreadable", "unknown")
                    equal(one["text"].rsplit("\n", 1)[-1] == one["state"], marked, f"mark of {one}")
                equal(browser.value("document.documentElement.scrollWidth <= innerWidth"), True, f"{name} fits")
                equal(browser.value("[...document.querySelectorAll('h2')].map(one => one.textContent)"),
                      [zone["title"] for zone in model["zones"]])  # fmt: skip
                keep(browser, f"{name}-dark" if dark else name)
        equal((browser.requests, browser.messages), ([f"file://{page}"] * 6, []))


def test_page_finds(directory):
    """search, filters and a click show what they should, with the keyboard too"""
    store = store_of(directory)
    page = directory / "graph.html"
    graph(store, "--output", page)
    model = {node["id"]: node for node in json.loads(graph(store, "--json"))["nodes"]}

    def labels():
        return sorted(one["label"] for one in shown(browser))

    def fill(name, value):
        browser.value(f"""(document.getElementById("{name}").value = {json.dumps(value)},
            document.getElementById("{name}").dispatchEvent(new Event("input", {{bubbles: true}})))""")

    with Browser(directory) as browser:
        browser.size(*SIZES["wide"])
        # What is not the name of an entry does no harm.
        browser.open(f"{page}#%")
        browser.press("/", "/")
        for letter in "MADE/":
            browser.press(letter, letter)
        equal(labels(), sorted(node["label"] for node in model.values() if "made/" in node["id"] or "made/" in (node["problem"] or "")))
        fill("search", "")
        fill("vm", "v")
        equal(labels(), sorted(node["label"] for node in json.loads(graph(store, "--json", "v"))["nodes"]))
        fill("vm", "")
        fill("machine", "m")
        equal(labels(), sorted(node["label"] for node in json.loads(graph(store, "--json", "m"))["nodes"]))
        fill("machine", "")
        fill("reader", "user:ada")
        assert "made/one" in labels() and "base/key" in labels() and "made/two" not in labels(), labels()
        fill("reader", "")
        browser.value('document.getElementById("marked").click()')
        assert "made/two" in labels() and "base/key" not in labels(), labels()
        browser.value('document.getElementById("marked").click()')
        browser.value('[...document.querySelectorAll("button.node")].find(one => one.innerText.startsWith("base/key")).focus()')
        browser.press("ArrowDown")
        browser.press("Enter", "\r")
        details = browser.value('document.getElementById("details").innerText')
        for text in ("made/one", model[ONE]["facts"]["path"], model[ONE]["problem"], "vmcred fix", HOSTILE[3], "ada"):
            assert text in details, (text, details)
        path = browser.value('[...document.querySelectorAll(".path .label")].map(one => one.textContent)')
        assert {"made", "/run/secrets/vars/made/one", "host-one", "ONE", "web.service"} <= set(path) and "host-two" not in path, path
        assert browser.value('document.querySelectorAll("#lines path").length') > 5
        keep(browser, "selected")
        browser.press("Escape")
        equal(browser.value('document.getElementById("details").hidden'), True)
        browser.value(f"location.hash = {json.dumps('#' + quote(ONE, safe=''))}")
        equal(browser.value('document.querySelector("#details:not([hidden]) h3")?.textContent'), "made/one", "a link into the open page")
        browser.size(1000, 1400, media="print")
        keep(browser, "print")
        equal((browser.requests, browser.messages), ([f"file://{page}"], []))


def test_page_of_many_machines(directory):
    """500 machines with 10 secrets are folded at first, and each entry can be reached"""
    files = [f"f{number}" for number in range(10)]
    generators = f"  app: {{machines: ALL, files: {{{', '.join(f'{name}: {{}}' for name in files)}}}, kind: "
    fleet = Fleet(directory, 500, generators + f"{{{', '.join(f'{name}: {{hex: 8}}' for name in files)}}}}}\n")
    page = directory / "graph.html"
    graph(fleet, "--output", page)
    with Browser(directory) as browser:
        browser.size(*SIZES["wide"])
        browser.open(f"{page}#{quote('machine:m7', safe='')}")
        equal(browser.value('document.querySelector("#details h3").textContent'), "m7")
        browser.press("Escape")
        found = shown(browser)
        equal([one["text"] for one in found if one["label"].startswith("app/")], [f"app/{name} ×500\n500 missing" for name in files])
        assert browser.value('document.querySelectorAll("*").length') < 1000
        keep(browser, "many")
        browser.value('document.querySelector(".storage .group > summary").click()')
        equal(len([one for one in shown(browser) if one["label"] == "app/f0"]), 100)
        browser.value('document.querySelector(".storage .group .more").click()')
        equal(len([one for one in shown(browser) if one["label"] == "app/f0"]), 200)
        browser.value('document.getElementById("search").value = "m499/"')
        browser.value('document.getElementById("search").dispatchEvent(new Event("input", {bubbles: true}))')
        equal([one["text"] for one in shown(browser) if one["label"].startswith("app/")], [f"{name}\nm499\nmissing" for name in map("app/{}".format, files)])
        keep(browser, "many-search")
        equal(browser.messages, [])


if __name__ == "__main__":
    harness.main()
