# SPDX-License-Identifier: Apache-2.0
"""graph draws what is declared, stored and on the host, in several formats. What is wrong is marked; no value is shown."""
import hashlib
import html.parser
import json
import re
import shutil

import canary
import harness
from bundles import Repository
from example import AS_NOBODY, Example, Fleet, Team, other_end, program_for_all
from harness import equal, expect, fails, need_root, run, vmcred
from systemctl import Systemctl, now_us

DECLARATION = """\
sops: {defaultGroups: [admins]}
machines: {m: {}, n: {}}
generators:
  base:
    share: true
    machines: [m, n]
    files: {key: {deploy: false}, cert: {secret: false}}
    kind: {key: {hex: 8}, cert: {hex: 4}}
  made:
    machines: [m]
    dependencies: [base]
    files: {one: {restartUnits: [web.service], reloadUnits: [proxy.service]}, two: {neededFor: users}}
    kind: {one: {hex: 16}, two: {hex: 16}}
vms:
  v:
    machine: m
    loadCredentials: {host-one: made/one, tls: /etc/tls}
    credentialFiles: {ONE: host-one, TLS: {credential: tls, optional: true}}
    platformOEMStrings: [ENVIRONMENT=test]
  w:
    machine: n
    credentialSource: socket
    loadCredentials: {cert: base/cert}
"""

ONE, TWO = "vars/per-machine/m/made/one/secret", "vars/per-machine/m/made/two/secret"
KEY, CERT = "vars/shared/base/key/secret", "vars/shared/base/cert/value"

PICTURE = """\
flowchart LR
  subgraph z0 ["encrypted storage"]
    n0[["made"]]
    n1(["m"])
    n10[("made/one<br/>m")]
    n11[("made/two<br/>m<br/>missing")]:::missing
    n12(["ada"])
  end
  subgraph z1 ["host run time"]
    subgraph c7 ["m"]
      n6["/run/secrets/vars/made/one"]
    end
  end
  subgraph z2 ["process memory"]
    subgraph c2 ["microvm@v.service"]
      n5["host-one"]
    end
  end
  subgraph z3 ["virtual hardware"]
    subgraph c3 ["v"]
      n8["ONE"]
    end
  end
  subgraph z4 ["guest run time"]
    subgraph c4 ["v"]
      n9["ONE"]
    end
  end
  n6 --> n5
  n5 --> n8
  n8 --> n9
  n0 --> n10
  n10 --> n6
  n0 --> n11
  n1 -.- n10
  n12 -.- n10
  classDef stale fill:#ffe9a8,stroke:#333,color:#000
  classDef orphaned fill:#e3d9f7,stroke:#333,color:#000
  classDef missing fill:#ffd0cc,stroke:#333,color:#000
  classDef unreadable fill:#ffb3c7,stroke:#333,color:#000
"""


class Store(Team):

    def __init__(self, directory, declaration=DECLARATION):
        super().__init__(directory, declaration)

    def graph(self, *words, **options):
        return Graph(json.loads(expect(self("graph", "--json", *words, **options), 0, None, "").out))


class Graph:
    def __init__(self, model):
        self.model, self.nodes = model, {node["id"]: node for node in model["nodes"]}
        equal(len(self.nodes), len(model["nodes"]), "number of different ids")
        self.edges = [(edge["from"], edge["relation"], edge["to"]) for edge in model["edges"]]
        equal(len(set(self.edges)), len(self.edges), "number of different edges")

    def marks(self):
        """What is wrong: the states and the commands that fix it."""
        marked = ("stale", "orphaned", "missing", "unreadable")
        found = {node["id"]: (node["state"], node["fix"]) for node in self.model["nodes"] if node["state"] in marked}
        for edge in self.model["edges"]:
            if edge["state"] in marked:
                found[(edge["from"], edge["to"])] = edge["state"]
        equal([node["id"] for node in self.model["nodes"] if (node["state"] in marked) != bool(node["problem"])], [], "marks and problems")
        equal(sum(self.model["states"][state] for state in marked), len([name for name in found if isinstance(name, str)]), "states")
        return found

    def readers(self, secret):
        """The names of those who can read a secret, by its edges and those of its groups."""
        edges = {edge["to"]: edge["state"] for edge in self.model["edges"] if edge["from"] == secret and edge["relation"] == "reads"}
        found = {name for name, state in edges.items() if state in ("current", "stale", "orphaned")}
        for group in [name for name in found if name.startswith("group:")]:
            members = {to for start, relation, to in self.edges if start == group and relation == "member"}
            found = found - {group} | (members - {name for name, state in edges.items() if state == "missing"})
        return {tuple(name.split(":", 1)) for name in found}


def test_picture(directory):
    """without options the output is a Mermaid flowchart with the five zones"""
    example = Example(directory, """\
machines: {m: {}}
generators:
  made: {machines: [m], files: {one: {}, two: {deploy: false}}, kind: {one: {hex: 8}, two: {hex: 8}}}
vms:
  v: {loadCredentials: {host-one: made/one}, credentialFiles: {ONE: host-one}}
""", generate=False)  # fmt: skip
    key = expect(vmcred("keygen", "--output", directory / "ada")).out.strip()
    expect(vmcred("user", "add", "ada", "--config", example.config, "--age-key", key))
    expect(example.generate())
    shutil.rmtree(directory / "vars/per-machine/m/made/two")
    expect(vmcred("graph", "--config", example.config), 0, PICTURE, "")


def test_model(directory):
    """nodes and edges are those of the declaration and the store, and no others"""
    graph = Store(directory).graph()
    equal(set(graph.nodes), {
        "generator:base", "generator:made", "machine:m", "machine:n", "user:ada", "user:bob", "group:admins",
        f"secret:{ONE}", f"secret:{TWO}", f"secret:{KEY}", f"public:{CERT}",
        "runtime:m", "file:m:/run/secrets/vars/made/one", "file:m:/run/secrets-for-users/vars/made/two",
        "file:m:/run/secrets/vars/base/cert", "file:m:/etc/tls", "runtime:n", "served:n:base/cert",
        "unit:m:microvm@v.service", "unit:m:web.service", "unit:m:proxy.service", "credential:v:host-one", "credential:v:tls",
        "unit:n:microvm@w.service", "credential:w:cert",
        "vm:v", "string:v:ONE", "string:v:TLS", "guest:v", "received:v:ONE", "received:v:TLS", "vm:w", "guest:w",
    })  # fmt: skip
    equal(sorted(graph.edges), sorted([
        ("generator:base", "depends", "generator:made"),
        ("generator:base", "generates", f"secret:{KEY}"), ("generator:base", "generates", f"public:{CERT}"),
        ("generator:made", "generates", f"secret:{ONE}"), ("generator:made", "generates", f"secret:{TWO}"),
        *((f"secret:{path}", "reads", "group:admins") for path in (ONE, TWO, KEY)),
        *((f"secret:{path}", "reads", "machine:m") for path in (ONE, TWO)),
        ("group:admins", "member", "user:ada"), ("group:admins", "member", "user:bob"),
        (f"secret:{ONE}", "activates", "file:m:/run/secrets/vars/made/one"),
        (f"secret:{TWO}", "activates", "file:m:/run/secrets-for-users/vars/made/two"),
        (f"public:{CERT}", "activates", "file:m:/run/secrets/vars/base/cert"), (f"public:{CERT}", "activates", "served:n:base/cert"),
        ("file:m:/run/secrets/vars/made/one", "restarts", "unit:m:web.service"),
        ("file:m:/run/secrets/vars/made/one", "reloads", "unit:m:proxy.service"),
        ("file:m:/run/secrets/vars/made/one", "loads", "credential:v:host-one"), ("file:m:/etc/tls", "loads", "credential:v:tls"),
        ("served:n:base/cert", "loads", "credential:w:cert"),
        ("credential:v:host-one", "composes", "string:v:ONE"), ("credential:v:tls", "composes", "string:v:TLS"),
        ("string:v:ONE", "receives", "received:v:ONE"), ("string:v:TLS", "receives", "received:v:TLS"),
    ]))  # fmt: skip
    equal({name: node["zone"] for name, node in graph.nodes.items()}, {
        name: {"runtime": "host", "file": "host", "served": "host", "unit": "process", "credential": "process", "vm": "hardware",
               "string": "hardware", "guest": "guest", "received": "guest"}.get(name.split(":")[0], "storage") for name in graph.nodes
    })  # fmt: skip
    equal({name: node["parent"] for name, node in graph.nodes.items() if node["parent"]}, {
        "file:m:/run/secrets/vars/made/one": "runtime:m", "file:m:/run/secrets-for-users/vars/made/two": "runtime:m",
        "file:m:/run/secrets/vars/base/cert": "runtime:m", "file:m:/etc/tls": "runtime:m", "served:n:base/cert": "runtime:n",
        "credential:v:host-one": "unit:m:microvm@v.service", "credential:v:tls": "unit:m:microvm@v.service",
        "credential:w:cert": "unit:n:microvm@w.service", "string:v:ONE": "vm:v", "string:v:TLS": "vm:v",
        "received:v:ONE": "guest:v", "received:v:TLS": "guest:v",
    })  # fmt: skip
    equal((graph.marks(), graph.model["machine"]), ({}, None))


def test_variants(directory):
    """the variants of a generator are one node, with the dependencies of all of them"""
    (directory / "vmcred.yaml").write_text("""\
machines: {m: {}, n: {}}
generators:
  ca: {share: true, files: {key: {}}, kind: {key: {hex: 8}}}
  cb: {share: true, files: {key: {}}, kind: {key: {hex: 8}}}
  leaf:
    - {machines: [m], dependencies: [ca], files: {it: {}}, script: x}
    - {machines: [n], dependencies: [ca, cb], files: {it: {}}, script: x}
""")
    graph = Graph(json.loads(expect(vmcred("graph", "--config", directory / "vmcred.yaml", "--json")).out))
    equal([edge for edge in graph.edges if edge[1] == "depends" or edge[0] == "generator:leaf"], [
        ("generator:ca", "depends", "generator:leaf"), ("generator:cb", "depends", "generator:leaf"),
        *(("generator:leaf", "generates", f"secret:vars/per-machine/{machine}/leaf/it/secret") for machine in "mn"),
    ])  # fmt: skip


def test_readers(directory):
    """who can read a secret is the same as in readers, also if recipients are missing, undeclared or through several groups"""
    store = Store(directory)
    eve, dave = store.key("eve"), store.key("dave")
    expect(store("user", "add", "eve", "--age-key", eve))
    expect(store("group", "add", "ops", "--user", "bob"))
    link = directory / "vars/per-machine/m/made/one"
    expect(store("user", "add", "fay", "--age-key", store.key("fay"), "--group", "late"))
    for kind, name in (("users", "eve"), ("groups", "ops"), ("groups", "late")):
        (link / kind).mkdir(exist_ok=True)
        (link / kind / name).symlink_to(f"../../../../../../../sops/{kind}/{name}")
    document = json.loads((directory / TWO).read_text())
    document["sops"]["age"][0]["recipient"] = dave
    (directory / TWO).write_text(json.dumps(document))
    secrets = json.loads(expect(store("readers", "--json")).out)
    graph = store.graph()
    for secret in secrets:
        equal(graph.readers(f"secret:{secret['path']}"),
              {(one["type"], one["name"] or one["keys"][0]["key"]) for one in secret["readers"] if one["state"] != "missing"},
              secret["path"])  # fmt: skip
    lost = {(edge["from"], edge["to"]) for edge in graph.model["edges"] if edge["state"] == "missing"}
    equal(lost, {(f"secret:{secret['path']}", f"{one['type']}:{one['name']}")
                 for secret in secrets for one in secret["readers"] if one["state"] == "missing"})  # fmt: skip
    assert len(lost) == 3, lost
    # Nobody of it can.
    assert (f"secret:{ONE}", "reads", "group:late") not in graph.edges
    equal(graph.nodes[f"key:{dave}"]["state"], "orphaned")


def test_marks_of_the_store(directory):
    """what is missing, stale, orphaned and unreadable in the store is marked, with the command that fixes it"""
    store = Store(directory)
    shutil.rmtree(directory / "vars/per-machine/m/made")
    equal(store.graph().marks(), {f"secret:{path}": ("missing", "vmcred generate") for path in (ONE, TWO)})
    expect(store("generate"))
    (directory / ONE).write_text("{}")
    marks = store.graph().marks()
    equal(marks, {f"secret:{ONE}": ("unreadable", None)})
    expect(store("generate", "--regenerate", "--generator", "made"))
    store.config.write_text(DECLARATION.replace("    dependencies: [base]\n", "    dependencies: [base]\n    validation: 1\n"))
    equal(store.graph().marks(), {f"secret:{path}": ("stale", "vmcred generate") for path in (ONE, TWO)})
    store.config.write_text(DECLARATION.replace("  w:", "  x:").replace(", two: {neededFor: users}", "").replace(", two: {hex: 16}", ""))
    equal(store.graph().marks(), {"orphan:vars/per-machine/m/made/two": ("orphaned", "vmcred prune")})
    store.config.write_text(DECLARATION)
    shutil.rmtree(directory / "sops/machines/m")
    marks = store.graph().marks()
    equal(marks["machine:m"], ("missing", "vmcred machine add m"))


def test_stale_secrets(directory):
    """a secret older than rotateAfter, and one with other recipients than declared, are stale"""
    store = Store(directory, DECLARATION.replace("    dependencies: [base]\n", "    dependencies: [base]\n    rotateAfter: 1d\n"))
    document = json.loads((directory / ONE).read_text())
    document["sops"]["lastmodified"] = "2020-01-01T00:00:00Z"
    (directory / ONE).write_text(json.dumps(document))
    document = json.loads((directory / KEY).read_text())
    document["sops"]["age"] = [key for key in document["sops"]["age"] if key["recipient"] != store.keys["bob"]]
    (directory / KEY).write_text(json.dumps(document))
    equal(store.graph().marks(), {
        f"secret:{ONE}": ("stale", "vmcred generate --overdue"),
        f"secret:{KEY}": ("stale", "vmcred fix"),
        (f"secret:{KEY}", "user:bob"): "missing",
    })  # fmt: skip


class Host(Store):
    """The machine m, whose VM v runs with the activated values."""

    def __init__(self, directory):
        super().__init__(directory)
        self.systemctl = Systemctl(directory)
        for phase in ("services", "users"):
            expect(self.activate("--machine", "m", "--needed-for", phase))
        (self.root / "etc").mkdir()
        (self.root / "etc/tls").write_text("t")
        self.systemctl.unit("microvm@v.service", started=now_us())
        self.systemctl.unit("web.service", started=now_us())
        self.systemctl.unit("proxy.service", started=now_us())
        self.loaded = self.root / "run/credentials/microvm@v.service"
        self.loaded.mkdir(parents=True)
        for name, source in (("host-one", self.active("one")), ("tls", self.root / "etc/tls")):
            (self.loaded / name).write_bytes(source.read_bytes())

    def here(self, *words):
        return self.graph("--root", self.root, *words, env=self.systemctl.env)


FILE, CREDENTIAL = "file:m:/run/secrets/vars/made/one", "credential:v:host-one"
DELIVERED = ("credential:v:host-one", "string:v:ONE", "received:v:ONE")


def test_host(directory):
    """on a host the state of its files, units and credentials is shown, and nothing of other machines"""
    graph = Host(directory).here()
    equal((graph.marks(), graph.model["machine"]), ({}, "m"))
    checked = {name: node["state"] for name, node in graph.nodes.items() if node["zone"] in ("host", "process") and node["kind"] != "runtime"}
    equal({name for name, state in checked.items() if state != "current"},
          {"file:m:/etc/tls", "unit:m:web.service", "unit:m:proxy.service", "served:n:base/cert", "unit:n:microvm@w.service", "credential:w:cert"})  # fmt: skip
    equal(graph.nodes["unit:m:microvm@v.service"]["facts"]["active"], "active (running)")


def test_host_without_systemd(directory):
    """if systemd cannot be asked, the state of units is unknown, with a warning"""
    host = Host(directory)
    host.systemctl.fail()
    result = expect(host("graph", "--json", "--root", host.root, env=host.systemctl.env), 0)
    assert result.err.startswith("vmcred: warning: the state of the units is unknown: ") and result.err.count("\n") == 1, result.err
    equal(Graph(json.loads(result.out)).nodes["unit:m:microvm@v.service"]["state"], "unknown")


def test_marks_of_a_host(directory):
    """old values in units, VMs and guests, files that are not activated or not declared, and unknown units are marked"""
    host = Host(directory)
    expect(vmcred("set", "--config", host.config, "m", "made/one", stdin=other_end(host.get("one").out)))
    record = host.root / "run/vmcred/activation/services.json"
    text = record.read_text()
    # Times have seconds: as if the activation was before.
    old = json.loads(text)
    old["activated"]["realtime"] -= 3600
    record.write_text(json.dumps(old))
    equal(host.here().marks()[FILE], ("stale", "vmcred activate"))
    record.write_text(text)
    expect(host.activate("--machine", "m"))
    restart = "systemctl restart microvm@v.service"
    equal(host.here().marks(), {name: ("stale", restart) for name in (*DELIVERED, "unit:m:microvm@v.service")} |
          {"unit:m:web.service": ("stale", "systemctl restart web.service"), "unit:m:proxy.service": ("stale", "systemctl reload proxy.service")})  # fmt: skip
    for unit in ("web.service", "proxy.service", "microvm@v.service"):
        host.systemctl.unit(unit, started=now_us())
    (host.loaded / "host-one").unlink()
    equal(host.here().marks(), {name: ("missing", restart) for name in DELIVERED})
    host.active("one").unlink()
    host.systemctl.unit("microvm@v.service", "inactive", "dead", load="not-found")
    shutil.rmtree(host.loaded)
    marks = host.here().marks()
    equal(marks["unit:m:microvm@v.service"], ("missing", None))
    equal(marks[CREDENTIAL], ("missing", "vmcred activate"))


def test_delivery(directory):
    """the state of the delivery to a running guest is that of `status`, and what did not arrive is marked"""
    host = Host(directory)
    host.config.write_text(DECLARATION.replace("    platformOEMStrings", "    channelCredentials: {now: made/one}\n    platformOEMStrings"))
    (host.loaded / "vmcred.channel").write_text("key")
    report = host.root / "run/vmcred/serve/delivery/microvm@v.service"
    report.parent.mkdir(parents=True)
    names = ("guest:v", "received:v:ONE", "received:v:TLS")

    def delivery():
        graph = host.here()
        return [(graph.nodes[name]["facts"]["delivery"], graph.nodes[name]["state"]) for name in names]

    equal(delivery(), [("sent", "declared")] * 3)
    report.write_text("vmcred-delivery-1 0123456789012345678901\n")
    equal(delivery(), [("delivered", "current")] * 3)
    report.write_text("vmcred-delivery-1 0123456789012345678901\ncut ONE\n")
    equal(delivery(), [("rejected", "missing"), ("rejected", "missing"), ("delivered", "current")])
    restart = ("missing", "systemctl restart microvm@v.service")
    graph = host.here()
    equal({name: mark for name, mark in graph.marks().items() if name in names}, {"guest:v": restart, "received:v:ONE": restart})
    equal(graph.nodes["guest:v"]["problem"], "the guest found cut: ONE")
    host.systemctl.unit("microvm@v.service", "inactive", "dead")
    shutil.rmtree(host.loaded)
    assert "delivery" not in host.here().nodes["guest:v"]["facts"]


def test_marks_of_an_activation(directory):
    """a file is missing that the last activation does not have, unreadable if it failed, and orphaned if it is not declared"""
    host = Host(directory)
    path = host.root / "run/vmcred/activation/services.json"
    record = json.loads(path.read_text())
    record["secrets"]["made/old"] = record["secrets"].pop("made/one")
    record["failed"]["base/cert"] = "no key opens it"
    path.write_text(json.dumps(record))
    graph = host.here()
    equal({name: mark for name, mark in graph.marks().items() if name not in DELIVERED}, {
        FILE: ("missing", "vmcred activate"),
        "file:m:/run/secrets/vars/made/old": ("orphaned", "vmcred activate"),
        "file:m:/run/secrets/vars/base/cert": ("unreadable", None),
    })  # fmt: skip
    equal(graph.nodes["file:m:/run/secrets/vars/base/cert"]["problem"], "no key opens it")


def test_store_of_another_user(directory):
    """what another user may not read is unreadable; if they may not list the store, a warning says that it is shown in part"""
    need_root()
    store = Store(directory)
    program = program_for_all(directory)

    def draw():
        return run(*AS_NOBODY, program, "graph", "--config", store.config, "--json")

    (directory / ONE).parent.chmod(0o700)
    result = expect(draw(), 0, None, "")
    equal(Graph(json.loads(result.out)).marks(), {f"secret:{ONE}": ("unreadable", None)})
    (directory / "sops/users").chmod(0o700)
    result = expect(draw(), 0)
    assert result.err.startswith("vmcred: warning: the store is shown only in part: ") and result.err.count("\n") == 1, result.err
    assert "sops/users" in result.err, result.err
    equal(Graph(json.loads(result.out)).nodes[f"secret:{TWO}"]["state"], "declared")


def test_bundle(directory):
    """on a host with a bundle the machine's part is shown, without readers, and a missing secret is marked"""
    repository, systemctl = Repository(directory), Systemctl(directory)
    expect(repository.import_(repository.export()))
    systemctl.unit("microvm@first.service", "inactive", "dead")
    systemctl.unit("a.service", "inactive", "dead")
    command = ["graph", "--json", "--config", repository.etc / "vmcred.yaml", "--root", repository.root]
    graph = Graph(json.loads(expect(vmcred(*command, env=systemctl.env), 0, None, "").out))
    equal((graph.marks(), graph.model["machine"]), ({}, "m"))
    equal([edge for edge in graph.edges if edge[1] in ("reads", "member")] + [name for name in graph.nodes if name.startswith("user:")], [])
    (repository.installed_directory() / ONE).unlink()
    graph = Graph(json.loads(expect(vmcred(*command, env=systemctl.env), 0, None, "").out))
    equal(graph.marks(), {f"secret:{ONE}": ("missing", None)})


def test_any_machine(directory):
    """a VM that can run on several machines loads what each of them has"""
    declaration = "machines: {m: {}, n: {}}\ngenerators: {g: {machines: [m, n], files: {f: {}}, kind: {f: {hex: 8}}}}\n"
    (directory / "vmcred.yaml").write_text(declaration + "vms: {v: {loadCredentials: {c: g/f}}}\n")
    graph = Graph(json.loads(expect(vmcred("graph", "--config", directory / "vmcred.yaml", "--json", "v")).out))
    path = "/run/secrets/vars/g/f"
    equal([edge for edge in graph.edges if edge[1] in ("activates", "loads")],
          [(f"file:*:{path}", "loads", "credential:v:c"),
           *((f"secret:vars/per-machine/{machine}/g/f/secret", "activates", f"file:*:{path}") for machine in "mn")])  # fmt: skip


def test_bad_entry(directory):
    """a VM whose entry has an error is unreadable, and the others are shown"""
    store = Store(directory)
    store.config.write_text(DECLARATION.replace("[ENVIRONMENT=test]", "1"))
    equal(store.graph().marks(), {"vm:v": ("unreadable", None)})


def test_choice(directory):
    """a VM, a machine and a generator choose what leads to and from them, and its readers; an unknown name is an error"""
    store = Store(directory)
    of_v = {"generator:base", "generator:made", f"secret:{ONE}", FILE, "file:m:/etc/tls", "runtime:m", "unit:m:microvm@v.service", CREDENTIAL,
            "credential:v:tls", "vm:v", "string:v:ONE", "string:v:TLS", "guest:v", "received:v:ONE", "received:v:TLS", "machine:m",
            "group:admins", "user:ada", "user:bob"}  # fmt: skip
    equal(set(store.graph("v").nodes), of_v)
    of_n = {"generator:base", f"public:{CERT}", "machine:n", "runtime:n", "served:n:base/cert", "unit:n:microvm@w.service", "credential:w:cert",
            "vm:w", "guest:w"}  # fmt: skip
    equal(set(store.graph("n").nodes), of_n)
    equal(set(store.graph("v", "n").nodes), of_v | of_n)
    assert f"secret:{KEY}" not in store.graph("made").nodes
    assert "generator:made" not in store.graph("base").nodes
    assert {f"secret:{TWO}", FILE, "received:v:ONE", "unit:m:web.service"} <= set(store.graph("made").nodes)
    expect(store("graph", "mad"), 2, "", 'vmcred: no VM, machine or generator is called "mad": did you mean "made"?\n')


def test_formats(directory):
    """--format or the suffix of --output chooses the format; a file is replaced in one step and stdout is empty"""
    store = Store(directory)
    starts = {"mermaid": "flowchart LR\n", "dot": "digraph vmcred {\n", "html": "<!DOCTYPE html>\n", "json": "{\n"}
    for (name, start), suffix in zip(starts.items(), ("mmd", "dot", "html", "json")):
        out = expect(store("graph", "--format", name), 0, None, "").out
        assert out.startswith(start), out[:100]
        path = directory / f"picture.{suffix}"
        path.write_text("old")
        expect(store("graph", "--output", path), 0, "", "")
        equal(path.read_text(), out, name)
    expect(store("graph", "--json"), 0, out, "")
    expect(store("graph", "--format", "dot", "--output", directory / "x"), 0, "", "")
    assert (directory / "x").read_text().startswith(starts["dot"])


def test_bad_formats(directory):
    """an unknown format or suffix, --json with another format, and SVG without Graphviz are errors, and nothing is written"""
    store = Store(directory)
    expect(store("graph", "--format", "png"), 2, "", 'vmcred: unknown format "png": use mermaid, dot, svg, html or json\n')
    fails(store("graph", "--output", directory / "a.png"), 2, "a.png", "--format")
    fails(store("graph", "--json", "--format", "dot"), 2, "--json", "dot")
    (directory / "empty").mkdir()
    fails(store("graph", "--output", directory / "a.svg", env={"PATH": str(directory / "empty")}), 1, "Graphviz", "mermaid")
    equal(list(directory.glob("a.*")), [])
    fails(store("graph", "--output", directory / "none/a.dot"), 3, "none")


class Scripts(html.parser.HTMLParser):
    """The contents of the script elements of a page, and all elements."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.elements, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.elements[-1:] == ["script"]:
            self.scripts[-1] += data


HOSTILE = ['"]--><script>alert(1)<', "</script>&amp;#35;{`}", "\\N\\G'%n$", "a;b|c", "]#quot;"]
LINE = re.compile(r'subgraph [cz]\d+ \["[\w /.:@=,#;-]*"\]|end|n\d+(\[\[|\[\(|\(\[|\[)"([\w /.:@=,#;-]|<br/>)*"(\]\]|\)\]|\]\)|\])(:::\w+)?|'
                  r"n\d+ (-->|-\.->?)(\|\w+\|)? n\d+|classDef \w+ [\w:#,]+|flowchart LR")  # fmt: skip


def hostile(directory):
    """A store whose names are as bad as the declaration and a document allow."""
    names = [name.replace("/", "") for name in HOSTILE]
    vm = {"loadCredentials": {f"c{name}": "made/one" for name in names}, "credentialFiles": {name: f"c{name}" for name in names}}
    declaration = json.dumps({
        "machines": {"m": {}}, "vms": {"v": vm},
        "generators": {"made": {"machines": ["m"], "files": {"one": {}}, "kind": {"one": {"hex": 8}}}},
    })  # fmt: skip
    store = Example(directory, declaration)
    document = json.loads(store.document("one").read_text())
    key = HOSTILE[1] + "\x1b]0;\u202e\n<img src=x onerror=alert(1)>"
    document["sops"]["age"].append({"recipient": key, "enc": document["sops"]["age"][0]["enc"]})
    store.document("one").write_text(json.dumps(document))
    return store, names


def test_hostile_names(directory):
    """names with the syntax of a format, HTML and control characters stay names in each format"""
    store, names = hostile(directory)

    def draw(name):
        return expect(vmcred("graph", "--config", store.config, "--format", name), 0, None, "").out

    for line in draw("mermaid").splitlines():
        assert LINE.fullmatch(line.strip()), line
    model = json.loads(draw("json"))
    labels = [node["label"] for node in model["nodes"]]
    equal([name for name in names if labels.count(name) != 2 or f"c{name}" not in labels], [])
    assert any("\\u001b" in label for label in labels), labels
    page = Scripts(draw("html"))
    equal((len(page.scripts), "img" in page.elements, [name for name in page.attributes if name.startswith("on")]), (2, False, []))
    equal(json.loads(page.scripts[0]), model)
    for text in (draw("json"), draw("mermaid"), draw("dot"), draw("html")):
        assert "\x1b" not in text and "\u202e" not in text


def test_no_value(directory):
    """no format has a value or a digest of one, also on a host"""
    host = Host(directory)
    values = {name: host.get(name).out.encode() for name in ("one", "two")}
    patterns = {}
    for name, value in values.items():
        patterns |= canary.forms(name, value)
        for digest in ("md5", "sha1", "sha256", "sha512"):
            patterns |= canary.forms(f"{name} {digest}", hashlib.new(digest, value).digest())
            patterns[f"{name} {digest} hex"] = hashlib.new(digest, value).hexdigest().encode()
    for words in ((), ("--root", host.root)):
        for name in ("mermaid", "dot", "html", "json"):
            out = expect(host("graph", "--format", name, *words, env=host.systemctl.env), 0, None, "").out
            equal(canary.search(patterns, out.encode(), name), [])


def test_channel(directory):
    """a running guest's requests lead from the store to the guest, beside the file and the credentials of the VM's unit"""
    graph = Store(directory, DECLARATION.replace("    platformOEM", "    channelCredentials: {ONE: made/one}\n    platformOEM")).graph()
    served, received, key = "served:m:channel:made/one", "received:v:channel:ONE", "credential:v:vmcred.channel"
    equal([edge for edge in graph.edges if {served, received, key} & set(edge)],
          [(served, "receives", received), (f"secret:{ONE}", "activates", served)])
    assert (f"secret:{ONE}", "activates", "file:m:/run/secrets/vars/made/one") in graph.edges, graph.edges
    equal([graph.nodes[name]["label"] for name in (served, received, key)], ["channel: made/one", "ONE", "vmcred.channel"])
    equal([graph.nodes[name]["parent"] for name in (served, received, key)], ["runtime:m", "guest:v", "unit:m:microvm@v.service"])


def test_many_machines(directory):
    """a picture shows what many machines have once, with its number and marks; JSON and a chosen machine have everything"""
    fleet = Fleet(directory, 60, "  app: {machines: ALL, files: {a: {}, b: {}}, kind: {a: {hex: 8}, b: {hex: 8}}}\n")
    picture = expect(vmcred("graph", "--config", fleet.config)).out
    for text in ('[("app/a ×60<br/>60 missing")]:::missing', '(["60 machines"])', '["60 machines"]', '"/run/secrets/vars/app/b ×60"'):
        assert text in picture, (text, picture)
    assert len(picture.splitlines()) < 40, picture
    model = json.loads(expect(vmcred("graph", "--config", fleet.config, "--json")).out)
    equal(len([node for node in model["nodes"] if node["kind"] == "secret"]), 120)
    one = expect(vmcred("graph", "--config", fleet.config, "m7")).out
    assert "×" not in one and "m7<br/>missing" in one and "m8" not in one, one


def test_many_generators(directory):
    """a picture that is too large although it shows what many machines have once is drawn with a warning"""
    generators = {f"g{i}": {"machines": ["m"], "files": {"f": {}}, "kind": {"f": {"hex": 8}}} for i in range(200)}
    (directory / "vmcred.yaml").write_text(json.dumps({"machines": {"m": {}}, "generators": generators}))
    warning = ("vmcred: warning: 602 boxes and 400 lines may be too many for a picture: name a VM, machine or generator, or use "
               "--format html\n")  # fmt: skip
    for name, err in (("mermaid", warning), ("dot", warning), ("html", ""), ("json", "")):
        expect(vmcred("graph", "--format", name, cwd=directory), 0, None, err)
    expect(vmcred("graph", "g1", cwd=directory), 0, None, "")


def test_without_a_store(directory):
    """with the declaration only, nothing is marked"""
    (directory / "vmcred.yaml").write_text(DECLARATION)
    graph = Graph(json.loads(expect(vmcred("graph", "--config", directory / "vmcred.yaml", "--json"), 0, None, "").out))
    equal(({node["state"] for node in graph.model["nodes"]}, graph.marks()), ({"declared"}, {}))


if __name__ == "__main__":
    harness.main()
