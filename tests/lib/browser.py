# SPDX-License-Identifier: Apache-2.0
"""Pages in Debian's headless Chromium, over its pipe of the DevTools protocol: JSON that ends with NUL."""
import base64
import json
import os
import signal
import subprocess

import harness


class Browser:
    """One page. `requests` has what it fetched, `messages` what it printed, its errors and what was refused."""

    def __init__(self, directory):
        self.requests, self.messages = [], []
        self._count, self._session, self._events = 0, None, []
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()

        def pipes():
            # The browser's are 3 and 4. The copies are above both, so that none is closed by the other.
            low, high = os.dup2(commands, 100, False), os.dup2(answers, 101, False)
            os.dup2(low, 3)
            os.dup2(high, 4)

        self._process = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
            [harness.need("chromium-headless-shell"), "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             f"--user-data-dir={directory / 'chromium'}", "--remote-debugging-pipe", "about:blank"],
            env=harness.CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=pipes, close_fds=False, start_new_session=True,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._input = os.fdopen(self._from, "rb")
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._to)
        self._input.close()

    def _read(self):
        text = bytearray()
        while not text.endswith(b"\0"):
            byte = self._input.read(1)
            assert byte, "Chromium has ended"
            text += byte
        return json.loads(text[:-1])

    def _handle(self, message):
        method, of = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(of["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(json.dumps(of["args"]))
        elif method == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(of["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.messages.append(of["entry"]["text"])
        self._events.append(method)

    def _call(self, method, **parameters):
        self._count += 1
        call = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            call["sessionId"] = self._session
        os.write(self._to, json.dumps(call).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]
            self._handle(message)

    def size(self, width, height, dark=False, media=""):
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, path):
        self._events.clear()
        self._call("Page.navigate", url=f"file://{path}")
        while "Page.loadEventFired" not in self._events:
            self._handle(self._read())

    def value(self, expression):
        """The value of JavaScript, after the page has drawn twice."""
        drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        result = self._call("Runtime.evaluate", expression=f"{drawn}.then(() => ({expression}))", awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key, text=None):
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, **({"text": text} if text and kind == "keyDown" else {}))

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))
