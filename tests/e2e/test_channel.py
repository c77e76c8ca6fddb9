#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The units of the channel with a real systemd, which is the host's and the guest's at once. This test replaces the VMM and
vmcred run: it passes the guest's connections on with the key of the VM's unit."""
import base64
import hashlib
import hmac

import harness
from guests import relay
from harness import VMCRED, equal
from host import DROPINS, SECRETS, SERVICE, Container, checked, journal
from vm import wait_for

APP = "app.service"
PORT = "/run/vsock_811"

GUEST = {
    # The host's socket has the default path.
    "vmcred-guest.socket": "[Unit]\nConditionVirtualization=\n[Socket]\nListenStream=\nListenStream=/run/guest\n",
    "vmcred-guest.service": f"[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-guest serve --host {PORT}\n",
    "vmcred-guest-verify.service":
        f"[Unit]\nConditionVirtualization=\n[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-guest verify --host {PORT}\n",
    "vmcred-guest-watch.service":
        f"[Unit]\nConditionVirtualization=\n[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-guest watch --host {PORT}\n",
}


def outside(host, path):
    return f"{host.root}{path}"


def property_of(host, unit, name):
    return host.checked("systemctl", "show", "--value", "--property", name, unit).out.strip()


def credential(host, unit, name):
    return host.checked("cat", f"/run/credentials/{unit}/{name}").out.encode("utf-8", "surrogateescape")


def is_restarted(host, process):
    return property_of(host, APP, "MainPID") not in (process, "0") and property_of(host, APP, "ActiveState") == "active"


def booted():
    host = Container()
    config = host.example / "vmcred.yaml"
    text = config.read_text()
    config.write_text(text.replace("    credentialFiles:", "    channelCredentials: { api-key: test-vm-secrets/api-key }\n    credentialFiles:"))
    host.checked("systemctl", "start", "vmcred.socket", "vmcred-channel.socket")
    host.activate()
    # Instead of a hypervisor: a program in its unit's sandbox.
    host.drop_in("90-sleep", "[Service]\nType=exec\nExecStart=\nExecStart=/bin/sleep infinity\n")
    for unit, lines in GUEST.items():
        host.write(f"{DROPINS}/{unit}.d/50-test.conf", lines)
    host.write(f"{DROPINS}/{APP}", "[Unit]\nAfter=vmcred-guest.socket\n[Service]\nType=exec\nDynamicUser=yes\nLoadCredential=api-key:/run/guest\n"
               "ExecStart=/bin/sleep infinity\n")
    host.checked("systemctl", "daemon-reload")
    return host


def delivered(host):
    """The guest's unit can read the credentials of its boot, and everyone on the host sees what it reported."""
    system, value, salt = "/run/credentials/@system", b"hunter2", "AAECAwQFBgcICQoLDA0ODw"
    mac = base64.b64encode(hmac.digest(salt.encode(), b"HOST-API-KEY\0" + value, hashlib.sha256)[:16]).decode().rstrip("=")
    host.checked("mkdir", "-m", "700", "-p", system)
    for name, content in (("vmcred.manifest", f"vmcred-manifest-1 {salt}\nHOST-API-KEY {len(value)} {mac}\n".encode()), ("HOST-API-KEY", value)):
        host.checked("sh", "-c", f"umask 077 && cat >{system}/{name}", stdin=content)
    for change, code, state in (("", 0, "delivered"), (f"printf hunter3 >{system}/HOST-API-KEY", 1, "rejected")):
        host.checked("sh", "-c", change)
        result = host.run("systemctl", "restart", "vmcred-guest-verify.service")
        equal(result.code, code, f"systemctl restart, with {host.run('journalctl', '--lines=20', '--no-pager').out}")
        status = host.run("setpriv", "--reuid=65534", "--clear-groups", "vmcred", "status", "--config", "/etc/vmcred/vmcred.yaml").out
        assert f"; {state}\n" in status, status
    assert b"delivery rejected by the guest of microvm@test-vm.service: changed: HOST-API-KEY" in journal(host)


def test_value_rotates_in_a_running_guest(_directory):
    """a service of a guest gets a value of the host's store, restarts with a new one after vmcred set, and no log has either"""
    host = booted()
    values = [host.secret("api-key"), b"the-next-value-5c2f91"]
    equal(host.start_vm().code, 0, "systemctl start")
    modes = host.checked("stat", "--format=%a %U:%G", "/run/vmcred/channel", "/run/vmcred/serve", "/run/vmcred/serve/channel.key").out
    equal(modes.splitlines(), ["660 root:kvm", "711 root:root", "600 root:root"], "who can connect, and read the key")
    key = credential(host, SERVICE, "vmcred.channel")
    equal(key.split()[2].decode(), property_of(host, SERVICE, "InvocationID"), "the ID of the key")
    proves = [b""]
    relay(outside(host, PORT), outside(host, "/run/vmcred/channel"), lambda: key + proves[0])
    delivered(host)
    # From here on, the guest has the key, where its units find it, and must prove that.
    host.checked("sh", "-c", "umask 077 && mkdir -p /run/credstore && cat >/run/credstore/vmcred.channel", stdin=key)
    proves[0] = b"proof\n"
    host.checked("systemctl", "start", "vmcred-guest.socket", "vmcred-guest-watch.service")
    equal(host.checked("stat", "--format=%a %U:%G", "/run/guest").out, "600 root:root\n", "who can request")
    result = host.run("systemctl", "start", APP)
    equal(result.code, 0, f"systemctl start, with {host.run('journalctl', '--lines=40', '--no-pager').out}")
    equal(credential(host, APP, "api-key"), values[0])
    process, vm = property_of(host, APP, "MainPID"), property_of(host, SERVICE, "MainPID")
    checked(VMCRED, "set", "--config", host.example / "vmcred.yaml", "example-host", "test-vm-secrets/api-key", stdin=values[1])
    wait_for("a restart", lambda: is_restarted(host, process))
    equal(credential(host, APP, "api-key"), values[1])
    equal(property_of(host, SERVICE, "MainPID"), vm, "the VM's process")
    log = journal(host)
    for value in values:
        assert value.strip() not in log
    assert b"gave api-key to the guest of microvm@test-vm.service" in log
    equal(property_of(host, "vmcred-guest-watch.service", "NRestarts"), "0")

    # What the VM may not have makes the unit fail, and the reason is in the guest's journal.
    host.write(f"{DROPINS}/{APP}.d/50-other.conf", f"[Service]\nLoadCredential={SECRETS[1]}:/run/guest\n")
    host.checked("systemctl", "daemon-reload")
    equal(host.run("systemctl", "restart", APP).code, 1)
    assert f"{SECRETS[1]} for {APP}: the host's declaration does not give it to this VM".encode() in journal(host)

    # A unit that has failed starts again with the next value.
    host.checked("rm", f"{DROPINS}/{APP}.d/50-other.conf")
    host.checked("systemctl", "daemon-reload")
    checked(VMCRED, "set", "--config", host.example / "vmcred.yaml", "example-host", "test-vm-secrets/api-key", stdin=values[0])
    wait_for("a restart", lambda: is_restarted(host, "0"), 60)
    equal(credential(host, APP, "api-key"), values[0])

    # The host's side ends and starts again; the watcher connects again.
    host.checked("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "vmcred.service")
    wait_for("vmcred serve", lambda: property_of(host, "vmcred.service", "ActiveState") == "active")
    host.checked("systemctl", "restart", "vmcred-channel.socket")
    process = property_of(host, APP, "MainPID")
    checked(VMCRED, "set", "--config", host.example / "vmcred.yaml", "example-host", "test-vm-secrets/api-key", stdin=values[1])
    wait_for("a restart", lambda: is_restarted(host, process), 60)
    equal(credential(host, APP, "api-key"), values[1])

    # A request waits while vmcred-guest cannot be started: the unit does not start with an empty credential.
    host.checked("systemctl", "stop", APP, "vmcred-guest.service")
    broken = f"{DROPINS}/vmcred-guest.service.d/60-broken.conf"
    host.write(broken, "[Service]\nExecStart=\nExecStart=/does/not/exist\n")
    host.checked("systemctl", "daemon-reload")
    host.checked("systemctl", "start", "--no-block", APP)
    wait_for("a failed start", lambda: b"/does/not/exist" in journal(host))
    host.checked("rm", broken)
    host.checked("systemctl", "daemon-reload")
    wait_for("the unit", lambda: property_of(host, APP, "ActiveState") != "activating", 60)
    equal(credential(host, APP, "api-key"), values[1])
    host.close()


harness.main()
