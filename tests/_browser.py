"""A headless Chromium, driven by its own WebDriver over HTTP: no package is needed for it."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager

import pytest

from tests._processes import HANG, wait_until

_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
]


class Browser:
    def __init__(self, address):
        self.address = address

    def __call__(self, method, path, **body):
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(
            f"{self.address}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=HANG) as response:
            return json.load(response)["value"]

    def run(self, script):
        return self("POST", "/execute/sync", script=script, args=[])

    def screenshot(self):
        return base64.b64decode(self("GET", "/screenshot"))

    def print(self, width, height):
        page = {"width": width, "height": height}
        return base64.b64decode(self("POST", "/print", page=page, background=True))

    def messages(self):
        return self("POST", "/se/log", type="browser")

    def resize(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self("POST", "/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=metrics)


def answers(driver) -> bool:
    try:
        return bool(driver("GET", "/status"))
    except OSError:
        return False


@contextmanager
def open_browser():
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver or not chromium:
        pytest.skip("no chromium and chromedriver: install both to see the report in a browser")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    session = None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            root = Browser(f"http://127.0.0.1:{port}")
            wait_until(lambda: answers(root), process)
            options = {"binary": chromium, "args": [*_FLAGS, f"--user-data-dir={profile}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            answer = root("POST", "/session", capabilities={"alwaysMatch": wanted})
            session = Browser(f"{root.address}/session/{answer['sessionId']}")
            yield session
        finally:
            if session is not None:
                session("DELETE", "")
            process.terminate()
            process.wait(HANG)
