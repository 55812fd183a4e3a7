"""Headless Chromium, driven through its DevTools protocol: enough to open a page, look at it and use its controls."""

from __future__ import annotations

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-gpu-watchdog"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--mute-audio"),
)
START_TIMEOUT_S = 40.0
CONTROL_OF = """(label => {
    let e = [...document.querySelectorAll('label,div')].find(
        e => !e.childElementCount && e.textContent.trim() === label);
    while (!e.querySelector('input')) e = e.parentElement;
    return [...e.querySelectorAll('input')].find(i => i.type !== 'hidden' && i.getBoundingClientRect().width > 0);
})"""
"""The input field beside a label of viser's panel."""


def chromium_path() -> str | None:
    """The browser, if there is one."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Tab:
    """One page."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._numbers = connection, itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A DevTools command and its result; events that come in between are dropped."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=START_TIMEOUT_S))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def screenshot(self) -> np.ndarray:
        """[h, w, 3] uint8."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def drag(self, start: tuple[int, int], end: tuple[int, int], steps: int = 6) -> None:
        """Moves the mouse with its left button down."""
        self._mouse("mouseMoved", *start, 0)
        self._mouse("mousePressed", *start, 1)
        for step in range(1, steps + 1):
            x, y = (round(a + (b - a) * step / steps) for a, b in zip(start, end, strict=True))
            self._mouse("mouseMoved", x, y, 1)
            time.sleep(0.05)
        self._mouse("mouseReleased", *end, 1)

    def _mouse(self, kind: str, x: int, y: int, buttons: int) -> None:
        button = (
            {"button": "left", "buttons": buttons, "clickCount": 1} if kind != "mouseMoved" else {"buttons": buttons}
        )
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, x: float, y: float, count: int = 1) -> None:
        """Presses and releases the left button."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def type_number(self, label: str, value: str) -> None:
        """Types into the number field of the slider with this label."""
        self.click(*self._middle_of(f"{CONTROL_OF}({json.dumps(label)})"), count=3)
        self.call("Input.insertText", text=value)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)

    def choose(self, label: str, option: str) -> None:
        """Chooses from the drop-down list with this label."""
        self.click(*self._middle_of(f"{CONTROL_OF}({json.dumps(label)})"))
        entry = (
            f"[...document.querySelectorAll('[role=option]')].find(e => e.textContent.trim() === {json.dumps(option)})"
        )
        self.wait_for(lambda: self.evaluate(f"Boolean({entry})"), 10.0)
        self.click(*self._middle_of(entry))

    def _middle_of(self, element: str) -> list[float]:
        box = f"(() => {{ const b = ({element}).getBoundingClientRect();"
        return self.evaluate(f"{box} return [b.x + b.width / 2, b.y + b.height / 2]; }})()")

    def wait_for(self, holds: Callable[[], Any], timeout_s: float) -> Any:
        """The first true value of `holds`, or its last one."""
        end_s = time.monotonic() + timeout_s
        while not (value := holds()) and time.monotonic() < end_s:
            time.sleep(0.25)
        return value


class Browser:
    """A running browser."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self._connections: list[Any] = []

    def open(self, url: str) -> Tab:
        """A new tab."""
        from websockets.sync.client import connect

        request = urllib.request.Request(f"{self._root}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as answer:
            target = json.load(answer)
        self._connections.append(connect(target["webSocketDebuggerUrl"], max_size=None))
        tab = Tab(self._connections[-1])
        tab.call("Page.enable")
        tab.call("Page.navigate", url=url)
        return tab

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._connections:
            connection.close()


@contextmanager
def browser(profile: Path, size: tuple[int, int] = (1200, 800)) -> Iterator[Browser]:
    """Starts Chromium with a new profile in the folder `profile`, and ends it."""
    command = [chromium_path(), *OPTIONS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}"]
    command += ["--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        running = Browser(_debugging_port(profile / "DevToolsActivePort", process))
        try:
            yield running
        finally:
            running.close()
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _debugging_port(path: Path, process: subprocess.Popen) -> int:
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s and process.poll() is None:
        if path.is_file() and (lines := path.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise RuntimeError(f"Chromium did not start within {START_TIMEOUT_S:.0f} s (exit code {process.poll()})")
